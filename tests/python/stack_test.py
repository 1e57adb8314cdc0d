# SPDX-License-Identifier: BSD-3-Clause
"""Stacks over ranks against one dense matrix."""

import os
import pty

import pytest
import torch
from support import Dense, Scaling, dense_stack, matrices

from adjoin import (
    DistributedContext,
    DistributedStackedLinearPhysics,
    DistributedStackedPhysics,
    InvalidArgument,
    TensorList,
    _adjoin,
    distribute,
)
from adjoin.physics import Matrix, gaussian_noise


def image(dtype=torch.float64):
    return torch.randn(2, 6, dtype=dtype)


def joined(y):
    return torch.cat(list(y), dim=-1)


@pytest.mark.parametrize("strategy", ["naive", "concatenated", "broadcast"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_measurements_and_adjoints_are_those_of_the_dense_matrix(ctx, strategy, dtype):
    stack, M = dense_stack(ctx, dtype=dtype, gather_strategy=strategy)
    x = image(dtype)
    y = stack.A(x)
    assert isinstance(y, TensorList) and len(y) == 5
    assert torch.allclose(joined(y), x @ M.T)
    assert torch.allclose(stack.A_adjoint(y), joined(y) @ M.conj())
    assert torch.allclose(stack.A_vjp(x, y), joined(y) @ M.conj())
    assert torch.allclose(stack.A_adjoint_A(x), x @ M.T @ M.conj())
    assert torch.allclose(joined(stack.A_A_adjoint(y)), joined(y) @ M.conj() @ M.T)
    assert stack.adjointness_test(x) < 1e-12


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_norms_that_the_dtype_of_the_image_does_not_hold(ctx, scale):
    stack = DistributedStackedLinearPhysics(ctx, 2, lambda i, device, shared: Matrix(torch.full((1, 1), scale)))
    x = torch.ones(1, 1)
    for local_only in (False, True):
        assert stack.compute_sqnorm(x, local_only=local_only) == pytest.approx(2 * scale**2, rel=1e-3)
    assert stack.compute_sqnorm(x / scale).dtype == torch.double


def test_more_ranks_than_operators(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 1, lambda i, device, shared: Scaling(3.0))
    x = image()
    assert torch.equal(stack.A(x)[0], 3 * x)
    assert torch.allclose(stack.A_adjoint(stack.A(x)), 9 * x)
    own = stack.A(x, gather=False)
    assert len(own) == (ctx.rank == 0)
    for part in (stack.A_adjoint(own, gather=False), stack.A_adjoint_A(x, gather=False), stack.A_reduced(x, gather=False)):
        assert part.shape == x.shape if ctx.rank == 0 else torch.equal(part, torch.zeros_like(part.sum()))


def test_without_gathering_each_rank_has_its_part_and_sends_nothing(ctx):
    stack, M = dense_stack(ctx)
    x = image()
    whole = stack.A(x)
    ctx.communicator.reset_counters()
    y = stack.A(x, gather=False)
    part = stack.A_adjoint(y, gather=False)
    assert ctx.communicator.counters["collectives"] == 0
    assert isinstance(y, list)
    assert all(torch.equal(mine, whole[i]) for mine, i in zip(y, stack.local_indexes, strict=True))
    if y:
        ctx.all_reduce(part)
        assert torch.allclose(part, x @ M.T @ M)
    else:
        ctx.all_reduce(torch.zeros_like(x))
    assert torch.allclose(stack.A_adjoint(y), x @ M.T @ M)  # a rank's part of the list will do


def test_a_call_is_one_message(ctx):
    stack, _ = dense_stack(ctx)
    x = image()
    y = stack.A(x)
    calls = {"A": lambda: stack.A(x), "A_adjoint": lambda: stack.A_adjoint(y), "A_adjoint_A": lambda: stack.A_adjoint_A(x)}
    for name, call in calls.items():
        call()
        ctx.communicator.reset_counters()
        call()
        assert ctx.communicator.counters["collectives"] == (0 if ctx.world_size == 1 else 1), name


def test_reduce_op(ctx):
    factors = [1.0, 2.0, 3.0]
    stack = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Scaling(factors[i]))
    x = image()
    y = stack.A(x)
    assert torch.allclose(stack.A(x, reduce_op="sum"), 6 * x)
    assert torch.allclose(stack.A(x, reduce_op="mean"), 2 * x)
    assert torch.allclose(stack.A_adjoint(y, reduce_op="sum"), 14 * x)
    assert torch.allclose(stack.A_adjoint(y, reduce_op="mean"), 14 / 3 * x)
    each = stack.A_adjoint(y, reduce_op="none")
    assert all(torch.allclose(term, f * f * x) for term, f in zip(each, factors, strict=True))
    mine = stack.A_adjoint_A(x, gather=False, reduce_op="none")
    assert len(mine) == len(stack.local_indexes)
    with pytest.raises(ValueError, match="reduce_op"):
        stack.A_adjoint(y, reduce_op="product")


def test_mean_reduction_weighs_the_measurements(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 4, lambda i, device, shared: Scaling(2.0), reduction="mean")
    x = image()
    assert torch.allclose(stack.A_adjoint(stack.A(x)), 4 * x)
    assert torch.allclose(stack.A_adjoint(stack.A(x), reduce_op="sum"), 16 * x)
    assert stack.adjointness_test(x) < 1e-12


def test_pseudoinverse_and_norm(ctx):
    stack, M = dense_stack(ctx)
    x = image()
    y = stack.A(x)
    for solver in ("CG", "lsqr", "LSMR", "BiCGStab", "minres"):
        assert torch.allclose(stack.A_dagger(y, solver, 200, 1e-12, local_only=False), x, atol=1e-6), solver
    mean = sum(yi @ torch.linalg.pinv(block).T for yi, block in zip(y, matrices(5), strict=True)) / 5
    assert torch.allclose(stack.A_dagger(y, max_iter=200, tol=1e-12), mean, atol=1e-6)
    exact = torch.linalg.matrix_norm(M, 2) ** 2
    norm = stack.compute_sqnorm(x[:1], local_only=False, tol=1e-8)
    assert norm.dim() == 0 and torch.isclose(norm, exact, rtol=1e-4)
    assert stack.compute_sqnorm(x[:1]) >= exact
    lower, upper = stack.sqnorm_bounds(x[:1])
    assert lower <= exact <= upper
    z = image()
    solution = torch.linalg.solve(3 * M.T @ M + torch.eye(6, dtype=M.dtype), (3 * joined(y) @ M + z).T).T
    assert torch.allclose(stack.prox_l2(z, y, 3.0, max_iter=200, tol=1e-12), solution, atol=1e-6)


def test_keyword_arguments_reach_every_operator_as_they_are(ctx):
    marker = object()
    seen = []

    class Listening(Scaling):
        def A(self, x, **kwargs):
            seen.append(kwargs)
            return super().A(x) * kwargs.get("gain", 1.0)

    stack = DistributedStackedLinearPhysics(ctx, 2, lambda i, device, shared: Listening(1.0))
    y = stack.A(image(), gain=torch.tensor(2.0), marker=marker, options={"a": [1, None]})
    assert all(kwargs["marker"] is marker and kwargs["options"] == {"a": [1, None]} for kwargs in seen)
    assert len(y) == 2


def test_keyword_arguments_reach_operators_of_cpp(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 2, lambda i, device, shared: Matrix(torch.eye(3)))
    x = torch.randn(1, 3)
    assert torch.equal(stack.A(x, matrix=2 * torch.eye(3))[1], 2 * x)


def test_factory_arguments_come_from_rank_zero(ctx):
    mine = {"factors": torch.arange(1.0, 4.0) * (1 if ctx.rank == 0 else 100), "note": ("any", {"object"})}
    seen = []

    def factory(index, device, shared):
        seen.append((device, shared["note"]))
        return Scaling(float(shared["factors"][index]))

    stack = DistributedStackedLinearPhysics(ctx, 3, factory, factory_kwargs=mine)
    assert len(seen) == len(stack.local_indexes)
    assert all(entry == (torch.device("cpu"), ("any", {"object"})) for entry in seen)
    assert torch.allclose(stack.A_adjoint_A(torch.ones(1, 2)), torch.full((1, 2), 14.0))


def test_nonlinear_models(ctx):
    class Square:
        def A(self, x, **kwargs):
            return x**2

    stack = DistributedStackedPhysics(ctx, 3, lambda i, device, shared: Square())
    assert not hasattr(stack, "A_adjoint")
    assert torch.equal(stack.A(torch.full((1, 2), 3.0))[2], torch.full((1, 2), 9.0))


def test_forward_adds_the_operators_noise(ctx):
    def factory(index, device, shared):
        operator = Matrix(torch.eye(4))
        operator.set_noise_model(gaussian_noise(1.0, seed=index))
        return operator

    stack = DistributedStackedLinearPhysics(ctx, 3, factory)
    x = torch.zeros(1, 4)
    y = stack.forward(x)
    assert torch.equal(y[0], gaussian_noise(1.0, seed=0)(x)) and not torch.equal(y[0], y[1])
    assert not torch.equal(stack(x)[0], y[0])


@pytest.mark.parametrize("gather_strategy", ["invalid", ""])
def test_wrong_options_are_value_errors(ctx, gather_strategy):
    with pytest.raises(ValueError, match="gather_strategy"):
        dense_stack(ctx, gather_strategy=gather_strategy)


def test_wrong_arguments_are_value_errors_and_leave_the_stack_usable(ctx):
    stack, _ = dense_stack(ctx)
    x = image()
    with pytest.raises(InvalidArgument, match="y: must hold 5 tensors"):
        stack.A_adjoint([x] * 7)
    assert torch.allclose(stack.A_adjoint(stack.A(x)), stack.A_adjoint_A(x))


def test_distribute_tells_lists_of_operators_by_themselves(ctx):
    linear = distribute([Dense(m) for m in matrices(3)], ctx)
    assert isinstance(linear, DistributedStackedLinearPhysics) and len(linear) == 3
    with pytest.raises(ValueError, match="type_object"):
        distribute(lambda index, device, shared: Scaling(1.0), ctx)
    factory = distribute(lambda i, device, shared: Scaling(1.0), ctx, type_object="linear_physics", num_operators=2)
    assert len(factory) == 2


def test_objects_describe_themselves(ctx):
    stack, _ = dense_stack(ctx)
    assert "5 operators" in repr(stack) and f"rank {ctx.rank} of {ctx.world_size}" in repr(stack)
    assert repr(stack.A(image())).startswith("TensorList([float64 (2, 3)")


def test_the_adjointness_test_does_not_depend_on_the_number_of_ranks(ctx):
    class Alone(DistributedContext):
        def _make_communicator(self):
            return _adjoin.single_communicator()

    def wrong(ctx):
        blocks = matrices(5)

        class Wrong(Dense):
            def A_adjoint(self, y, **kwargs):
                return 2 * super().A_adjoint(y) + y.sum()

        return DistributedStackedLinearPhysics(ctx, 5, lambda i, device, shared: Wrong(blocks[i]))

    with Alone(device_mode="cpu") as alone:
        x = image()
        for seed in (0, 3):
            found = wrong(ctx).adjointness_test(x, seed)
            assert found > 1e-3 and found == pytest.approx(wrong(alone).adjointness_test(x, seed), rel=1e-12)


def written_on_a_terminal(call):
    """What a call writes to its error output while that is a terminal."""
    master, slave = pty.openpty()
    usual = os.dup(2)
    os.dup2(slave, 2)
    try:
        call()
    finally:
        os.dup2(usual, 2)
    os.set_blocking(master, False)
    try:
        return os.read(master, 100_000)
    except BlockingIOError:
        return b""
    finally:
        for number in (master, slave, usual):
            os.close(number)


def test_rank_0_alone_draws_a_progress_bar(ctx):
    stack, _ = dense_stack(ctx)
    z, y = image(), stack.A(image())
    drawn = [
        written_on_a_terminal(lambda verbose=verbose: call(verbose))  # noqa: B023
        for call in (
            lambda verbose: stack.A_dagger(y, "CG", 5, 0.0, verbose, local_only=False),
            lambda verbose: stack.prox_l2(z, y, 1.0, "LSQR", 5, 0.0, verbose),
        )
        for verbose in (True, False)
    ]
    assert [len(bar) > 0 for bar in drawn] == [ctx.rank == 0, False] * 2
