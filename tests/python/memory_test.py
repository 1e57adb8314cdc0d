"""Nothing is copied between Python and C++, and nothing is left behind."""

import gc
import resource
import sys

import torch
from support import Scaling

from adjoin import DistributedDataFidelity, DistributedProcessing, DistributedStackedLinearPhysics
from adjoin.optim import L2


class Recording(Scaling):
    """Remembers where its arguments and results lie."""

    def __init__(self, factor):
        super().__init__(factor)
        self.arguments, self.results = [], []

    def A(self, x, **kwargs):
        self.arguments.append(x.data_ptr())
        y = self.factor * x
        self.results.append(y.data_ptr())
        return y

    def A_adjoint(self, y, **kwargs):
        self.arguments.append(y.data_ptr())
        return self.factor * y


def test_operators_get_and_give_the_very_tensors(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 4, lambda i, device, shared: Recording(1.0 + i))
    x = torch.rand(1, 1, 64, 64)
    y = stack.A(x, gather=False)
    for operator, measurement in zip(stack.local_physics, y, strict=True):
        assert operator.arguments == [x.data_ptr()]
        assert operator.results == [measurement.data_ptr()]
    stack.A_adjoint(y)
    for operator, measurement in zip(stack.local_physics, y, strict=True):
        assert operator.arguments[-1] == measurement.data_ptr()


def test_gathered_measurements_are_views_of_one_buffer(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 4, lambda i, device, shared: Scaling(1.0 + i))
    y = stack.A(torch.rand(1, 1, 64, 64))
    storages = {t.untyped_storage().data_ptr() for t in y}
    assert len(storages) == (4 if ctx.world_size == 1 else 1)


def test_keyword_tensors_are_not_copied(ctx):
    seen = []

    class Listening(Scaling):
        def A(self, x, weights, **kwargs):
            seen.append(weights.data_ptr())
            return weights * x

    stack = DistributedStackedLinearPhysics(ctx, 2, lambda i, device, shared: Listening(1.0))
    weights = torch.rand(3)
    stack.A(torch.rand(1, 3), weights=weights)
    assert set(seen) <= {weights.data_ptr()}


def test_ten_thousand_calls_leave_nothing_behind(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Scaling(1.0 + i))
    processing = DistributedProcessing(ctx, lambda x: x, strategy_kwargs={"patch_size": 4, "overlap": 1})
    fidelity = DistributedDataFidelity(ctx, L2())
    x = torch.rand(1, 1, 8, 8)
    marker = object()

    def calls(count):
        for _ in range(count):
            y = stack.A(x, marker=marker)
            stack.A_adjoint(y, marker=marker)
            stack.A_adjoint_A(x)
            processing(x)
            fidelity.grad(x, y, stack)

    calls(500)
    gc.collect()
    references = sys.getrefcount(marker), sys.getrefcount(x), len(gc.get_objects())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls(2000)
    gc.collect()
    assert sys.getrefcount(marker) == references[0]
    assert sys.getrefcount(x) == references[1]
    assert abs(len(gc.get_objects()) - references[2]) < 50
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 4096  # kilobytes


def test_stacks_and_operators_end_with_their_last_reference(ctx):
    ended = []

    class Ending(Scaling):
        def __del__(self):
            ended.append(self.factor)

    stack = DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: Ending(1.0 + i))
    x = torch.rand(1, 3, requires_grad=True)
    y = stack.A_adjoint_A(x)
    del stack
    gc.collect()
    assert not ended  # the graph of y needs the stack
    torch.autograd.grad(y.sum(), x)
    del y
    gc.collect()
    assert ended == [1.0 + ctx.rank]
