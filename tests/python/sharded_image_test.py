# SPDX-License-Identifier: BSD-3-Clause
"""Images of which each rank holds a slab."""

import pytest
import torch
from support import dense_stack

from adjoin import InvalidArgument, RankFailure, ShardedImage, io, solvers


def image(dtype=torch.float64):
    return torch.randn(2, 6, dtype=dtype, generator=torch.Generator().manual_seed(3))


def close(a, b):
    return torch.allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_calls_equal_those_on_replicated_images(ctx, axis, dtype):
    stack, M = dense_stack(ctx, dtype=dtype)
    x = image(dtype)
    slab = ShardedImage.from_replicated(stack, x, axis)
    assert slab.shape == x.shape and slab.dtype == dtype and slab.axis == (axis if axis != -1 else 1)
    assert len(slab.offsets) == ctx.world_size + 1
    assert torch.equal(slab.gather(), x)
    y = stack.A(x)
    assert all(close(a, b) for a, b in zip(stack.A(slab), y, strict=True))
    own = stack.A(slab, gather=False)
    assert all(close(a, y[i]) for a, i in zip(own, stack.local_indexes, strict=True))
    adjoint = stack.A_adjoint_sharded(y, axis)
    assert isinstance(adjoint, ShardedImage) and close(adjoint.gather(), stack.A_adjoint(y))
    assert close(stack.A_adjoint_A(slab).gather(), stack.A_adjoint_A(x))
    assert slab.norm() == pytest.approx(x.norm().item(), rel=1e-14)
    assert slab.dot(adjoint) == pytest.approx(torch.vdot(x.flatten(), stack.A_adjoint(y).flatten()).item(), rel=1e-12)
    doubled = slab.with_local(2 * slab.local)
    assert torch.equal(doubled.gather(), 2 * x)


@pytest.mark.parametrize("solver", ["CG", "LSQR", "LSMR", "BiCGStab", "MINRES"])
def test_solves_equal_those_on_replicated_images(ctx, solver):
    stack, _ = dense_stack(ctx)
    y = [t + 0.1 * torch.ones_like(t) for t in stack.A(image())]
    options = {"solver": solver, "max_iter": 5, "tol": 0.0}
    expected = stack.A_dagger(y, local_only=False, layout="replicated", **options)
    assert close(stack.A_dagger(y, local_only=False, layout="sharded", **options), expected)
    info = solvers.SolveInfo()
    assert close(stack.A_dagger_sharded(y, axis=1, info=info, **options).gather(), expected)
    assert info.iterations == 5
    z = image()
    slab = stack.shard_image(z)
    expected = stack.prox_l2(z, y, 0.7, layout="replicated", **options)
    assert close(stack.prox_l2(z, y, 0.7, layout="sharded", **options), expected)
    assert close(stack.prox_l2(slab, y, 0.7, **options).gather(), expected)
    started = stack.A_dagger(y, local_only=False, init=z, layout="replicated", **options)
    assert close(stack.A_dagger_sharded(y, init=slab, **options).gather(), started)


def test_norms_equal_those_on_replicated_images(ctx):
    stack, _ = dense_stack(ctx)
    x = image()
    options = {"local_only": False, "max_iter": 6, "tol": 0.0}
    expected = stack.compute_sqnorm(x, layout="replicated", **options)
    assert close(stack.compute_sqnorm(x, layout="sharded", **options), expected)
    assert close(stack.compute_sqnorm(stack.shard_image(x, 1), **options), expected)


def test_what_is_wrong(ctx):
    stack, _ = dense_stack(ctx)
    slab = stack.shard_image(image())
    with pytest.raises((InvalidArgument, RankFailure), match="layout"):
        stack.A_dagger([], layout="elsewhere")
    with pytest.raises((InvalidArgument, RankFailure), match="axis"):
        stack.A_adjoint_sharded(stack.A(image()), 5)
    with pytest.raises(InvalidArgument, match="axis"):
        stack.shard_image(image(), 2)
    with pytest.raises((InvalidArgument, RankFailure), match="reduce_op"):
        stack.A_adjoint_A(slab, reduce_op="sum")
    with pytest.raises(InvalidArgument, match="local"):
        slab.with_local(torch.ones(100))
    assert close(stack.A_adjoint_A(slab).gather(), stack.A_adjoint_A(image()))


def test_gradients(ctx):
    stack, M = dense_stack(ctx)
    x = image().requires_grad_()
    normal = x @ M.T @ M
    (expected,) = torch.autograd.grad((normal**3).sum() + ((x @ M.T) ** 3).sum(), x)
    slab = stack.shard_image(x)
    value = (stack.A_adjoint_A(slab).gather() ** 3).sum() + sum((y**3).sum() for y in stack.A(slab))
    (gradient,) = torch.autograd.grad(value, x)
    assert close(gradient, expected)
    with pytest.raises((InvalidArgument, RankFailure), match="gradients"):
        stack.prox_l2(slab, stack.A(image()), 0.7)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_files_are_read_and_written_in_slabs(ctx, axis, tmp_path):
    folder = ctx.broadcast_object(str(tmp_path))
    stack, _ = dense_stack(ctx)
    x = image()
    stack.shard_image(x, axis).to_npy(f"{folder}/x.npy")
    ctx.barrier()
    assert torch.equal(io.read_npy(f"{folder}/x.npy"), x)
    read = ShardedImage.from_npy(stack, f"{folder}/x.npy", axis)
    assert torch.equal(read.gather(), x)
    assert torch.equal(read.local, stack.shard_image(x, axis).local)


def test_an_iteration_of_cg_is_three_messages(ctx):
    stack, _ = dense_stack(ctx)
    y = [t + 0.1 * torch.ones_like(t) for t in stack.A(image())]

    def count(iterations):
        for _ in range(2):
            ctx.communicator.reset_counters()
            stack.A_dagger_sharded(y, max_iter=iterations, tol=0.0)
        return ctx.communicator.counters

    few, many = count(2), count(5)
    expected = 0 if ctx.world_size == 1 else 3
    assert many["gathers"] - few["gathers"] == expected
    assert many["scatters"] - few["scatters"] == expected
    assert many["collectives"] - few["collectives"] == 3 * expected
