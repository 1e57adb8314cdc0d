# SPDX-License-Identifier: BSD-3-Clause
"""One group of cells of the fault matrix: program.py CALL[,CALL…] FAULT[,FAULT…], on every rank of a launcher.

For each cell: the call is right; then it is made with the fault on the last rank, which is the same error on all ranks
within two seconds; then it is right again. A rank that exits or is killed (a group of one cell, since the program ends
with it) is an error for the others within ten seconds.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from typing import NoReturn

import torch
from calls import CALLS, WITHOUT_IMAGE, WITHOUT_OPTIONS, World
from faults import FAULTS, LOSSES, RAISES

import adjoin

TIME_LIMIT, LOSS_TIME_LIMIT = 2.0, 10.0
# The machine may be busy with other tests: so many times as long is still no hang.
PATIENCE = float(os.environ.get("ADJOIN_TEST_PATIENCE", "1"))


def end(problem: str) -> NoReturn:
    """The ranks do not belong together any more."""
    os.write(2, f"{problem}\n".encode())
    os._exit(9)


def ends_within(seconds: float, what: str) -> threading.Timer:
    timer = threading.Timer(seconds, end, [f"{what}: no end within {seconds} s"])
    timer.daemon = True
    timer.start()
    return timer


def skipped(call: str, fault: str) -> bool:
    return (fault == "other image" and call in WITHOUT_IMAGE) or (fault == "other options" and call in WITHOUT_OPTIONS)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-4, atol=1e-5))


def check_cell(world: World, call_name: str, fault_name: str) -> str | None:
    """None, or what is wrong."""
    ctx, call = world.ctx, CALLS[call_name]
    faulty = ctx.rank == ctx.world_size - 1
    what = f"{call_name} x {fault_name} on rank {ctx.rank}"
    timer = ends_within(60 * PATIENCE, what)
    right = call(world, world.arguments())
    run, expected = FAULTS[fault_name]
    ctx.barrier()
    start = time.monotonic()
    error: BaseException | None = None
    try:
        run(world, call, faulty)
    except Exception as caught:  # noqa: BLE001
        error = caught
    seconds = time.monotonic() - start
    try:
        again = call(world, world.arguments())
    except Exception as next_error:  # noqa: BLE001
        end(f"{what}: {type(error).__name__}: {error}; the next call raised {type(next_error).__name__}: {next_error}")
    timer.cancel()
    reports: list[object] = [None] * ctx.world_size
    mine = (type(error).__name__, str(error)) if error is not None else None
    ctx.all_gather_object(reports, (mine, seconds, close(again, right)))
    errors = [report[0] for report in reports]
    if not all(report[2] for report in reports):
        return f"{what}: the next call is not right"
    if max(report[1] for report in reports) > TIME_LIMIT * PATIENCE:
        return f"{what}: took {[round(report[1], 1) for report in reports]} s"
    if len({e is None for e in errors}) > 1:
        return f"{what}: not the same on all ranks, {errors}"
    if expected == RAISES and errors[0] is None:
        return f"{what}: no exception"
    others = set(errors[:-1])
    if len(others) > 1:
        return f"{what}: unlike errors, {errors}"
    return None


def check_loss(world: World, call_name: str, fault_name: str) -> str | None:
    ctx, call = world.ctx, CALLS[call_name]
    faulty = ctx.rank == ctx.world_size - 1
    call(world, world.arguments())
    ctx.barrier()
    what = f"{call_name} x {fault_name} on rank {ctx.rank}"
    timer = ends_within(LOSS_TIME_LIMIT * PATIENCE + 5, what)
    start = time.monotonic()
    try:
        LOSSES[fault_name](world, call, faulty)
    except Exception as error:  # noqa: BLE001
        timer.cancel()
        seconds = time.monotonic() - start
        named = str(ctx.world_size - 1) in str(error)
        problem = None if named else f"{what}: the error does not name the rank: {error}"
        return problem if seconds <= LOSS_TIME_LIMIT * PATIENCE else f"{what}: took {seconds:.1f} s"
    return f"{what}: no exception"


def main() -> None:
    calls, faults = (argument.split(",") for argument in sys.argv[1:3])
    torch.set_num_threads(1)
    problems = []
    cells = 0
    context = adjoin.DistributedContext(device_mode="cpu")
    with context as ctx:
        world = World(ctx)
        for call in calls:
            for fault in faults:
                if skipped(call, fault):
                    continue
                check = check_loss if fault in LOSSES else check_cell
                problem = check(world, call, fault)
                cells += 1
                if problem is not None:
                    problems.append(problem)
                    os.write(2, f"{problem}\n".encode())
        if faults[0] in LOSSES:
            os._exit(1)  # the group of ranks is not whole any more
    if ctx.rank == 0 and not problems:
        print(f"{cells} right", flush=True)
    sys.exit(bool(problems))


if __name__ == "__main__":
    assert math.isfinite(PATIENCE)
    main()
