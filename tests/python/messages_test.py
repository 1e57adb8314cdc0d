# SPDX-License-Identifier: BSD-3-Clause
"""Messages of calls, iterations and backward passes, as the tables of README.md and docs/gradients.md have them."""

import pytest
import torch
from support import Dense, dense_stack

from adjoin import (
    DistributedContext,
    DistributedDataFidelity,
    DistributedProcessing,
    DistributedStackedLinearPhysics,
    optim,
)
from adjoin.physics import Blur, gaussian_kernel


@pytest.fixture
def stack(ctx):
    return dense_stack(ctx)[0]


@pytest.fixture
def x():
    return torch.randn(1, 6, dtype=torch.float64)


def counted(ctx, call):
    """(reductions, gathers, bytes) of a call in the steady state, with which no other collectives are made."""
    for _ in range(3):
        ctx.communicator.reset_counters()
        call()
    counters = ctx.communicator.counters
    assert counters["collectives"] == counters["reductions"] + counters["gathers"]
    return counters["reductions"], counters["gathers"], counters["bytes"]


def expected(ctx, *numbers):
    return numbers if ctx.world_size > 1 else tuple(0 for _ in numbers)


def test_calls(ctx, stack, x):
    y = stack.A(x)
    image, few = x.nbytes + 32, 256  # bytes, with the status that goes along
    table = {
        "A": (lambda: stack.A(x), (0, 1), None),
        "forward": (lambda: stack.forward(x), (0, 1), None),
        "forward, gather=False": (lambda: stack.forward(x, gather=False), (0, 0), 0),
        "A_adjoint": (lambda: stack.A_adjoint(y), (1, 0), image),
        "A_vjp": (lambda: stack.A_vjp(x, y), (1, 0), image),
        "A_adjoint_A": (lambda: stack.A_adjoint_A(x), (1, 0), image),
        "A_A_adjoint": (lambda: stack.A_A_adjoint(y), (1, 1), None),
        "A_dagger, the operators' own": (lambda: stack.A_dagger(y), (1, 0), image),
        "compute_sqnorm": (lambda: stack.compute_sqnorm(x), (1, 0), few),
        "sqnorm_bounds": (lambda: stack.sqnorm_bounds(x), (1, 0), few),
    }
    for name, (call, messages, most) in table.items():
        reductions, gathers, size = counted(ctx, call)
        assert (reductions, gathers) == expected(ctx, *messages), name
        assert most is None or size <= most, name
    alike = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Dense((i + 1) * torch.eye(6).double()))
    assert counted(ctx, lambda: alike.A_reduced(x))[:2] == expected(ctx, 1, 0)


def test_iterations(ctx, stack, x):
    y = [t + torch.randn_like(t) for t in stack.A(x)]
    few, many = 2, 5

    def of_one(solve):
        a, b = (counted(ctx, lambda k=k: solve(k))[0] for k in (few, many))
        return ((b - a) / (many - few),)

    for solver, reductions in {"CG": 1, "MINRES": 1, "LSQR": 2, "LSMR": 2, "BiCGStab": 2}.items():
        options = {"tol": 0.0, "local_only": False}
        assert of_one(lambda k: stack.A_dagger(y, solver, k, **options)) == expected(ctx, reductions), solver  # noqa: B023
    assert of_one(lambda k: stack.prox_l2(x, y, 1.0, "CG", k, 0.0)) == expected(ctx, 1)
    assert of_one(lambda k: stack.compute_sqnorm(x, max_iter=k, tol=0.0, local_only=False)) == expected(ctx, 1)
    for name, argument in (("hqs", [0.5]), ("admm", 0.5)):

        def run(k, inner, name=name, argument=argument):
            options = {"max_iter": k, "tol": 0.0, "prox_max_iter": inner, "prox_tol": 0.0}
            getattr(optim, name)(stack, y, optim.Tikhonov(), x, argument, **options)

        # An iteration of the inner solver is one, and few are made around it.
        at_3, at_5 = (of_one(lambda k, inner=inner: run(k, inner))[0] for inner in (3, 5))
        assert (at_5 - at_3, at_3 <= 3 + 4) == (*expected(ctx, 2), True), name


