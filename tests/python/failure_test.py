"""All succeed or all fail: what fails on one rank is raised there as it is, and on the others as RankFailure."""

import pytest
import torch
from support import Scaling

from adjoin import DistributedContext, DistributedProcessing, DistributedStackedLinearPhysics, Error, RankFailure


class Trouble(Exception):
    """Nobody else's exception."""


class Failing(Scaling):
    """Fails in the method that `when` names."""

    when = None

    def A(self, x, **kwargs):
        if self.when == "A":
            raise Trouble("no signal")
        return super().A(x)

    def A_adjoint(self, y, **kwargs):
        if self.when == "A_adjoint":
            raise Trouble("no signal")
        return super().A_adjoint(y)


def stack_with_failing_last(ctx, **options):
    """Operator n - 1, which the last rank owns, is Failing."""
    n = ctx.world_size

    def factory(index, device, shared):
        return Failing(2.0) if index == n - 1 else Scaling(2.0)

    return DistributedStackedLinearPhysics(ctx, n, factory, **options)


def check_failure(ctx, call, *, last):
    if ctx.rank == last:
        with pytest.raises(Trouble, match="no signal"):
            call()
        return
    with pytest.raises(RankFailure, match="Trouble: no signal") as caught:
        call()
    assert caught.value.rank == last
    assert caught.value.operator_index == last
    assert "no signal" in caught.value.reason
    assert isinstance(caught.value, Error) and isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("strategy", ["naive", "concatenated", "broadcast"])
def test_an_exception_in_A(ctx, strategy):
    stack = stack_with_failing_last(ctx, gather_strategy=strategy)
    last = ctx.world_size - 1
    x = torch.ones(1, 3)
    stack.A(x)
    Failing.when = "A"
    try:
        check_failure(ctx, lambda: stack.A(x), last=last)
        check_failure(ctx, lambda: stack.A_adjoint_A(x), last=last)
    finally:
        Failing.when = None
    assert torch.equal(stack.A(x)[last], 2 * x)


def test_an_exception_within_a_solve(ctx):
    stack = stack_with_failing_last(ctx)
    y = stack.A(torch.ones(1, 3))
    Failing.when = "A_adjoint"
    try:
        check_failure(ctx, lambda: stack.A_dagger(y, local_only=False), last=ctx.world_size - 1)
        check_failure(ctx, lambda: stack.A_adjoint(y), last=ctx.world_size - 1)
    finally:
        Failing.when = None
    assert torch.allclose(stack.A_dagger(y, local_only=False), torch.ones(1, 3))


def test_an_exception_of_the_factory(ctx):
    last = ctx.world_size - 1

    def factory(index, device, shared):
        if index == last:
            raise Trouble("no signal")
        return Scaling(1.0)

    check_failure(ctx, lambda: DistributedStackedLinearPhysics(ctx, ctx.world_size, factory), last=last)


def test_an_exception_of_a_processor(ctx):
    trouble = {"now": False}

    def process(tiles):
        if trouble["now"]:
            raise Trouble("no signal")
        return 2 * tiles

    processing = DistributedProcessing(ctx, process, strategy_kwargs={"patch_size": 4, "overlap": 1})
    x = torch.ones(1, 1, 16, 16)
    assert torch.equal(processing(x), 2 * x)
    trouble["now"] = ctx.rank == 0
    with pytest.raises(Trouble if ctx.rank == 0 else RankFailure, match="no signal"):
        processing(x)
    trouble["now"] = False
    assert torch.equal(processing(x), 2 * x)


def test_an_exception_with_gradients_recorded(ctx):
    stack = stack_with_failing_last(ctx)
    x = torch.ones(1, 3, requires_grad=True)
    Failing.when = "A"
    try:
        check_failure(ctx, lambda: stack.A(x), last=ctx.world_size - 1)
    finally:
        Failing.when = None
    (gradient,) = torch.autograd.grad(sum(y.sum() for y in stack.A(x)), x)
    assert torch.equal(gradient, torch.full((1, 3), 2.0 * ctx.world_size))


def test_a_context_that_was_not_entered_says_what_to_do():
    outside = DistributedContext()
    assert repr(outside) == "DistributedContext(not entered)"
    with pytest.raises(RuntimeError, match="with DistributedContext"):
        DistributedStackedLinearPhysics(outside, 1, lambda index, device, shared: Scaling(2.0))
