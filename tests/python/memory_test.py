# SPDX-License-Identifier: BSD-3-Clause
"""Nothing is copied between Python and C++, and nothing is left behind."""

import copy
import gc
import io
import pickle
import resource
import sys

import numpy
import pytest
import torch
from support import Scaling

from adjoin import DistributedDataFidelity, DistributedProcessing, DistributedStackedLinearPhysics
from adjoin.arguments import as_tensor
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


def test_arrays_of_numpy_are_shared_where_torch_can():
    for make, shared in (
        (lambda: numpy.ones((1, 3)), True),
        (lambda: numpy.ones((3, 2)).T[:1], True),
        (lambda: numpy.ones((1, 3), dtype=">f8"), False),
        (lambda: numpy.ones((1, 3))[:, ::-1], False),
        (lambda: numpy.frombuffer(numpy.ones(3).tobytes()).reshape(1, 3), False),  # read-only
    ):
        array = make()
        assert (as_tensor(array, "x").data_ptr() == array.ctypes.data) == shared


def test_gathered_measurements_lie_in_one_buffer(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 4, lambda i, device, shared: Scaling(1.0 + i))
    places = sorted(t.data_ptr() for t in stack.A(torch.rand(1, 1, 64, 64)))
    if ctx.world_size > 1:
        assert places[-1] - places[0] < 4 * (64 * 64 * 4 + 64)


@pytest.mark.parametrize("size", [8, 300])
def test_one_of_a_list_of_results_carries_its_own_memory_only(ctx, size):
    stack = DistributedStackedLinearPhysics(ctx, 8, lambda i, device, shared: Scaling(1.0 + i))
    x = torch.rand(1, 1, size, size)
    for _ in range(5):
        y = stack.A(x)
        for result in (y[5], stack.A_adjoint(y)):
            assert result.untyped_storage().nbytes() == result.nbytes
            buffer = io.BytesIO()
            torch.save(result, buffer)
            assert buffer.tell() < result.nbytes + 4000
            buffer.seek(0)
            for duplicate in (torch.load(buffer), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
                assert torch.equal(duplicate, result)
                assert duplicate.untyped_storage().nbytes() == result.nbytes
        assert torch.allclose(y[5], 6 * x)


def test_a_result_moved_to_shared_memory_leaves_later_ones_right(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Scaling(1.0 + i))
    x = torch.rand(1, 1, 8, 8)
    moved = []
    for factor in range(1, 6):
        y = stack.A(factor * x)
        moved.append(y[1].share_memory_())
        assert all(torch.allclose(y[i], factor * (i + 1) * x) for i in range(3))
    assert all(torch.allclose(kept, 2 * factor * x) for factor, kept in enumerate(moved, 1))


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
