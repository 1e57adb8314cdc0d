# SPDX-License-Identifier: BSD-3-Clause
"""All succeed or all fail: what fails on one rank is raised there as it is, and on the others as RankFailure."""

import sys
import traceback

import pytest
import torch
from support import Scaling

from adjoin import (
    DistributedContext,
    DistributedDataFidelity,
    DistributedProcessing,
    DistributedStackedLinearPhysics,
    DistributedStackedPhysics,
    Error,
    InvalidArgument,
    RankFailure,
    optim,
)
from adjoin.physics import Diagonal, as_physics


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


def test_arguments_that_one_rank_cannot_read(ctx):
    last = ctx.world_size - 1
    stack = stack_with_failing_last(ctx)
    fidelity = DistributedDataFidelity(ctx, optim.L2())
    x = torch.ones(1, 3)
    y = stack.A(x)
    faulty = ctx.rank == last
    calls = [
        lambda: stack.A_adjoint(y, reduce_op="median" if faulty else "sum"),
        lambda: stack.A_adjoint_A(x, reduce_op="median" if faulty else "sum"),
        lambda: fidelity.grad("an image" if faulty else x, y, stack),
        lambda: fidelity.fn(x, None if faulty else y, stack),
        lambda: fidelity.prox(x, None if faulty else y, stack),
        lambda: optim.gradient_descent(stack, None if faulty else y, optim.ZeroPrior(), x, max_iter=2),
    ]
    for call in calls:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            call()
        assert faulty or isinstance(caught.value, RankFailure)
        assert torch.equal(stack.A(x)[last], 2 * x)


def test_a_context_that_was_not_entered_says_what_to_do():
    outside = DistributedContext()
    assert repr(outside) == "DistributedContext(not entered)"
    with pytest.raises(RuntimeError, match="with DistributedContext"):
        DistributedStackedLinearPhysics(outside, 1, lambda index, device, shared: Scaling(2.0))


# ---- Where it failed ----------------------------------------------------------------------------------------------


class Deep:
    """Fails deep inside the method that `when` names."""

    def __init__(self, when=None, error=Trouble):
        self.when, self.error = when, error

    def deep_inside(self, name):
        if self.when == name:
            try:
                raise KeyError("the reason")
            except KeyError as reason:
                raise self.error("no signal") from reason

    def A(self, x, **kwargs):
        self.deep_inside("A")
        return 2 * x

    def A_adjoint(self, y, **kwargs):
        self.deep_inside("A_adjoint")
        return 2 * y

    def forward(self, x, **kwargs):
        self.deep_inside("forward")
        return 2 * x

    def A_vjp(self, x, v, **kwargs):
        self.deep_inside("A_vjp")
        return 2 * v

    def A_adjoint_A(self, x, **kwargs):
        self.deep_inside("A_adjoint_A")
        return 4 * x

    def A_dagger(self, y, **kwargs):
        self.deep_inside("A_dagger")
        return y / 2

    # As a fidelity, a denoiser, a processor, a noise model, a monitor and a strategy:

    def fn(self, u, y):
        self.deep_inside("fn")
        return (u - y).sum()

    def grad(self, u, y):
        self.deep_inside("grad")
        return u - y

    def __call__(self, x, *rest):
        self.deep_inside("call")
        return x


def check_traceback(ctx, call, *, last, operator=None, error=Trouble, sends=True):
    """The exception of rank `last` leads into the user's function, says where that ran, and keeps its cause."""
    if ctx.rank != last and not sends:
        call()
        return
    if ctx.rank != last:
        with pytest.raises(RankFailure):
            call()
        return
    with pytest.raises(error) as caught:
        call()
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "deep_inside", frames
    assert isinstance(caught.value.__cause__, KeyError)
    if operator is not None:
        where = f"adjoin: in operator {operator}, on rank {ctx.rank}"
        assert caught.value.__notes__ == [where]
        if sys.version_info >= (3, 11):
            assert where in "".join(traceback.format_exception(caught.value))


