# SPDX-License-Identifier: BSD-3-Clause
"""The collectives of the engine that this process was started for; of torch.distributed with and without shared memory."""

from functools import reduce

import pytest
import torch
import torch.distributed as dist

from adjoin import InvalidArgument, _adjoin

REAL = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8]
REAL += [torch.int8, torch.int16, torch.int32, torch.int64]
COMPLEX = [torch.complex64, torch.complex128]


@pytest.fixture(params=["as it comes", "without shared memory"])
def communicator(ctx, request):
    if request.param == "as it comes":
        return ctx.communicator
    if ctx.engine != "c10d":
        pytest.skip("shared memory is an option of torch.distributed's engine")
    return _adjoin.process_group_communicator(dist.group.WORLD, shared_memory="off")


def of_rank(rank, length, dtype):
    """Small integers, exact in every dtype, that differ between ranks."""
    values = ((torch.arange(length) * 7 + 3 * rank) % 4).to(dtype)
    return values * (1 + 2j) if dtype.is_complex else values


def combine(op, values):
    if values[0].dtype == torch.bool:
        op = {"sum": "max", "product": "min"}.get(op, op)
    operation = {"sum": torch.add, "product": torch.mul, "min": torch.minimum, "max": torch.maximum}[op]
    return reduce(operation, values)


@pytest.mark.parametrize("length", [5, 3000, 200_000])
@pytest.mark.parametrize("dtype", REAL + COMPLEX, ids=str)
def test_all_reduce_combines_every_dtype(communicator, dtype, length):
    for op in ["sum", "product"] if dtype.is_complex else ["sum", "product", "min", "max"]:
        tensor = of_rank(communicator.rank, length, dtype)
        communicator.all_reduce(tensor, op)
        assert torch.equal(tensor, combine(op, [of_rank(r, length, dtype) for r in range(communicator.size)])), op


@pytest.mark.parametrize("dtype", REAL + COMPLEX, ids=str)
def test_tensors_move_as_they_are(communicator, dtype):
    size, rank = communicator.size, communicator.rank
    everyone = [of_rank(r, 6, dtype).reshape(2, 3) for r in range(size)]
    assert torch.equal(communicator.all_gather(everyone[rank].clone()), torch.stack(everyone))
    for root in range(size):
        tensor = everyone[rank].clone().t()
        communicator.broadcast(tensor, root)
        assert torch.equal(tensor, everyone[root].t())


def test_bytes_of_any_lengths(communicator):
    everyone = [b"\0x" * rank for rank in range(communicator.size)]
    mine = everyone[communicator.rank]
    assert communicator.all_gather_bytes(mine) == everyone
    assert communicator.broadcast_bytes(mine, communicator.size - 1) == everyone[-1]


def test_complex_numbers_have_no_minimum(communicator):
    with pytest.raises(InvalidArgument, match="complex"):
        communicator.all_reduce(torch.zeros(3, dtype=torch.complex64), "min")
