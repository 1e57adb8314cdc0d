# SPDX-License-Identifier: BSD-3-Clause
"""Ranks that are started from a running program, such as a notebook."""

from __future__ import annotations

import ctypes
import io
import multiprocessing
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TextIO

import torch

from adjoin import _adjoin
from adjoin import context as contexts
from adjoin.errors import CallDisagreement, CommunicationError, Error, InvalidArgument, RankFailure

__all__ = ["launch"]

# What other ranks have, to hear of a rank that failed, before they are ended.
_GRACE = 20.0

# What a rank raises because of another.
_CONSEQUENCES = (CallDisagreement, CommunicationError, RankFailure)

# What a launcher of MPI has told this process.
_MPI = ("OMPI_", "PMIX_", "PMI_", "MV2_", "MPI_LOCALNRANKS", "SLURM_STEP_")


def launch(function: Callable[..., Any], *args: Any, ranks: int = 2, timeout: float | None = None) -> list[Any]:
    """Calls a function in several new processes, the ranks of one :class:`DistributedContext`, and waits for them.

    For notebooks, where there is no program that torchrun or mpirun could start. The ranks are forked: the function may
    be one of a cell, and sees all that the notebook has, as it is now; what it changes stays in the ranks. They meet by
    torch.distributed, with a thread each. What they print is printed here.

    :param function: called as ``function(*args)`` on every rank; it makes the context.
    :param args: its arguments.
    :param ranks: how many.
    :param timeout: seconds after which the ranks are ended; None waits as long as they take.
    :return: what the function returned, one a rank, with tensors on the CPU; anything that pickles.
    :raises adjoin.Error: where a rank failed, with its traceback, or the time is over.
    :raises adjoin.InvalidArgument: in a process that is a rank itself, or that has used CUDA, which cannot be forked.

    >>> def total():
    ...     with adjoin.DistributedContext(device_mode="cpu") as ctx:
    ...         return float(ctx.all_reduce(torch.tensor([ctx.rank + 1.0])))
    >>> launch(total, ranks=2)  # doctest: +SKIP
    [3.0, 3.0]
    """
    if not callable(function):
        raise InvalidArgument(f"launch: function: must be callable, got {function!r}")
    if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 1:
        raise InvalidArgument(f"launch: ranks: must be a number above 0, got {ranks!r}")
    if contexts._entered or _adjoin.launcher() != "none":
        raise InvalidArgument(
            "launch: this process is a rank itself: leave its context, and call launch outside torchrun and mpirun"
        )
    if torch.cuda.is_initialized():
        raise InvalidArgument(
            "launch: this process has used CUDA, which does not survive a fork: restart it and use CUDA in the function alone"
        )
    forking = multiprocessing.get_context("fork")
    port = _free_port()
    processes, results, outputs = [], [], []
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        for rank in range(ranks):
            receiver, sender = forking.Pipe(duplex=False)
            out, err = os.pipe(), os.pipe()
            process = forking.Process(
                target=_run, args=(function, args, rank, ranks, port, sender, out[1], err[1]), daemon=True
            )
            process.start()
            sender.close()
            os.close(out[1])
            os.close(err[1])
            processes.append(process)
            results.append(receiver)
            outputs += [(out[0], sys.stdout), (err[0], sys.stderr)]
        answers = _wait(processes, results, outputs, timeout)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()
        for receiver in results:
            receiver.close()
        for descriptor, _ in outputs:
            os.close(descriptor)
    return _values(answers, processes, timeout)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _run(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    rank: int,
    ranks: int,
    port: int,
    results: Connection,
    out: int,
    err: int,
) -> None:
    """What a rank does."""
    end_with_parent = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(end_with_parent, signal.SIGKILL)
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout, sys.stderr = (
        os.fdopen(1, "w", buffering=1, closefd=False),
        os.fdopen(2, "w", buffering=1, closefd=False),
    )
    for name in [name for name in os.environ if name.startswith(_MPI)]:
        del os.environ[name]
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    _adjoin.show_progress_by(None)
    try:
        answer = io.BytesIO()
        torch.save(function(*args), answer)
        results.send(("result", answer.getvalue()))
    except BaseException as error:
        kind = "consequence" if isinstance(error, _CONSEQUENCES) else "failure"
        results.send((kind, "".join(traceback.format_exception(error))))
    finally:
        contexts._leave_all()
        sys.stdout.flush()
        sys.stderr.flush()


Answer = tuple[str, Any]


def _wait(
    processes: list[Any], results: list[Connection], outputs: list[tuple[int, TextIO]], timeout: float | None
) -> list[Answer | None]:
    """The ranks' answers; None of those that gave none in time."""
    answers: list[Answer | None] = [None] * len(processes)
    end = None if timeout is None else time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for rank, receiver in enumerate(results):
            selector.register(receiver, selectors.EVENT_READ, rank)
        for descriptor, stream in outputs:
            selector.register(descriptor, selectors.EVENT_READ, stream)
        while selector.get_map():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            for key, _ in selector.select(left):
                if isinstance(key.data, int):
                    try:
                        answers[key.data] = results[key.data].recv()
                    except EOFError:
                        answers[key.data] = answers[key.data] or ("gone", None)
                        selector.unregister(key.fileobj)
                    answer = answers[key.data]
                    if answer is not None and answer[0] != "result":
                        # The other ranks will hear of it, but not for ever.
                        end = min(end or float("inf"), time.monotonic() + _GRACE)
                elif data := os.read(key.fd, 1 << 16):
                    key.data.write(data.decode(errors="replace"))
                    key.data.flush()
                else:
                    selector.unregister(key.fileobj)
    return answers


def _values(answers: list[Answer | None], processes: list[Any], timeout: float | None) -> list[Any]:
    """What the function returned; raises for the rank that is to blame."""
    for kind in ("failure", "gone", "consequence"):
        for rank, answer in enumerate(answers):
            if answer is not None and answer[0] == kind:
                what = (
                    f"ended with exit code {processes[rank].exitcode} and no result"
                    if kind == "gone"
                    else f"failed:\n{answer[1]}"
                )
                raise Error(f"launch: rank {rank} {what}")
    late = [rank for rank, answer in enumerate(answers) if answer is None]
    if late:
        raise Error(f"launch: ranks {late} did not end within {timeout} s")
    return [torch.load(io.BytesIO(answer[1]), map_location="cpu", weights_only=False) for answer in answers if answer]