METHODS = {
    "A": ("A", lambda stack, x, y: stack.A(x)),
    "A, summed": ("A", lambda stack, x, y: stack.A(x, reduce_op="sum")),
    "forward": ("forward", lambda stack, x, y: stack.forward(x)),
    "A_adjoint": ("A_adjoint", lambda stack, x, y: stack.A_adjoint(y)),
    "A_adjoint, each": ("A_adjoint", lambda stack, x, y: stack.A_adjoint(y, reduce_op="none")),
    "A_vjp": ("A_vjp", lambda stack, x, y: stack.A_vjp(x, y)),
    "A_adjoint_A": ("A_adjoint_A", lambda stack, x, y: stack.A_adjoint_A(x)),
    "A_A_adjoint": ("A_adjoint", lambda stack, x, y: stack.A_A_adjoint(y)),
    "A_dagger, local": ("A_dagger", lambda stack, x, y: stack.A_dagger(y)),
    "CG": ("A_adjoint_A", lambda stack, x, y: stack.A_dagger(y, "CG", local_only=False)),
    "LSQR": ("A_adjoint", lambda stack, x, y: stack.A_dagger(y, "LSQR", local_only=False)),
    "prox_l2": ("A_adjoint_A", lambda stack, x, y: stack.prox_l2(x, y, 1.0)),
    "compute_sqnorm": ("A_adjoint_A", lambda stack, x, y: stack.compute_sqnorm(x, local_only=False)),
    "sqnorm_bounds": ("A_adjoint_A", lambda stack, x, y: stack.sqnorm_bounds(x)),
}


@pytest.mark.parametrize(("when", "call"), METHODS.values(), ids=METHODS.keys())
def test_tracebacks_lead_into_operators(ctx, when, call):
    last = ctx.world_size - 1
    operators = [Deep() for _ in range(ctx.world_size)]
    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: operators[i])
    x = torch.ones(1, 3)
    y = [2 * x] * ctx.world_size
    call(stack, x, y)
    if ctx.rank == last:
        operators[last].when = when
    check_traceback(ctx, lambda: call(stack, x, y), last=last, operator=last)
    operators[last].when = None
    call(stack, x, y)


def test_tracebacks_without_messages_are_those_of_their_rank(ctx):
    last = ctx.world_size - 1
    operators = [Deep() for _ in range(ctx.world_size)]
    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: operators[i])
    x = torch.ones(1, 3)
    if ctx.rank == last:
        operators[last].when = "A"
    check_traceback(ctx, lambda: stack.A(x, gather=False), last=last, operator=last, sends=False)
    operators[last].when = None
    stack.A(x)


@pytest.mark.parametrize("of", ["x", "y"])
def test_tracebacks_of_a_backward_pass_lead_into_operators(ctx, of):
    last = ctx.world_size - 1
    operators = [Deep() for _ in range(ctx.world_size)]
    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: operators[i])
    x = torch.ones(1, 3, requires_grad=True)
    result = sum(t.sum() for t in stack.A(x)) if of == "x" else stack.A_adjoint([x] * ctx.world_size).sum()
    if ctx.rank == last:
        operators[last].when = "A_vjp" if of == "x" else "A"
    check_traceback(ctx, result.backward, last=last, operator=last)
    operators[last].when = None
    sum(t.sum() for t in stack.A(x)).backward()
    assert torch.equal(x.grad, torch.full((1, 3), 2.0 * ctx.world_size))


class Straight(torch.autograd.Function):
    """Identity whose backward pass fails."""

    @staticmethod
    def forward(ctx, x, operator):
        ctx.operator = operator
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        ctx.operator.deep_inside("backward")
        return gradient, None


