# SPDX-License-Identifier: BSD-3-Clause
"""`adjoin recon` on files as BART and ISMRMRD's libraries write them, on one rank and several: recon.py PROGRAM MPIRUN
[--whole]. A sample of the broken files is tried, or --whole."""

import gzip
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time

import nibabel
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent / "python"))
import mrd_files
from mrd_test import BROKEN

from adjoin.io import read_cfl, read_npy, write_cfl, write_safetensors
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
    maps = maps / maps.abs().square().sum(0).sqrt() * (rows**2 + columns**2 < 1.3)
    return image.to(torch.complex64), maps * torch.polar(torch.ones(SIZE, SIZE), -maps[0].angle())


def run(*arguments, ranks=1):
    start = [PROGRAM] if ranks == 1 else [MPIRUN, "-n", str(ranks), PROGRAM]
    return subprocess.run([*start, "recon", *arguments], capture_output=True, text=True, timeout=120)


def error(image, truth):
    return ((image.abs() - truth.abs()).norm() / truth.norm()).item()


def centred(transform, array, axes):
    return torch.fft.fftshift(transform(torch.fft.ifftshift(array, dim=axes), dim=axes, norm="ortho"), dim=axes)


def noisy(kspace, generator):
    """Coils whose noise is unlike and correlated, and samples of it."""
    coils = len(kspace)
    mixing = torch.eye(coils, dtype=torch.complex64) + 0.2 * torch.randn(coils, coils, generator=generator)
    mixing = 5e-3 * torch.linspace(0.5, 3, coils)[:, None] * mixing

    def noise(count):
        return mixing @ torch.randn(coils, count, dtype=torch.complex64, generator=generator)

    samples = noise(4000)
    return kspace + noise(kspace[0].numel()).reshape(kspace.shape), samples