def test_backward_passes(ctx, stack, x):
    y = list(stack.A(x))
    image, whole = x.clone().requires_grad_(), [t.clone().requires_grad_() for t in y]
    own = [whole[i] for i in stack.local_indexes]
    tiles = DistributedProcessing(ctx, torch.tanh, strategy_kwargs={"patch_size": 3, "overlap": 1})
    fidelity = DistributedDataFidelity(ctx, optim.L2())
    picture = torch.randn(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    same = [torch.randn(1, 6, dtype=torch.float64) for _ in range(5)]
    alike = DistributedStackedLinearPhysics(ctx, 5, lambda i, device, shared: Dense(torch.outer(same[i][0], same[i][0])))
    table = {
        "A": (stack.A, [image], (1, 0)),
        "forward": (stack.forward, [image], (1, 0)),
        "A_adjoint, whole list": (lambda *y: stack.A_adjoint(y), whole, (0, 1)),
        "A_vjp, whole list": (lambda *v: stack.A_vjp(x, v), whole, (0, 1)),
        "A_adjoint, this rank's": (lambda *y: stack.A_adjoint(y), own, (0, 0)),
        "A_adjoint_A": (stack.A_adjoint_A, [image], (1, 0)),
        "A_A_adjoint": (lambda *y: stack.A_A_adjoint(y), whole, (1, 1)),
        "A_reduced": (alike.A_reduced, [image], (1, 0)),
        "A_dagger, the operators' own": (lambda *y: stack.A_dagger(y), whole, (0, 1)),
        "tiles": (tiles, [picture], (1, 0)),
        "fn": (lambda x: fidelity.fn(x, y, stack), [image], (1, 0)),
    }
    for name, (call, inputs, messages) in table.items():
        for _ in range(3):  # the first one agrees on shapes
            result = call(*inputs)
            value = sum(t.square().sum() for t in ([result] if isinstance(result, torch.Tensor) else result))
            ctx.communicator.reset_counters()
            if inputs:
                torch.autograd.grad(value, inputs)
        counters = ctx.communicator.counters
        assert (counters["reductions"], counters["gathers"]) == expected(ctx, *messages), name
        assert counters["collectives"] == sum(expected(ctx, *messages)), name


@pytest.mark.parametrize("check", ["off", "sampled", "full"])
def test_to_compare_arguments_takes_no_message(ctx, x, check):
    if ctx.world_size > 1:
        with DistributedContext(device_mode="cpu", check_replicated=check) as other:
            stack, _ = dense_stack(other)
            y = stack.A(x)
            for call in (lambda: stack.A(x), lambda: stack.A_adjoint(y), lambda: stack.A_adjoint_A(x)):
                reductions, gathers, _ = counted(other, call)
                assert reductions + gathers == 1


def test_announcements_are_counted_apart_and_only_where_memory_is_not_shared(ctx, x):
    if ctx.world_size == 1:
        return
    for sharing, announced in (("in_pieces", 0), ("off", 1)):
        with DistributedContext(device_mode="cpu", shared_memory=sharing) as other:
            stack, _ = dense_stack(other)
            y = stack.A(x)
            for call in (lambda: stack.A(x), lambda: stack.A_adjoint(y), lambda: stack.A_adjoint_A(x)):
                assert sum(counted(other, call)[:2]) == 1
                assert other.communicator.counters["announcements"] == announced, sharing
            collectives = sum(counted(other, lambda: stack.A_dagger(y, "LSQR", 5, 0.0, local_only=False))[:2])
            assert other.communicator.counters["announcements"] == announced * collectives


def test_images_that_the_ranks_share_out_are_gathered_instead_of_added_up(ctx):
    """Where the ranks have one fused form, each computes some of the images, which are gathered."""
    x = torch.rand(2 * ctx.world_size, 1, 32, 32)

    def sent(fuse):
        blurs = [Blur(gaussian_kernel((1.0 + i, 1.0)), padding="circular") for i in range(ctx.world_size)]
        stack = DistributedStackedLinearPhysics(ctx, len(blurs), lambda i, device, shared: blurs[i], fuse=fuse)
        return counted(ctx, lambda: stack.A_adjoint_A(x))[:2], stack.A_adjoint_A(x)

    (fused, result), (plain, right) = sent(True), sent(False)
    assert torch.allclose(result, right, atol=1e-4)
    assert fused == expected(ctx, 0, 1) and plain == expected(ctx, 1, 0)