class Learned(torch.nn.Module):
    """An operator with a parameter, recorded by torch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(2.0))
        self.failing = Deep()

    def A(self, x, **kwargs):
        return Straight.apply(self.weight * x, self.failing)

    def A_adjoint(self, y, **kwargs):
        return self.weight * y


def test_tracebacks_lead_into_the_backward_pass_of_an_operators_own_function(ctx):
    last = ctx.world_size - 1
    operators = [Learned() for _ in range(ctx.world_size)]
    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: operators[i])
    x = torch.ones(1, 3, requires_grad=True)
    result = sum(t.sum() for t in stack.A(x))
    if ctx.rank == last:
        operators[last].failing.when = "backward"
    check_traceback(ctx, result.backward, last=last)


@pytest.mark.parametrize("kind", [DistributedStackedPhysics, DistributedStackedLinearPhysics])
def test_tracebacks_lead_into_factories(ctx, kind):
    last = ctx.world_size - 1

    def factory(index, device, shared):
        Deep("factory" if index == last else None).deep_inside("factory")
        return Deep()

    check_traceback(ctx, lambda: kind(ctx, ctx.world_size, factory), last=last, operator=last)


def test_tracebacks_lead_into_fidelities(ctx):
    last = ctx.world_size - 1
    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: Deep())
    x = torch.ones(1, 3)
    for when in ("fn", "grad"):
        fidelity = DistributedDataFidelity(ctx, lambda i, d, s, when=when: Deep(when if i == last else None), ctx.world_size)
        check_traceback(ctx, lambda: getattr(fidelity, when)(x, [x] * ctx.world_size, stack), last=last, operator=last)


def test_tracebacks_lead_into_processors(ctx):
    last = ctx.world_size - 1
    tiles = DistributedProcessing(ctx, Deep("call" if ctx.rank == last else None), strategy_kwargs={"patch_size": 4, "overlap": 1})
    check_traceback(ctx, lambda: tiles(torch.ones(1, 1, 16, 16)), last=last)


def test_tracebacks_lead_into_denoisers_and_monitors(ctx):
    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: Deep())
    x, last = torch.ones(1, 3), ctx.world_size - 1
    y = [x] * ctx.world_size
    failing = Deep("call" if ctx.rank == last else None)
    check_traceback(ctx, lambda: optim.proximal_gradient(stack, y, optim.PnP(failing, 0.1), x, step=0.1), last=last)
    check_traceback(ctx, lambda: optim.fista(stack, y, optim.ZeroPrior(), x, step=0.1, monitor=failing), last=last)


@pytest.mark.parametrize("error", [Trouble, KeyboardInterrupt, SystemExit, MemoryError])
def test_an_operator_alone_raises_what_its_methods_raise(ctx, error):
    operator = as_physics(Deep("A", error))
    for call in (operator.A, (operator + Diagonal(1.0)).A, operator.T.A_adjoint):
        with pytest.raises(error) as caught:
            call(torch.ones(1, 2))
        assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "deep_inside"
        assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_passes_through_stacks_as_well(ctx, error):
    last = ctx.world_size - 1
    operator = Deep("A" if ctx.rank == last else None, error)
    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: operator)
    check_traceback(ctx, lambda: stack.A(torch.ones(1, 3)), last=last, operator=last, error=error)


def test_an_exception_raised_twice_is_noted_once(ctx):
    error = Trouble("the same object")

    class Same(Scaling):
        def A(self, x, **kwargs):
            raise error

    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: Same(1.0))
    for _ in range(2):
        with pytest.raises((Trouble, RankFailure)):
            stack.A(torch.ones(1, 3))
    assert len(getattr(error, "__notes__", [])) <= 1


def test_a_wrong_argument_of_an_operator_of_ours_says_where(ctx):
    last = ctx.world_size - 1
    make = lambda i, d, s: Diagonal(torch.ones(4 if i == last else 3))  # noqa: E731
    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, make)
    with pytest.raises(InvalidArgument if ctx.rank == last else RankFailure, match="weights must broadcast") as caught:
        stack.A(torch.ones(1, 3))
    assert ctx.rank != last or caught.value.__notes__ == [f"adjoin: in operator {last}, on rank {last}"]
