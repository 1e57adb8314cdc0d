"""The ranks that work together: which engine, which device, which seed."""

from __future__ import annotations

import atexit
import io
import os
import sys
import warnings
from types import TracebackType
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from adjoin import _adjoin

__all__ = ["DistributedContext"]

# MPI is initialised once in a process, so all contexts share one communicator until the process ends.
_mpi: _adjoin.Communicator | None = None
_failed = False


def _mpi_communicator() -> _adjoin.Communicator:
    global _mpi
    if _mpi is None:
        _mpi = _adjoin.mpi_communicator()
        _watch_for_failure()
        atexit.register(_end_mpi)
    return _mpi


def _watch_for_failure() -> None:
    """Remembers an uncaught exception: a rank that ends with one must not wait for the others."""
    report = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        global _failed
        _failed = True
        report(kind, error, trace)

    sys.excepthook = hook


def _end_mpi() -> None:
    global _mpi
    _mpi = None
    if _failed:
        # Ends without finalising MPI, by which the launcher knows that it must end the others, too.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    _adjoin.finalize_mpi()


# By what names the ranks, the store in which they meet and how many process groups were made there.
_meetings: dict[tuple[str | None, ...], tuple[Any, int]] = {}


def _init_process_group(backend: str) -> None:
    """Makes the process group of RANK and WORLD_SIZE. A second one in a process needs names of its own in the store, or
    its ranks would look for each other at the addresses that those of the first have left there."""
    names = tuple(os.environ.get(name) for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"))
    meeting, count = _meetings[names] if names in _meetings else (next(rendezvous("env://")), 0)
    store, rank, size = meeting
    dist.init_process_group(backend, store=dist.PrefixStore(f"adjoin/{count}", store), rank=rank, world_size=size)
    _meetings[names] = meeting, count + 1


def reduction_name(op: Any) -> str:
    """"sum", "mean", …, of a name or a ``torch.distributed.ReduceOp``."""
    name = str(op).rsplit(".", 1)[-1].lower()
    return {"avg": "mean"}.get(name, name)


class DistributedContext:
    """The group of ranks, and this rank's place in it; a context manager.

    Under torchrun (RANK and WORLD_SIZE set, or a process group made already) the ranks are those of torch.distributed,
    under mpirun or srun those of MPI, and otherwise this process is alone.

    :param backend: of the process group that is made under torchrun: "gloo", "nccl" …; None chooses NCCL where there is
        a GPU for every rank of the node, else Gloo.
    :param cleanup: whether to destroy at the end the process group that was made.
    :param seed: seeds torch's generators: with ``seed + rank``, or with ``seed`` on every rank when ``seed_offset`` is
        false.
    :param deterministic: ask torch for deterministic algorithms.
    :param device_mode: "cpu", "gpu", or None for a GPU where there is one.
    :param shared_memory: under torchrun, reduce host memory through shared memory where all ranks are on one node.

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
        shared_memory: bool = True,
    ) -> None:
        self.backend = backend
        self.cleanup = cleanup
        self.seed = seed
        self.seed_offset = seed_offset
        self.deterministic = deterministic
        self.device_mode = device_mode
        self.shared_memory = shared_memory
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
        self.local_rank = int(os.environ.get("LOCAL_RANK", communicator.local_rank))
        self.local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", communicator.local_size))
        self.use_dist = self.engine == "c10d" or self.world_size > 1
        self._impl = _adjoin.DistributedContext(
            communicator, self.device_mode or "auto", self.seed, self.seed_offset, self.deterministic
        )
        self.device = self._impl.device
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not (self.cleanup and self.created_dist and dist.is_initialized()):
            return
        if kind is None:
            self.barrier()
        dist.destroy_process_group()

    def _make_communicator(self) -> _adjoin.Communicator:
        if not dist.is_available():
            pass
        elif dist.is_initialized() or {"RANK", "WORLD_SIZE"} <= os.environ.keys():
            if self.device_mode != "cpu" and torch.cuda.is_available():
                # NCCL asks for the device before there is a context to choose it.
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
            if not dist.is_initialized():
                _init_process_group(self.backend or self._choose_backend())
                self.created_dist = True
            self.engine = "c10d"
            group = dist.group.WORLD
            assert group is not None
            return _adjoin.process_group_communicator(
                group,
                shared_memory=self.shared_memory,
                new_group=lambda ranks: dist.new_group(ranks, use_local_synchronization=True),
            )
        if _adjoin.launched_by_mpi():
            self.engine = "mpi"
            return _mpi_communicator()
        return _adjoin.single_communicator()

    def _choose_backend(self) -> str:
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.device_mode == "gpu" or (self.device_mode is None and dist.is_nccl_available() and gpus >= local_size > 0):
            return "nccl"
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

    def local_indices(self, num_items: int) -> list[int]:
        """This rank's items under round-robin sharding: i with ``i % world_size == rank``."""
        if self.rank == 0 and self.use_dist and num_items < self.world_size:
            warnings.warn(
                f"Some ranks have no work: {num_items} items for {self.world_size} ranks.", UserWarning, stacklevel=2
            )
        return list(range(self.rank, num_items, self.world_size))

    # Collectives, the same with every engine. All ranks must call them in the same order.

    def all_reduce(self, tensor: torch.Tensor, op: Any = "sum") -> torch.Tensor:
        """Replaces ``tensor`` by its reduction over the ranks: "sum", "mean", "product", "min", "max", or a
        ``torch.distributed.ReduceOp``."""
        name = reduction_name(op)
        self.communicator.all_reduce(tensor, "sum" if name == "mean" else name)
        if name == "mean":
            tensor /= self.world_size
        return tensor

    def broadcast(self, tensor: torch.Tensor, src: int = 0) -> torch.Tensor:
        """Every rank's ``tensor`` becomes that of rank ``src``."""
        self.communicator.broadcast(tensor, src)
        return tensor

    def all_gather(self, tensor_list: list[torch.Tensor], tensor: torch.Tensor) -> None:
        """Fills ``tensor_list``, one tensor a rank, with the ranks' tensors, all of one shape."""
        for target, source in zip(tensor_list, self.communicator.all_gather(tensor), strict=True):
            target.copy_(source)

    def barrier(self) -> None:
        """Waits for all ranks."""
        self.communicator.barrier()

    def broadcast_object(self, value: Any, src: int = 0) -> Any:
        """The picklable value of rank ``src``, its tensors on this rank's device."""
        if self.world_size == 1:
            return value
        data = self.communicator.broadcast_bytes(_dumps(value) if self.rank == src else b"", src)
        return value if self.rank == src else _loads(data, self.device)

    def broadcast_object_list(self, object_list: list[Any], src: int = 0) -> None:
        """Every rank's list becomes that of rank ``src``."""
        object_list[:] = self.broadcast_object(list(object_list), src)

    def all_gather_object(self, object_list: list[Any], value: Any) -> None:
        """Fills ``object_list``, one entry a rank, with the ranks' picklable values."""
        object_list[:] = [_loads(data, self.device) for data in self.communicator.all_gather_bytes(_dumps(value))]

    def __getattr__(self, name: str) -> Any:
        """What else torch.distributed offers, such as ``ctx.get_backend()``; without process group None."""
        if name == "_impl":
            raise RuntimeError("DistributedContext: must be entered first: with DistributedContext() as ctx: …")
        if name.startswith("_") or not hasattr(dist, name):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(dist, name)(*args, **kwargs) if self.engine == "c10d" else None

        return call


def _dumps(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _loads(data: bytes, device: torch.device) -> Any:
    # What the ranks of one program send each other is as trustworthy as the program.
    return torch.load(io.BytesIO(data), map_location=device, weights_only=False)
