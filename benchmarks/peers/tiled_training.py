# SPDX-License-Identifier: BSD-3-Clause
"""How much memory a training step of a denoiser takes that is applied in tiles, under deepinv.distributed and under adjoin.deepinv.

tiled_training.py [--module deepinv.distributed | adjoin.deepinv] prints the peak resident memory of the first step above what was
there before, in MiB; without --module that of both, each in a process of its own, and their ratio. deepinv and adjoin must be
importable.
"""

import argparse
import importlib
import resource
import subprocess
import sys
import warnings

warnings.filterwarnings("ignore")
MODULES = ("deepinv.distributed", "adjoin.deepinv")


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str) -> float:
    import deepinv
    import torch

    module = importlib.import_module(name)
    torch.set_num_threads(1)
    torch.manual_seed(0)

    class DnCNN(torch.nn.Module):
        """Ten layers of 32 channels."""

        def __init__(self) -> None:
            super().__init__()
            layers: list[torch.nn.Module] = []
            for inputs, outputs in [(1, 32)] + 8 * [(32, 32)] + [(32, 1)]:
                layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU()]
            self.layers = torch.nn.Sequential(*layers[:-1])

        def forward(self, x: torch.Tensor, sigma: object = None, **kwargs: object) -> torch.Tensor:
            return x + self.layers(x)

    assert deepinv
    with module.DistributedContext() as ctx:
        denoiser = module.distribute(DnCNN(), ctx, type_object="denoiser", patch_size=256, overlap=32, tiling_dims=(-2, -1))
        image = torch.rand(1, 1, 640, 640)
        before = peak()
        denoiser(image, 0.1).square().sum().backward()
        return peak() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", choices=MODULES)
    module = parser.parse_args().module
    if module is not None:
        print(measure(module))
        return
    peaks = {}
    for name in MODULES:
        done = subprocess.run([sys.executable, __file__, "--module", name], check=True, capture_output=True, text=True)
        peaks[name] = float(done.stdout.split()[-1])
        print(f"{name:20} {peaks[name]:8.1f} MiB")
    print(f"ratio {peaks[MODULES[1]] / peaks[MODULES[0]]:.2f}")


if __name__ == "__main__":
    main()
