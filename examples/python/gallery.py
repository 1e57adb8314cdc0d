# SPDX-License-Identifier: BSD-3-Clause
"""What the gallery's scripts share: options, data, and figures by matplotlib."""

import argparse
import io
import pathlib
import sys

import torch

import adjoin

try:
    import matplotlib.figure
    from PIL import Image
except ModuleNotFoundError:
    sys.exit("The gallery draws with matplotlib: pip install matplotlib, or, with adjoin, pip install '.[gallery]'")

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def options(description, numbers=None):
    """What every script takes, and numbers of its own by name, with their defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a small part of the data, and little patience")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out" / "gallery", help="folder for the figure")
    for name, default in (numbers or {}).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def fetched(name, how):
    """The path of a file that scripts/fetch_data.sh brings."""
    path = ROOT / ".cache" / name
    if not path.exists():
        sys.exit(f"{path} is missing: run scripts/fetch_data.sh {how}")
    return path


def photograph(small):
    """Two parrots, (1, 3, 512, 768), or a detail of them."""
    picture = adjoin.io.read_png(fetched("data/kodim23.png", "kodim23"))
    return picture[..., 60:156, 130:258].contiguous() if small else picture


def phantom(size):
    """Ellipses within an ellipse, (1, 1, size, size): value, half axes, centre, angle of each."""
    ellipses = [
        (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
        (-0.8, 0.66, 0.87, 0.0, -0.02, 0.0),
        (0.3, 0.16, 0.41, -0.22, 0.0, 18.0),
        (0.5, 0.11, 0.31, 0.22, 0.0, -18.0),
        (0.2, 0.21, 0.25, 0.0, 0.35, 0.0),
        (0.6, 0.05, 0.05, 0.0, 0.1, 0.0),
        (0.6, 0.05, 0.02, -0.08, -0.6, 0.0),
        (0.6, 0.02, 0.05, 0.06, -0.6, 0.0),
    ]
    points = torch.linspace(-1.0, 1.0, size)
    x, y = points.view(1, -1), -points.view(-1, 1)
    image = torch.zeros(size, size)
    for value, a, b, x0, y0, degrees in ellipses:
        angle = torch.deg2rad(torch.tensor(degrees))
        u = (x - x0) * angle.cos() + (y - y0) * angle.sin()
        v = (y - y0) * angle.cos() - (x - x0) * angle.sin()
        image[(u / a) ** 2 + (v / b) ** 2 <= 1.0] += value
    return image.view(1, 1, size, size)


def figure(path, pictures, curves=None, label="", scale="linear"):
    """Writes pictures (1, C, H, W) with values in [0, 1] side by side, by caption, and curves beside them. For one rank."""
    columns = len(pictures) + bool(curves)
    height, width = next(iter(pictures.values())).shape[-2:]
    drawn = matplotlib.figure.Figure(figsize=(9.0, 9.0 / columns * height / width + 0.4), layout="constrained")
    axes = drawn.subplots(1, columns, squeeze=False)[0]
    for axis, (caption, picture) in zip(axes, pictures.items(), strict=False):
        axis.imshow(picture[0].clamp(0, 1).permute(1, 2, 0).squeeze(-1).cpu(), cmap="gray", vmin=0.0, vmax=1.0)
        axis.set_title(caption, fontsize=8)
        axis.set_axis_off()
    for name, curve in (curves or {}).items():
        axes[-1].plot(range(1, len(curve) + 1), curve, label=name)
    if curves:
        axes[-1].set_title(label, fontsize=8)
        axes[-1].set_yscale(scale)
        axes[-1].tick_params(labelsize=7)
        axes[-1].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    png = io.BytesIO()
    drawn.savefig(png, dpi=100)
    # With 256 colours the file is a third as long.
    Image.open(png).convert("RGB").quantize(256).save(path, optimize=True)
    print(f"written: {path}")
