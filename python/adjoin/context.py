# SPDX-License-Identifier: BSD-3-Clause
"""The ranks that work together: which engine, which device, which seed."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import os
import sys
import time
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from adjoin import _adjoin
from adjoin.collectives import Collectives
from adjoin.errors import InvalidArgument

__all__ = ["DistributedContext"]

# Contexts that have been entered and not left, the last one last.
_entered: list[DistributedContext] = []

# Whether MPI has been used.
_uses_mpi = False


def _leave_all() -> None:
    """At the end of the process: who waits for this rank must hear that it does not come."""
    # An uncaught exception: Python keeps it, whatever hook reports it.
    failed = getattr(sys, "last_exc", getattr(sys, "last_value", None)) is not None
    while _entered:
        _entered.pop()._leave(at_once=failed)
    if failed and _uses_mpi:
        # The others raise where they wait in a call of ours. Where they wait in one of MPI's own, only the launcher can
        # end them, which it does when a rank ends without finalising MPI.
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(1.0)
        os._exit(1)
    _adjoin.finalize_mpi()


atexit.register(_leave_all)

# The process group that this process has from the one that it was forked from: it is none of its ranks.
_inherited: Any = None


def _note_inheritance() -> None:
    global _inherited, _uses_mpi
    _entered.clear()
    _uses_mpi = False
    _inherited = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None


os.register_at_fork(after_in_child=_note_inheritance)

# By what names the ranks, the store in which they meet and how many process groups were made there.
_meetings: dict[tuple[str | None, ...], tuple[Any, int]] = {}


def _init_process_group(backend: str, timeout: datetime.timedelta) -> None:
    """Makes the process group of RANK and WORLD_SIZE. A second one in a process needs names of its own in the store, or
    its ranks would look for each other at the addresses that those of the first have left there."""
    names = tuple(os.environ.get(name) for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"))
    meeting, count = _meetings[names] if names in _meetings else (next(rendezvous("env://", timeout=timeout)), 0)
    store, rank, size = meeting
    prefixed = dist.distributed_c10d.PrefixStore(f"adjoin/{count}", store)
    dist.init_process_group(backend, store=prefixed, rank=rank, world_size=size, timeout=timeout)
    _meetings[names] = meeting, count + 1


def _local_rank() -> int | None:
    """What the launcher of torch says, if it is the one that started this process."""
    value = os.environ.get("LOCAL_RANK", "")
    return int(value) if _adjoin.launcher() == "torch" and value.isdecimal() else None


def _seconds(name: str, timeout: float | str | datetime.timedelta | None) -> float | None:
    """The option or variable ``name``; None where it says nothing."""
    if timeout is None or timeout == "":
        return None
    try:
        seconds = timeout.total_seconds() if isinstance(timeout, datetime.timedelta) else float(timeout)
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise InvalidArgument(f"{name}: must be a positive number of seconds, got {timeout!r}")
    return seconds


def _sharing(choice: bool | str) -> str:
    if isinstance(choice, bool):
        return "automatic" if choice else "off"
    if choice not in ("automatic", "in_place", "in_pieces", "off"):
        raise InvalidArgument(
            f"shared_memory: must be 'automatic', 'in_place', 'in_pieces' or 'off', or a bool, got {choice!r}"
        )
    return choice


def _checked_how(choice: bool | str | None) -> str | None:
    if isinstance(choice, bool):
        return "full" if choice else "off"
    return choice


def _sizes_of(size: tuple[int | Sequence[int], ...]) -> tuple[int, ...]:
    """A size as ``torch.rand`` takes it: numbers, or one sequence of them."""
    if len(size) == 1 and not isinstance(size[0], int):
        return tuple(size[0])
    return tuple(int(n) for n in size)  # type: ignore[arg-type]


class DistributedContext(Collectives):
    """The group of ranks, and this rank's place in it; a context manager.

    Under torchrun (RANK and WORLD_SIZE set, or a process group made already) the ranks are those of torch.distributed,
    under mpirun or srun those of MPI, and otherwise this process is alone. Where there are the variables of several
    launchers, the one that started this process counts. A process that a rank starts or forks is alone.

    At the end of the context this rank leaves: ranks that still wait for it in a call raise
    :class:`adjoin.CallDisagreement`, which says so; so they do when it ends by an exception or ``sys.exit``, or at the
    end of the program. When its process is lost, they raise :class:`adjoin.CommunicationError`.

    :param backend: of the process group that is made under torchrun: "gloo", "nccl" …; None chooses NCCL for tensors of
        GPUs, and Gloo for those of the host, where there is a GPU for every rank of the node, else Gloo.
    :param cleanup: whether to destroy at the end the process group that was made.
    :param seed: seeds torch's generators: with ``seed + rank``, or with ``seed`` on every rank when ``seed_offset`` is
        false.
    :param deterministic: ask torch for deterministic algorithms.
    :param device_mode: "cpu", "gpu", or None for a GPU where there is one.
    :param shared_memory: how the ranks of a node combine host memory: "automatic", "in_place" or "in_pieces", or "off"
        (also True and False). "automatic" is what ``ADJOIN_SHARED_MEMORY`` names in the environment, or else whichever of
        the next two is measured to be quicker, once. The same on every rank.
    :param timeout: seconds (or a ``timedelta``) that a rank waits in a call for one that does not come, before it raises
        :class:`adjoin.CommunicationError`, which names the ranks. None: ``ADJOIN_TIMEOUT`` in the environment, or that of
        the process group where there is one already, or ten minutes.
    :param comm: the ranks in place of all: a communicator of mpi4py or a process group of torch.distributed.
    :param check_replicated: how arguments that must be the same on every rank (images, whole lists of measurements,
        starts) are compared at each call that sends a message; where they differ, all ranks raise
        :class:`adjoin.RankFailure`, which names the argument and the rank. "sampled" looks at a few elements, at no
        message, and lets round-off pass; True or "full" compares every bit, for the price of reading the arguments once;
        False or "off" does not compare. None: ``ADJOIN_CHECK_REPLICATED`` in the environment, or "sampled". The same on
        every rank.
    :raises adjoin.InvalidArgument: for an option that it does not have, naming it.
    :raises adjoin.CallDisagreement: on every rank, where ranks make different calls.

    >>> with DistributedContext(device_mode="cpu") as ctx:
    ...     ctx.rank, ctx.world_size, ctx.local_indices(3)
    (0, 1, [0, 1, 2])
    """

    _impl: _adjoin.DistributedContext

    def __init__(
        self,
        backend: str | None = None,
        cleanup: bool = True,
        seed: int | None = None,
        seed_offset: bool = True,
        deterministic: bool = False,
        device_mode: str | None = None,
        *,
        shared_memory: bool | str = True,
        timeout: float | datetime.timedelta | None = None,
        comm: Any = None,
        check_replicated: bool | str | None = None,
    ) -> None:
        self.backend = backend
        self.cleanup = cleanup
        self.seed = seed
        self.seed_offset = seed_offset
        self.deterministic = deterministic
        self.device_mode = device_mode
        self.shared_memory = _sharing(shared_memory)
        self.timeout = _seconds("timeout", timeout)
        self.comm = comm
        self.check_replicated = _checked_how(check_replicated)
        self.created_dist = False
        self.use_dist = False
        self.engine = "single"
        self.rank = 0
        self.world_size = 1
        self.local_rank = 0
        self.local_world_size = 1
        self.device = torch.device("cpu")

    def __enter__(self) -> DistributedContext:
        communicator = self._make_communicator()
        self.rank = communicator.rank
        self.world_size = communicator.size
        self.local_rank = communicator.local_rank
        self.local_world_size = communicator.local_size
        if self.engine == "c10d" and (local_rank := _local_rank()) is not None:
            self.local_rank = local_rank
        self.use_dist = self.engine == "c10d" or self.world_size > 1
        self._impl = _adjoin.DistributedContext(
            communicator,
            self.device_mode or "auto",
            self.seed,
            self.seed_offset,
            self.deterministic,
            self.check_replicated,
        )
        self.device = self._impl.device
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.engine != "single":
            # What this process starts has the variables of its launcher, but is no rank.
            os.environ[_adjoin.children_mark_name] = _adjoin.children_mark()
        _entered.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _entered[:] = [one for one in _entered if one is not self]
        self._leave(at_once=kind is not None)

    def _leave(self, at_once: bool) -> None:
        if "_impl" in self.__dict__:
            self.communicator.leave(at_once)
        if self.cleanup and self.created_dist:
            self.created_dist = False
            if dist.is_initialized():
                dist.destroy_process_group()

    def _make_communicator(self) -> _adjoin.Communicator:
        global _uses_mpi
        options: dict[str, Any] = {"shared_memory": self.shared_memory, "timeout": self.timeout}
        if self.comm is not None and hasattr(self.comm, "py2f"):
            self.engine = "mpi"
            _uses_mpi = True
            return _adjoin.mpi_communicator(comm=self.comm.py2f(), library=_library_of(self.comm), **options)
        launcher = _adjoin.launcher()
        initialized = dist.is_available() and dist.is_initialized() and dist.group.WORLD is not _inherited
        if self.comm is not None or initialized or (dist.is_available() and launcher == "torch"):
            group = self.comm or self._default_group(initialized)
            self.engine = "c10d"
            return _adjoin.process_group_communicator(
                group, new_group=lambda ranks: dist.new_group(ranks, use_local_synchronization=True), **options
            )
        if _adjoin.launched_by_mpi():
            self.engine = "mpi"
            _uses_mpi = True
            return _adjoin.mpi_communicator(**options)
        return _adjoin.single_communicator()

    def _default_group(self, initialized: bool) -> Any:
        if self.device_mode != "cpu" and torch.cuda.is_available():
            # NCCL asks for the device before there is a context to choose it.
            torch.cuda.set_device((_local_rank() or 0) % torch.cuda.device_count())
        if not initialized:
            seconds = self.timeout or _seconds("ADJOIN_TIMEOUT", os.environ.get("ADJOIN_TIMEOUT")) or 600.0
            _init_process_group(self.backend or self._choose_backend(), datetime.timedelta(seconds=min(seconds, 1e9)))
            self.created_dist = True
        return dist.group.WORLD

    def _choose_backend(self) -> str:
        value = os.environ.get("LOCAL_WORLD_SIZE", "")
        local_size = int(value) if value.isdecimal() else 1
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.device_mode == "gpu" or (
            self.device_mode is None and dist.is_nccl_available() and gpus >= local_size > 0
        ):
            return "cpu:gloo,cuda:nccl"
        return "gloo"

    def __copy__(self) -> DistributedContext:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> DistributedContext:
        """The context itself: the ranks of a program cannot be doubled."""
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("DistributedContext: cannot be pickled, as its ranks are those of this program")

    @property
    def communicator(self) -> _adjoin.Communicator:
        """The collectives of the engine, with counters of what was sent."""
        return self._impl.communicator

    def __repr__(self) -> str:
        if "_impl" not in self.__dict__:
            return "DistributedContext(not entered)"
        return f"DistributedContext({self._impl.description})"

    def rand(
        self, *size: int | Sequence[int], dtype: torch.dtype = torch.float32, seed: int | None = None
    ) -> torch.Tensor:
        """Uniform numbers in [0, 1) of this size (numbers, or one sequence) on the context's device, the same on every
        rank and on every device.

        They come from a generator of the context's own, on the CPU, seeded with ``seed`` where it is given, and otherwise
        with that of the context, or 0, at the first call; torch's generators are left alone. All ranks must make the
        same calls.

        :param size: numbers, or one sequence of them.
        :param seed: of the numbers; None draws on from the context's stream.
        :param dtype: a floating-point dtype.
        :return: a tensor.
        """
        return self._impl.rand(_sizes_of(size), dtype, seed)

    def randn(
        self, *size: int | Sequence[int], dtype: torch.dtype = torch.float32, seed: int | None = None
    ) -> torch.Tensor:
        """Standard normal numbers, as :meth:`rand` draws uniform ones; ``dtype`` may be complex.

        :param size: numbers, or one sequence of them.
        :param seed: as of :meth:`rand`, as is dtype, which may be complex.
        :return: a tensor.
        """
        return self._impl.randn(_sizes_of(size), dtype, seed)

    def local_indices(self, num_items: int) -> list[int]:
        """This rank's items under round-robin sharding: i with ``i % world_size == rank``.

        :param num_items: how many there are.
        :return: a list of numbers.
        """
        if self.rank == 0 and self.use_dist and num_items < self.world_size:
            warnings.warn(
                f"Some ranks have no work: {num_items} items for {self.world_size} ranks.", UserWarning, stacklevel=2
            )
        return list(range(self.rank, num_items, self.world_size))

    def get_backend(self) -> str:
        """That of torch.distributed, such as "gloo"; without process group the engine, "mpi" or "single".

        :return: a text.
        """
        return dist.get_backend(self.comm) if self.engine == "c10d" else self.engine

    def get_rank(self) -> int:
        """``rank``.

        :return: a number.
        """
        return self.rank

    def get_world_size(self) -> int:
        """``world_size``.

        :return: a number.
        """
        return self.world_size

    def __getattr__(self, name: str) -> Any:
        """What else torch.distributed offers, where there is a process group."""
        if name == "_impl":
            raise RuntimeError("DistributedContext: must be entered first: with DistributedContext() as ctx: …")
        if name.startswith("_") or not hasattr(dist, name):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        if self.engine != "c10d":
            raise AttributeError(
                f"DistributedContext.{name}: torch.distributed offers this with a process group, and here the engine is"
                f" '{self.engine}', which has none"
            )
        return getattr(dist, name)


def _library_of(comm: Any) -> str:
    """The MPI that a communicator of mpi4py belongs to."""
    with contextlib.suppress(ImportError):
        from mpi4py import MPI

        version: str = MPI.Get_library_version().rstrip("\0")  # Open MPI counts the end of the text
        return version
    return ""
