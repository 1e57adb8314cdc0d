# SPDX-License-Identifier: BSD-3-Clause
"""The faults of the matrix: what goes wrong on one rank while the others make a call as it should be.

Each runs a call on all ranks, with its fault on the last one, and says what came of it there.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from calls import OPTION, Arguments, Call, World


class Trouble(Exception):
    """Nobody else's exception."""


# How the fault shows: an exception on every rank, none at all, or, where an operator returns NaN, either alike.
RAISES, ALIKE = "raises", "alike"


def _with_fault(fault: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[World, Call, bool], Any]:
    def run(world: World, call: Call, faulty: bool) -> Any:
        world.set_fault(fault if faulty else None)
        try:
            return call(world, world.arguments())
        finally:
            world.set_fault(None)

    return run


def _trouble(result: torch.Tensor) -> torch.Tensor:
    raise Trouble("no signal")


def _leave(result: torch.Tensor) -> torch.Tensor:
    sys.exit("no signal")


def _die(result: torch.Tensor) -> torch.Tensor:
    os.kill(os.getpid(), signal.SIGKILL)
    return result


def _with_arguments(change: Callable[[Arguments], None]) -> Callable[[World, Call, bool], Any]:
    def run(world: World, call: Call, faulty: bool) -> Any:
        arguments = world.arguments()
        if faulty:
            change(arguments)
        return call(world, arguments)

    return run


def _bad_argument(a: Arguments) -> None:
    a.image, a.measurements = "an image", None


def _other_shape(a: Arguments) -> None:
    a.image = torch.ones(1, 1, 6, 6)
    a.measurements = [torch.ones(1, 1, 6, 6) for _ in a.measurements]


def _other_image(a: Arguments) -> None:
    a.image = 2 * a.image


def _other_options(a: Arguments) -> None:
    a.options = OPTION


@contextmanager
def _little_memory() -> Any:
    """Large pieces of memory cannot be had."""
    old = resource.getrlimit(resource.RLIMIT_AS)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20), old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


def _allocation(world: World, call: Call, faulty: bool) -> Any:
    arguments = world.arguments()
    # Large enough that no memory is left from before; a fault nearly anywhere in the call.
    arguments.image = torch.ones(1, 40000, 8, 8)
    arguments.measurements = [torch.ones(1, 40000, 8, 8) for _ in arguments.measurements]
    if not faulty:
        return call(world, arguments)
    with _little_memory():
        return call(world, arguments)


def _other_call(world: World, call: Call, faulty: bool) -> Any:
    a = world.arguments()
    return world.stack.forward(a.image) if faulty else call(world, a)


def _extra_call(world: World, call: Call, faulty: bool) -> Any:
    """The rank is late by a call that it alone makes."""
    if faulty:
        world.stack.forward(world.arguments().image)
    return call(world, world.arguments())


FAULTS: dict[str, tuple[Callable[[World, Call, bool], Any], str]] = {
    "exception": (_with_fault(_trouble), RAISES),
    "argument error": (_with_arguments(_bad_argument), RAISES),
    "allocation failure": (_allocation, ALIKE),
    "NaN": (_with_fault(lambda result: result * float("nan")), ALIKE),
    "other call": (_other_call, RAISES),
    "extra call": (_extra_call, RAISES),
    "other shape": (_with_arguments(_other_shape), RAISES),
    "other options": (_with_arguments(_other_options), RAISES),
    "other image": (_with_arguments(_other_image), RAISES),
}
LOSSES: dict[str, Callable[[World, Call, bool], Any]] = {
    "exit": _with_fault(_leave),
    "kill": _with_fault(_die),
}
