"""`adjoin recon` on files as BART writes them, on one rank and several: recon.py PROGRAM MPIRUN."""

import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

import torch

from adjoin.io import read_cfl, read_npy, write_cfl
from adjoin.physics import MultiCoilMRI, NonCartesianMRI, has_finufft

PROGRAM, MPIRUN = sys.argv[1:3]
SIZE, COILS = 64, 6


def scan():
    """A phantom (H, W), and maps of its coils."""
    points = torch.linspace(-1, 1, SIZE)
    rows, columns = points[:, None], points[None, :]
    image = (rows**2 + 1.4 * columns**2 < 0.7) * (1 + 0.5 * torch.sin(6 * rows) * torch.cos(5 * columns))
    maps = []
    for k in range(COILS):
        angle = 2 * math.pi * k / COILS
        distance = (rows - 1.2 * math.sin(angle)) ** 2 + (columns - 1.2 * math.cos(angle)) ** 2
        maps.append(torch.polar(torch.exp(-0.6 * distance), rows * math.cos(angle) + columns * math.sin(angle)))
    maps = torch.stack(maps)
    maps = maps / maps.abs().square().sum(0).sqrt()
    return image.to(torch.complex64), maps * torch.polar(torch.ones(SIZE, SIZE), -maps[0].angle())


def run(*arguments, ranks=1):
    start = [PROGRAM] if ranks == 1 else [MPIRUN, "-n", str(ranks), PROGRAM]
    return subprocess.run([*start, "recon", *arguments], capture_output=True, text=True, timeout=120)


def error(image, truth):
    return ((image.abs() - truth.abs()).norm() / truth.norm()).item()


def main():
    image, maps = scan()
    folder = pathlib.Path(tempfile.mkdtemp())
    write_cfl(folder / "maps", maps.permute(2, 1, 0)[:, :, None])
    mask = torch.zeros(SIZE, 1)
    mask[::2] = 1
    mask[SIZE // 2 - 12 : SIZE // 2 + 12] = 1
    kspace = MultiCoilMRI(mask.expand(SIZE, SIZE), maps[None]).A(image[None, None])[0]
    write_cfl(folder / "grid", kspace.permute(2, 1, 0)[:, :, None])
    angle = torch.arange(50)[:, None] * (math.pi * (3 - math.sqrt(5)))
    radius = torch.arange(2 * SIZE) / 2 - SIZE / 2
    trajectory = torch.stack([radius * angle.cos(), radius * angle.sin(), 0 * radius * angle])  # (3, shots, samples)
    write_cfl(folder / "t", trajectory.permute(0, 2, 1))
    rows_first = trajectory[:2].flip(0).permute(1, 2, 0)
    radial = NonCartesianMRI(rows_first, maps[None], units="cycles_per_fov").A(image[None, None])[0]
    write_cfl(folder / "radial", 1e-5 * radial.permute(2, 1, 0)[None])  # a scanner's scale is its own

    images = {}
    for ranks in (1, 2, 3):
        for name, options, bound in (
            ("grid", [], 0.05),
            ("grid", ["--maps", folder / "maps", "--method", "tv"], 0.05),
            ("radial", ["--trajectory", folder / "t"], 0.12),
            ("radial", ["--trajectory", folder / "t", "--maps", folder / "maps", "--method", "l1-wavelet"], 0.12),
        ):
            out = folder / "image"
            done = run(folder / name, "-o", out, *options, "--json", folder / "r.json", "--report", folder / "r.html", ranks=ranks)
            assert done.returncode == 0, done.stderr
            found = read_cfl(out).t() * (1e5 if name == "radial" else 1)
            method = options[-1] if "--method" in options else "sense"
            assert error(found, image) < bound, (name, options, ranks, error(found, image))
            first = images.setdefault((name, method), found)
            assert (found - first).norm() < 1e-3 * first.norm(), (name, method, ranks)
            settings = json.loads((folder / "r.json").read_text())
            assert settings["method"] == method and settings["ranks"] == ranks and settings["coils"] == COILS
            assert method in (folder / "r.html").read_text()
    assert run(folder / "grid", "-o", folder / "a.npy").returncode == 0
    assert torch.allclose(read_npy(folder / "a.npy"), images["grid", "sense"], atol=1e-4)
    assert run(folder / "grid", "-o", folder / "a.nii", "--voxel-size", "1", "2", "3").returncode == 0
    header = (folder / "a.nii").read_bytes()[:348]
    assert struct.unpack_from("<3h", header, 42) == (SIZE, SIZE, 1) and struct.unpack_from("<3f", header, 80) == (1, 2, 3)
    assert run(folder / "grid", "-o", folder / "a.png").returncode == 0 and (folder / "a.png").exists()

    write_cfl(folder / "zeros", torch.zeros(SIZE, SIZE, 1, 2))
    write_cfl(folder / "frames", torch.zeros(8, 8, 1, 2, 1, 3))
    write_cfl(folder / "few", trajectory[:, :10].permute(0, 2, 1))
    for arguments, words in (
        ([folder / "none"], "none.hdr"),
        ([folder / "zeros"], "zero"),
        ([folder / "frames"], "at most four axes"),
        ([folder / "grid", "--method", "magic"], "--method must be"),
        ([folder / "grid", "--lambda", "-1"], "--lambda must be positive"),
        ([folder / "grid", "--voxel-size", "1", "0", "1"], "--voxel-size must be"),
        ([folder / "grid", "--iterations", "0"], "--iterations must be positive"),
        ([folder / "grid", "--maps", folder / "grid-maps"], "grid-maps.hdr"),
        ([folder / "grid", "--maps", folder / "t"], "must hold maps of 6 coils"),
        ([folder / "grid", "--size", "32", "32"], "--size goes with --trajectory"),
        ([folder / "grid", "--trajectory", folder / "t"], "must be (1, samples, shots, coils)"),
        ([folder / "radial", "--trajectory", folder / "few"], "shots and samples"),
        ([folder / "radial", "--trajectory", folder / "grid"], "must be (3, samples, shots)"),
        ([folder / "radial", "--trajectory", folder / "t", "--size", "9"], "--size must have 2 numbers"),
    ):
        for ranks in (1, 2):
            done = run(*arguments, "-o", folder / "b", ranks=ranks)
            assert done.returncode != 0 and words in done.stderr, (arguments, done.stdout, done.stderr)
    print("recon: right")


if __name__ == "__main__":
    assert has_finufft()
    main()
