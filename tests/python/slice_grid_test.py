# SPDX-License-Identifier: BSD-3-Clause
"""Ranks in a grid of slices and operators, for operators that act slice by slice."""

import pytest
import torch
from support import Scaling

import adjoin
from adjoin import DistributedStackedLinearPhysics, InvalidArgument, RankFailure, SliceGrid, distribute, optim, solvers
from adjoin.physics import Blur, MultiCoilMRI, Tomography, gaussian_kernel

SHAPE = (16, 1, 8, 9)


def image(shape=SHAPE, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(3))


def tomographs():
    """77 angles in 7 operators."""
    angles = torch.arange(77, dtype=torch.float64) * (180 / 77)
    return [Tomography(angles[i::7], (8, 9)) for i in range(7)]


def blurs():
    return [
        Blur(gaussian_kernel((1.0 + i, 1.5), size=[5, 5], dtype=torch.float64), padding="circular") for i in range(3)
    ]


def coils():
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(3, 16, 2, 8, 9, dtype=torch.complex128, generator=generator)
    return [MultiCoilMRI(torch.ones(8, 9), one) for one in maps]


def grids(ctx, **options):
    """All grids of the ranks."""
    for slices in range(1, ctx.world_size + 1):
        if ctx.world_size % slices == 0:
            yield SliceGrid(SHAPE, slices, ctx.world_size // slices, **options)


class Whole:
    """The stack in one process, written out."""

    def __init__(self, operators):
        self.operators = operators

    def A(self, x):
        return [op.A(x) for op in self.operators]

    def A_adjoint(self, y):
        return sum(op.A_adjoint(one) for op, one in zip(self.operators, y, strict=True))

    def A_adjoint_A(self, x):
        return sum(op.A_adjoint_A(x) for op in self.operators)

    def conjugate_gradients(self, y, steps):
        """On AᵀA x = Aᵀ y, for each slice by itself."""

        def dot(a, b):
            return (a.conj() * b).real.sum((1, 2, 3), keepdim=True)

        r = self.A_adjoint(y)
        x, p = torch.zeros_like(r), r
        for _ in range(steps):
            q = self.A_adjoint_A(p)
            step = dot(r, r) / dot(p, q)
            x, r, before = x + step * p, r - step * q, r
            p = r + dot(r, r) / dot(before, before) * p
        return x


def close(a, b, bound=1e-12):
    return (a - b).norm() <= bound * b.norm()


@pytest.mark.parametrize("operators", [tomographs, blurs, coils])
def test_calls_and_solves_equal_those_of_one_process(ctx, operators):
    operators = operators()
    x = image(dtype=torch.complex128 if isinstance(operators[0], MultiCoilMRI) else torch.float64)
    whole = Whole(operators)
    y = whole.A(x)
    for grid in grids(ctx):
        stack = distribute(operators, ctx, grid=grid)
        assert stack.group.size == grid.operators
        slab = stack.shard_image(x)
        assert slab.shape == x.shape and slab.axis == 0 and len(slab.offsets) == grid.slices + 1
        assert torch.equal(slab.gather(), x)
        own = stack.A(slab, gather=False)
        first, last = slab.offsets[ctx.rank // grid.operators :][:2]
        assert all(close(a, y[i][first:last]) for a, i in zip(own, stack.local_indexes, strict=True))
        assert all(close(a, b) for a, b in zip(stack.A(slab), y, strict=True))
        for measured in (own, y):
            assert close(stack.A_adjoint_sharded(measured).gather(), whole.A_adjoint(y))
        assert close(stack.A_adjoint_A(slab).gather(), whole.A_adjoint_A(x))
        info = solvers.SolveInfo()
        found = stack.A_dagger_sharded(y, max_iter=4, tol=0.0, info=info)
        assert close(found.gather(), whole.conjugate_gradients(y, 4), 1e-10) and info.iterations == 4
        prox = stack.prox_l2(slab, own, 0.7, max_iter=200, tol=1e-13)
        residual = prox.gather() + 0.7 * whole.A_adjoint_A(prox.gather()) - 0.7 * whole.A_adjoint(y) - x
        assert residual.norm() < 1e-10 * x.norm()
        assert stack.compute_sqnorm(slab, max_iter=60) >= 0.9 * (whole.A_adjoint_A(x).norm() / x.norm())
        assert slab.norm() == pytest.approx(x.norm().item(), rel=1e-14)


def test_an_image_needs_no_message_and_a_sum_goes_within_the_group(ctx):
    for grid in grids(ctx):
        stack = distribute(tomographs(), ctx, grid=grid)
        slab = stack.shard_image(image())
        own = stack.A(slab, gather=False)

        def sent(call, stack=stack):
            for _ in range(3):
                ctx.communicator.reset_counters()
                stack.group.reset_counters()
                call()
            within = stack.group.counters
            others = ctx.communicator.counters["collectives"] if stack.group.size < ctx.world_size else 0
            return others, within["collectives"], within["reductions"], within["bytes"]

        sums = 1 if grid.operators > 1 else 0
        assert sent(lambda stack=stack, slab=slab: stack.A(slab, gather=False)) == (0, 0, 0, 0)
        others, collectives, reductions, size = sent(lambda stack=stack, own=own: stack.A_adjoint_sharded(own))
        assert (others, collectives, reductions) == (0, sums, sums)
        assert sums * slab.local.nbytes <= size <= sums * (slab.local.nbytes + 64)


def test_volumes_are_cut_along_their_depth(ctx):
    operators = tomographs()
    x = image((1, 1, 5, 8, 9))
    for grid in grids(ctx, axis=-3):
        stack = distribute(operators, ctx, grid=grid._replace(image=tuple(x.shape)))
        slab = stack.shard_image(x)
        assert slab.axis == 2
        assert close(stack.A_adjoint_A(slab).gather(), Whole(operators).A_adjoint_A(x))
        found = stack.A_dagger_sharded(stack.A(slab), max_iter=1000, tol=1e-12)
        assert close(found.gather(), x, 1e-6)


def test_operators_of_python_say_that_they_are_slice_local(ctx):
    class PerSlice(Scaling):
        def slice_axis(self, image_shape, axis):
            return axis if axis < 2 else None

    x = image()
    for grid in grids(ctx):
        stack = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: PerSlice(i + 1.0), grid=grid)
        assert close(stack.A_adjoint_A(stack.shard_image(x)).gather(), 14 * x)
        with pytest.raises((InvalidArgument, RankFailure), match="slice by slice along axis 2"):
            DistributedStackedLinearPhysics(
                ctx, 3, lambda i, device, shared: PerSlice(i + 1.0), grid=grid._replace(axis=2)
            )


def test_gradients(ctx):
    operators = tomographs()
    x = image().requires_grad_()
    (expected,) = torch.autograd.grad((Whole(operators).A_adjoint_A(x) ** 3).sum(), x)
    for grid in grids(ctx):
        stack = distribute(operators, ctx, grid=grid)
        normal = stack.A_adjoint_A(stack.shard_image(x)).gather()
        (gradient,) = torch.autograd.grad((normal**3).sum(), x)
        assert close(gradient, expected)


def test_files_are_read_and_written_in_slabs(ctx, tmp_path):
    folder = ctx.broadcast_object(str(tmp_path))
    x = image()
    for grid in grids(ctx):
        stack = distribute(tomographs(), ctx, grid=grid)
        stack.shard_image(x).to_npy(f"{folder}/{grid.slices}.npy")
        ctx.barrier()
        read = adjoin.ShardedImage.from_npy(stack, f"{folder}/{grid.slices}.npy")
        assert torch.equal(read.gather(), x)


def test_what_is_wrong(ctx):
    operators = tomographs()
    whole = SliceGrid(SHAPE, ctx.world_size, 1)
    for wrong, words in [
        (whole._replace(operators=2), "slices times operators must be the number of ranks"),
        (whole._replace(axis=2), "slice by slice along axis 2"),
        (whole._replace(axis=7), "axis must be one of the 4 axes"),
    ]:
        with pytest.raises((InvalidArgument, RankFailure), match=words):
            distribute(operators, ctx, grid=wrong)
    with pytest.raises((InvalidArgument, RankFailure), match="Scaling does not"):
        distribute([*operators, Scaling(1.0)], ctx, grid=whole)
    if ctx.world_size > 1:
        with pytest.raises((InvalidArgument, RankFailure), match="grid: options must be equal on every rank"):
            distribute(operators, ctx, grid=whole if ctx.rank == 0 else SliceGrid(SHAPE, 1, ctx.world_size))
    stack = distribute(operators, ctx, grid=whole)
    slab = stack.shard_image(image())
    with pytest.raises(InvalidArgument, match="sharded images alone"):
        stack.A(image())
    with pytest.raises(InvalidArgument, match="sharded images alone"):
        stack.A_dagger(stack.A(slab))
    with pytest.raises((InvalidArgument, RankFailure), match="sizes of the stack's grid"):
        stack.shard_image(image((3, 1, 8, 9)))
    with pytest.raises((InvalidArgument, RankFailure), match="stack's grid"):
        stack.A_adjoint_A(distribute(operators, ctx).shard_image(image(), 1))
    with pytest.raises((InvalidArgument, RankFailure), match="data fidelity"):
        adjoin.DistributedDataFidelity(ctx, optim.L2(), len(operators)).grad(image(), stack.A(slab), stack)
    assert close(stack.A_adjoint_A(slab).gather(), Whole(operators).A_adjoint_A(image()))
