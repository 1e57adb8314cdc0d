# SPDX-License-Identifier: BSD-3-Clause
"""Fourier sums at any frequencies, and what is made of them: definitions, ranks, and what is said without FINUFFT."""

import copy
import os
import pathlib
import re
import subprocess
import sys

import pytest
import torch

import adjoin
from adjoin.physics import (
    NonCartesianMRI,
    NonuniformFourier,
    density_compensation,
    espirit_maps,
    has_finufft,
    mix_coils,
    off_resonance_mri,
    prewhitening_matrix,
    subspace_mri,
    voronoi_density,
)


def randn(*shape, seed=1, dtype=torch.complex128):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def frequencies(*shape, seed=2):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 0.5


def sums(trajectory, x):
    """By the definition in docs/mri.md."""
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 for n in x.shape[-2:])
    phase = trajectory[..., :1, None] * rows[:, None] + trajectory[..., 1:, None] * columns
    waves = torch.exp(-2j * torch.pi * phase)
    return torch.einsum("...hw,bchw->bc...", waves, x) / (x.shape[-1] * x.shape[-2]) ** 0.5


def test_finufft_is_there():
    assert has_finufft()


def test_definitions():
    trajectory, maps, weights = frequencies(3, 5, 2), randn(1, 4, 9, 8), frequencies(3, 5)
    x = randn(1, 1, 9, 8, seed=3)
    assert torch.allclose(NonuniformFourier(trajectory, (9, 8), eps=1e-12).A(x), sums(trajectory, x))
    mri = NonCartesianMRI(trajectory, maps, weights, eps=1e-12)
    assert torch.allclose(mri.A(x), weights * sums(trajectory, maps * x))
    pixels = torch.tensor([9.0, 8.0])
    for units, factor in (("cycles_per_fov", pixels), ("radians_per_pixel", 2 * torch.pi)):
        assert torch.allclose(NonuniformFourier(trajectory * factor, (9, 8), units=units).A(x), sums(trajectory, x), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("parts", ["coils", "shots", "frequencies", "mixed"])
def test_stacks_over_ranks_equal_one_process(ctx, parts, dtype):
    tolerance = 1e-4 if dtype == torch.complex64 else 1e-9
    trajectory, maps = frequencies(6, 7, 2), randn(1, 5, 10, 8, dtype=dtype)
    options = {"eps": 1e-6 if dtype == torch.complex64 else 1e-11}
    mri = NonCartesianMRI(trajectory, maps, frequencies(7), **options)
    operators = {
        "coils": lambda: mri.split(5),
        "shots": lambda: mri.split(5, by="shot"),
        "frequencies": lambda: NonuniformFourier(trajectory, (10, 8), **options).split(5),
        "mixed": lambda: mri.split(3) + mri.split(2, by="shot"),
    }[parts]()
    x = randn(1, 1, 10, 8, seed=4, dtype=dtype)
    stack = adjoin.distribute(operators, ctx)
    y = stack.A(x)
    alone = [operator.A(x) for operator in operators]
    assert all(torch.allclose(a, b, atol=tolerance) for a, b in zip(y, alone, strict=True))
    back = sum(operator.A_adjoint(b) for operator, b in zip(operators, alone, strict=True))
    assert torch.allclose(stack.A_adjoint(y), back, atol=10 * tolerance)
    assert torch.allclose(stack.A_adjoint_A(x), back, atol=10 * tolerance)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(sum(b.abs().square().sum() for b in stack.A(leaf)), leaf)
    assert torch.allclose(gradient, 2 * back, atol=20 * tolerance)
    solution = stack.prox_l2(torch.zeros_like(x), y, gamma=10.0, max_iter=50, tol=1e-8)
    normal = sum(operator.A_adjoint_A(solution) for operator in operators)
    assert torch.allclose(10.0 * normal + solution, 10.0 * back, atol=1e3 * tolerance)


def test_a_trajectory_changed_in_place_is_followed():
    trajectory, x = frequencies(20, 2), randn(1, 1, 8, 8)
    op = NonuniformFourier(trajectory, (8, 8), eps=1e-12)
    op.A_adjoint_A(x)
    trajectory.mul_(0.5)
    assert torch.allclose(op.A(x), sums(trajectory, x))
    assert torch.allclose(op.A_adjoint_A(x), op.A_adjoint(op.A(x)))
    op.update(trajectory=-trajectory)
    assert torch.allclose(op.A(x), sums(-trajectory, x))
    assert torch.allclose(op.A(x, trajectory=trajectory), sums(trajectory, x))


def test_bad_arguments_are_named():
    trajectory, maps = frequencies(9, 2), randn(1, 2, 8, 8)
    for make, words in (
        (lambda: NonuniformFourier(100 * trajectory, (8, 8)), "within ±0.5 cycles a pixel"),
        (lambda: NonuniformFourier(trajectory, (8, 8), units="hertz"), "cycles_per_fov"),
        (lambda: NonuniformFourier(trajectory, (8, 8, 8)), "trajectory must be real"),
        (lambda: NonCartesianMRI(trajectory, maps.real), "coil_maps must be complex"),
        (lambda: NonCartesianMRI(trajectory, maps, trajectory), "weights must be real"),
        (lambda: NonCartesianMRI(trajectory, maps).A(randn(1, 1, 8, 9)), "x must be"),
        (lambda: NonCartesianMRI(trajectory, maps).A_adjoint(randn(1, 3, 9)), "y must be"),
        (lambda: NonCartesianMRI(trajectory, maps).split(3), "number of coils, 2"),
        (lambda: NonCartesianMRI(trajectory, maps).split(3, by="slice"), "coil or shot"),
        (lambda: density_compensation(trajectory, (8, 8), iterations=0), "iterations must be positive"),
        (lambda: espirit_maps(maps[0]), "along each axis"),
        (lambda: mix_coils(torch.eye(3), maps[0]), "matrix must be"),
        (lambda: prewhitening_matrix(maps[0, :, 0, :1]), "singular"),
    ):
        with pytest.raises(adjoin.errors.InvalidArgument, match=words):
            make()


def test_scans_of_what_changes_are_spread_over_ranks_and_copied(ctx):
    trajectory = frequencies(6, 10, 2)
    maps = randn(4, 9, 8)
    times = torch.linspace(0.002, 0.02, 10, dtype=torch.float64)
    field = 40 * randn(9, 8).real
    basis = randn(6, 3).real

    def off_resonance(coils):
        return off_resonance_mri(trajectory, coils, field, times, accuracy=1e-6, eps=1e-9)

    def subspace(coils):
        return subspace_mri(trajectory, coils, basis, eps=1e-9)

    for make, x in ((off_resonance, randn(1, 1, 9, 8)), (subspace, randn(1, 3, 9, 8))):
        whole = make(maps)
        y = whole.A(x)
        assert y.shape == (1, 4, 6, 10)
        stack = adjoin.distributed.distribute([make(maps[i : i + 1]) for i in range(4)], ctx)
        parts = stack.A(x)
        assert torch.allclose(torch.cat(list(parts), 1), y, atol=1e-8)
        assert torch.allclose(stack.A_adjoint(parts), whole.A_adjoint(y), atol=1e-7)
        assert torch.equal(copy.deepcopy(whole).A(x), y)
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(whole.A(x).abs().square().sum() / 2, x)
        assert torch.allclose(gradient, whole.A_adjoint(y), atol=1e-7)
    assert torch.allclose(y[:, :, 2], NonCartesianMRI(trajectory[2], maps, eps=1e-9).A((x * basis[2, :, None, None]).sum(1, True)))


def test_voronoi_cells_are_the_areas_of_samples():
    size = (12, 15)
    grid = torch.stack(torch.meshgrid(*[(torch.arange(n) - n // 2) / n for n in size], indexing="ij"), -1)
    assert torch.allclose(voronoi_density(grid, size), torch.ones(size))
    twice = torch.stack([grid, grid])
    assert torch.allclose(voronoi_density(twice, size), torch.full((2, *size), 0.5))
    cycles = grid.double() * torch.tensor(size)
    weights = voronoi_density(cycles, size, units="cycles_per_fov")
    assert weights.dtype == torch.float64 and torch.allclose(weights, torch.ones(size).double())

    # Rings of a kooshball's slice: sample i of a spoke has 2 π r dr / (2 spokes) of them, the origin is shared by all.
    n, spokes = 32, 48
    radius = (torch.arange(2 * n) - n) / (2 * n)
    angle = torch.arange(spokes)[:, None] * (torch.pi / spokes)
    trajectory = torch.stack([radius * angle.sin(), radius * angle.cos()], dim=-1)
    weights = voronoi_density(trajectory, (n, n))
    rings = (n * radius).abs() * 0.5 * torch.pi / spokes
    # A cell of corners is a little smaller than its piece of a ring.
    assert torch.allclose(weights[:, 2:-2], rings[2:-2].clamp(min=0).expand(spokes, -1), rtol=0.02, atol=0.01)
    assert weights.sum() == pytest.approx(torch.pi * (n / 2) ** 2, rel=0.08)
    image = torch.zeros(1, 1, n, n, dtype=torch.complex64)
    image[..., 10:22, 12:20] = 1
    fourier = NonuniformFourier(trajectory, (n, n))
    gridded = fourier.A_adjoint(weights * fourier.A(image))
    assert (gridded - image).norm() < 0.25 * image.norm()


def test_trajectories_without_cells_are_errors():
    line = torch.linspace(-0.4, 0.4, 9)[:, None].expand(9, 2)
    for trajectory, size, units, words in (
        (line, (8, 8), "cycles_per_pixel", "not on a line"),
        (torch.zeros(9, 2), (8, 8), "cycles_per_pixel", "not on a line"),
        (torch.zeros(0, 2), (8, 8), "cycles_per_pixel", "not on a line"),
        (torch.rand(9, 3), (8, 8, 8), "cycles_per_pixel", "must be real"),
        (torch.rand(9, 2) * float("nan"), (8, 8), "cycles_per_pixel", "must be finite"),
        (torch.rand(9, 2), (8, 8), "metres", "units must be one of"),
        (torch.rand(3, 2), (8, 8), "cycles_per_pixel", "no cell lies within"),
    ):
        with pytest.raises(adjoin.errors.InvalidArgument, match=words):
            voronoi_density(trajectory, size, units)


def test_the_programs_of_the_page_run(ctx):
    if ctx.world_size > 1:
        pytest.skip("the programs are those of one process")
    page = (pathlib.Path(__file__).parents[2] / "docs" / "mri.md").read_text()
    programs = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if block.startswith("import")]
    assert len(programs) == 2
    for program in programs:
        exec(program, {})


def test_without_finufft_an_error_says_what_to_install(ctx):
    if ctx.world_size > 1:
        pytest.skip("one process says it")
    program = "import torch\nfrom adjoin.physics import *\nassert not has_finufft()\n" + (
        "NonuniformFourier(torch.zeros(3, 2), (8, 8)).A(torch.ones(1, 1, 8, 8))"
    )
    environment = os.environ | {"ADJOIN_FINUFFT": "/nowhere.so"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1 and "pip install finufft" in done.stderr and "/nowhere.so" in done.stderr, done.stderr