def mrd_scans(image, maps, folder):
    """Files of the phantom: every third line and separate calibration, of coils with unlike noise and readouts twice as
    long; spokes; three slices, the phantom turned in each, with the upper fifth of k-space left out."""
    generator = torch.Generator().manual_seed(1)
    wide = torch.nn.functional.pad(maps * image, (SIZE // 2, SIZE // 2))
    kspace, noise = noisy(centred(torch.fft.fftn, wide, (-2, -1)), generator)
    lines = [mrd_files.line(noise, flags=[mrd_files.ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    lines += [mrd_files.line(kspace[:, y], y) for y in range(0, SIZE, 2)]
    calibration = [mrd_files.ismrmrd.ACQ_IS_PARALLEL_CALIBRATION]
    lines += [mrd_files.line(kspace[:, y], y, flags=calibration) for y in range(SIZE // 2 - 12, SIZE // 2 + 12)]
    whole, shown = (1, SIZE, 2 * SIZE), (1, SIZE, SIZE)
    mrd_files.write(folder / "grid.h5", mrd_files.header(whole, shown, pixel=2.0), lines)

    angle = torch.arange(50)[:, None] * (math.pi * (3 - math.sqrt(5)))
    radius = torch.arange(2 * SIZE) / (2 * SIZE) - 0.5
    trajectory = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)  # x first
    spokes = NonCartesianMRI(trajectory.flip(-1), maps[None]).A(image[None, None])[0]
    lines = [mrd_files.line(spokes[:, i], trajectory=trajectory[i]) for i in range(len(spokes[0]))]
    mrd_files.write(folder / "radial.h5", mrd_files.header(shown, trajectory="radial"), lines)

    lines = []
    for number in range(3):
        kspace = centred(torch.fft.fftn, maps * image.rot90(number), (-2, -1))
        place = {"position": (10, 20, 30 + 5 * number), "read_dir": (0, 1, 0), "phase_dir": (-1, 0, 0), "slice_dir": (0, 0, 1)}
        lines += [mrd_files.line(kspace[:, y], y, counters={"slice": number}, **place) for y in range(SIZE * 4 // 5)]
    mrd_files.write(folder / "slices.h5", mrd_files.header(shown), lines)


def bytes_read(*arguments, ranks):
    """By each of the ranks that run the program."""
    shell = ["bash", "-c", '"$@" >&2; sed -n "s/rchar: /read /p" /proc/$$/io', "bash"]
    done = subprocess.run([MPIRUN, "-n", str(ranks), *shell, PROGRAM, *arguments], capture_output=True, text=True, timeout=120)
    counts = [int(count) for count in re.findall(r"read (\d+)", done.stdout)]
    assert len(counts) == ranks, (done.stdout, done.stderr)
    return counts


def check_that_ranks_read_their_own(folder):
    coils, size = 16, 192
    kspace = torch.randn(coils, size, size, dtype=torch.complex64)
    mrd_files.write(folder / "many.h5", mrd_files.header((1, size, size)), mrd_files.grid_lines(kspace.numpy()))
    write_cfl(folder / "many", kspace.permute(2, 1, 0)[:, :, None])
    samples = 8 * kspace.numel()
    before = max(bytes_read("info", ranks=2))
    for name in ("many.h5", "many"):
        for ranks in (1, 2, 3):
            for count in bytes_read("recon", folder / name, "-o", folder / "b", "--iterations", "1", ranks=ranks):
                assert abs((count - before) / samples - 1 / ranks) < 0.15, (name, count, before, samples, ranks)


def check_mrd(image, maps, folder):
    check_that_ranks_read_their_own(folder)
    mrd_scans(image, maps, folder)
    for name, options, bound in (
        ("grid.h5", [], 0.05),
        ("grid.h5", ["--coils", "4"], 0.05),
        ("radial.h5", [], 0.12),
        ("radial.h5", ["--method", "tv"], 0.12),
        ("slices.h5", ["--slice", "1"], 0.15),
    ):
        first = None
        for ranks in (1, 2, 3):
            done = run(folder / name, "-o", folder / "image", *options, "--json", folder / "r.json", ranks=ranks)
            assert done.returncode == 0, done.stderr
            found = read_cfl(folder / "image").t()
            truth = image.rot90(1) if name == "slices.h5" else image
            found = found * ((found.abs() * truth.abs()).sum() / found.abs().square().sum())  # noise has a scale of its own
            assert error(found, truth) < bound, (name, options, ranks, error(found, truth))
            first = found if first is None else first
            assert (found - first).norm() < 1e-3 * first.norm(), (name, options, ranks)
            settings = json.loads((folder / "r.json").read_text())
            assert settings["prewhitened"] == (name == "grid.h5") and settings["slices"] == 1
            assert settings["coils"] == (4 if "--coils" in options else COILS)
    # Maps of the coils as they are, in place of ESPIRiT's, are whitened with them.
    done = run(folder / "grid.h5", "-o", folder / "image", "--maps", folder / "maps")
    assert done.returncode == 0, done.stderr
    whitened = error(read_cfl(folder / "image").t(), image)
    assert whitened < 0.08, whitened

    done = run(folder / "slices.h5", "-o", folder / "volume.nii", ranks=2)
    assert done.returncode == 0, done.stderr
    volume = nibabel.load(folder / "volume.nii")
    assert volume.shape == (SIZE, SIZE, 3)
    for number in range(3):
        assert error(torch.tensor(volume.get_fdata()[:, :, number].T), image.rot90(number)) < 0.15
    # 64 pixels of a millimetre: pixel 32 of slice 1 lies 10 mm to the left, 20 mm back, 35 mm up.
    assert torch.allclose(torch.tensor(volume.affine @ [SIZE / 2, SIZE / 2, 1, 1]), torch.tensor([-10.0, -20, 35, 1]).double())
    step = volume.affine[:3, :3].tolist()
    assert step == [[0, 1, 0], [-1, 0, 0], [0, 0, 5]], step

    for number, name in enumerate(BROKEN):
        if number % 7 == 0 or "--whole" in sys.argv:
            write, words = BROKEN[name]
            write(folder / "broken.h5")
            for ranks in (1, 2):
                done = run(folder / "broken.h5", "-o", folder / "b", ranks=ranks)
                assert done.returncode != 0 and re.search(words, done.stderr), (name, ranks, done.stdout, done.stderr)
                assert "broken.h5" in done.stderr


def interrupted(*arguments, checkpoint):
    """Ends runs as soon as they have written their checkpoint, until one has not ended by itself."""
    while not checkpoint.exists():
        process = subprocess.Popen([PROGRAM, "recon", *arguments, "--checkpoint", checkpoint], stdout=subprocess.DEVNULL)
        while process.poll() is None and not checkpoint.exists():
            time.sleep(1e-4)
        process.kill()
        process.wait()


def check_checkpoints(folder):
    checkpoint = folder / "checkpoint"
    for name, options in (("grid", ["--method", "tv", "--iterations", "300"]), ("slices.h5", [])):
        assert run(folder / name, "-o", folder / "whole", *options).returncode == 0
        whole = read_cfl(folder / "whole")
        arguments = [folder / name, "-o", folder / "image", *options, "--checkpoint", checkpoint]
        for ranks in (1, 2):
            interrupted(folder / name, "-o", folder / "image", *options, checkpoint=checkpoint)
            differs = run(*arguments, "--lambda", "0.5", ranks=ranks)
            assert differs.returncode != 0 and "is of a run with" in differs.stderr, differs.stderr
            # A run that cannot write its image has found it all the same.
            done = run(*[folder / "no" / "image" if one == folder / "image" else one for one in arguments], ranks=ranks)
            assert done.returncode != 0 and "cannot write" in done.stderr and checkpoint.exists(), done.stderr
            done = run(*arguments, "--json", folder / "r.json", ranks=3 - ranks)
            assert done.returncode == 0, done.stderr
            assert json.loads((folder / "r.json").read_text())["resumed"] and not checkpoint.exists()
            assert (read_cfl(folder / "image") - whole).norm() < 2e-3 * whole.norm(), (name, ranks)
    write_safetensors(checkpoint, {"weights": torch.ones(3)})
    for ranks in (1, 2):
        done = run(folder / "grid", "-o", folder / "image", "--checkpoint", checkpoint, ranks=ranks)
        assert done.returncode != 0 and "is no checkpoint" in done.stderr, done.stderr


def check_plug_and_play(image, folder):
    # It takes nothing away, so that the image is that of least squares.
    kernels = {"in_conv": (4, 1), "conv_list.0": (4, 4), "out_conv": (1, 4)}
    weights = {f"{name}.weight": torch.zeros(*channels, 3, 3) for name, channels in kernels.items()}
    write_safetensors(folder / "d.safetensors", weights, {"architecture": "DnCNN"})
    for ranks in (1, 2):
        options = ["--method", "pnp", "--denoiser", folder / "d.safetensors", "--iterations", "3", "--maps", folder / "maps"]
        done = run(folder / "grid", "-o", folder / "image", *options, ranks=ranks)
        assert done.returncode == 0, done.stderr
        assert error(read_cfl(folder / "image").t(), image) < 0.05


def check_sets_of_maps(image, maps, trajectory, folder):
    """Two images, each seen by maps of its own."""
    both = torch.stack([image, image.rot90(1)])
    sets = torch.stack([maps, maps.roll(1, 0) * torch.polar(torch.ones(COILS), torch.arange(COILS) * 1.3)[:, None, None]])
    write_cfl(folder / "two", sets.permute(3, 2, 1, 0)[:, :, None])
    seen = (both[:, None] * sets).sum(0)
    write_cfl(folder / "folded", centred(torch.fft.fftn, seen, (-2, -1)).permute(2, 1, 0)[:, :, None])
    one = torch.ones(1, 1, SIZE, SIZE, dtype=torch.complex64)
    spokes = NonCartesianMRI(trajectory, one, units="cycles_per_fov").A(seen[:, None])[:, 0]
    write_cfl(folder / "folded_spokes", spokes.permute(2, 1, 0)[None])
    for name, options, bound in (("folded", [], 0.02), ("folded_spokes", ["--trajectory", folder / "t"], 0.2)):
        first = None
        for ranks in (1, 2):
            done = run(folder / name, "-o", folder / "image", "--maps", folder / "two", *options, "--iterations", "100", ranks=ranks)
            assert done.returncode == 0, done.stderr
            found = read_cfl(folder / "image")
            assert found.shape == (SIZE, SIZE, 1, 1, 2)
            found = found[:, :, 0, 0].permute(2, 1, 0)
            assert error(found, both * (sets.abs().sum(1) > 0)) < bound, (name, ranks, error(found, both))
            first = found if first is None else first
            assert (found - first).norm() < 1e-3 * first.norm()
    assert run(folder / "folded", "-o", folder / "a.png", "--maps", folder / "two").returncode == 0
    done = run(folder / "grid", "-o", folder / "image", "--sets", "2", ranks=2)
    assert done.returncode == 0, done.stderr
    found = read_cfl(folder / "image")[:, :, 0, 0].permute(2, 1, 0)
    assert error(found[0], image) < 0.05 and found[1].norm() < 0.1 * found[0].norm()


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
            if "--maps" in options:
                assert found.abs()[maps.abs().sum(0) == 0].max() == 0  # seen by no coil
            settings = json.loads((folder / "r.json").read_text())
            assert settings["method"] == method and settings["ranks"] == ranks and settings["coils"] == COILS
            assert method in (folder / "r.html").read_text()
    assert run(folder / "grid", "-o", folder / "a.npy").returncode == 0
    assert torch.allclose(read_npy(folder / "a.npy"), images["grid", "sense"], atol=1e-4)
    assert run(folder / "grid", "-o", folder / "a.nii", "--voxel-size", "1", "2", "3").returncode == 0
    header = (folder / "a.nii").read_bytes()[:348]
    assert struct.unpack_from("<3h", header, 42) == (SIZE, SIZE, 1) and struct.unpack_from("<3f", header, 80) == (1, 2, 3)
    assert run(folder / "grid", "-o", folder / "a.png").returncode == 0 and (folder / "a.png").exists()

    assert run(folder / "grid", "-o", folder / "a.nii.gz", "--voxel-size", "1", "2", "3").returncode == 0
    assert gzip.decompress((folder / "a.nii.gz").read_bytes()) == (folder / "a.nii").read_bytes()

    check_mrd(image, maps, folder)
    check_checkpoints(folder)
    check_plug_and_play(image, folder)
    check_sets_of_maps(image, maps, rows_first, folder)

    write_cfl(folder / "zeros", torch.zeros(SIZE, SIZE, 1, 2))
    write_cfl(folder / "frames", torch.zeros(8, 8, 1, 2, 1, 3))
    write_cfl(folder / "few", trajectory[:, :10].permute(0, 2, 1))
    for arguments, words in (
        ([folder / "none"], "none.hdr"),
        ([folder / "zeros"], "zero"),
        ([folder / "frames"], "at most four axes"),
        ([folder / "grid", "--method", "magic"], "--method must be"),
        ([folder / "grid", "--method", "pnp"], "--method pnp and --denoiser go together"),
        ([folder / "grid", "--method", "pnp", "--denoiser", folder / "none"], "none"),
        ([folder / "grid", "--sets", "7"], "--sets must be from 1 to the number of coils, 6"),
        ([folder / "grid", "--sets", "2", "--maps", folder / "maps"], "a file has its own"),
        ([folder / "grid", "--maps", folder / "frames"], "at most five axes"),
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
        ([folder / "radial", "--slice", "1"], "go with ISMRMRD files"),
        ([folder / "slices.h5", "--slice", "3"], "--slice must be from 0 to 2"),
        ([folder / "slices.h5", "--contrast", "1"], "no lines of slice 0, contrast 1"),
        ([folder / "slices.h5", "--trajectory", folder / "t"], "--trajectory goes with BART's files"),
        ([folder / "grid.h5", "--coils", "7"], "--coils must be at most the 6"),
        ([folder / "none.h5"], "none.h5"),
    ):
        for ranks in (1, 2):
            done = run(*arguments, "-o", folder / "b", ranks=ranks)
            assert done.returncode != 0 and words in done.stderr, (arguments, done.stdout, done.stderr)
    print("recon: right")


if __name__ == "__main__":
    assert has_finufft()
    main()
