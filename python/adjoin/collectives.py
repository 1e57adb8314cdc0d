# SPDX-License-Identifier: BSD-3-Clause
"""The collectives of torch.distributed as methods of a context, the same with every engine."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from adjoin import _adjoin
from adjoin.errors import CallDisagreement, CommunicationError

__all__ = ["Collectives"]


class Collectives:
    """Names and arguments are those of torch.distributed; the ranks are those of the context.

    All ranks must make the same calls in the same order, with tensors of the same dtypes and shapes: where they do not,
    or where one of them cannot begin, all raise :class:`adjoin.CallDisagreement`, and the next call works. Operations
    are names ("sum", "mean", "product", "min", "max") or a ``torch.distributed.ReduceOp``. Nothing here takes part in
    autograd: a tensor that is changed keeps the history that it had, and what was saved of it for a backward pass raises
    there, as after any change in place.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def communicator(self) -> _adjoin.Communicator:
        """The communicator of the engine."""
        raise NotImplementedError

    # What surrounds a call, so that no rank waits for another one that has failed before its first message.

    @contextlib.contextmanager
    def _call(self, name: str) -> Iterator[None]:
        begun = self.communicator.begun
        with self.communicator.call(name):
            try:
                yield
            except Exception as error:
                self._refuse(error, begun)
                raise

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Whatever fails in here before the first message fails on all ranks, which would wait for this one."""
        begun = self.communicator.begun
        try:
            yield
        except Exception as error:
            self._refuse(error, begun)
            raise

    def _refuse(self, error: Exception, begun: int) -> None:
        """Tells the other ranks of a failure before the first collective after ``begun`` of them."""
        if self.communicator.begun == begun:
            with contextlib.suppress(CallDisagreement, CommunicationError):
                self.communicator.refuse(f"{type(error).__name__}: {error}")

    # Tensors.

    def all_reduce(self, tensor: torch.Tensor, op: Any = "sum") -> torch.Tensor:
        """Replaces ``tensor`` by its reduction over the ranks, and returns it.

        :param op: "sum", "mean", "product", "min" or "max", or a torch.distributed.ReduceOp.
        :return: the tensor.
        """
        begun = self.communicator.begun
        try:
            name = reduction_name(op)
            self.communicator.all_reduce(tensor, "sum" if name == "mean" else name)
            if name == "mean":
                tensor /= self.world_size
        except Exception as error:
            self._refuse(error, begun)
            raise
        return tensor

    def reduce(self, tensor: torch.Tensor, dst: int, op: Any = "sum") -> None:
        """Replaces ``tensor`` on rank ``dst`` by the reduction over the ranks; elsewhere it stays as it is.

        :param op: "sum", "mean", "product", "min" or "max", or a torch.distributed.ReduceOp.
        """
        with self._call(f"reduce to rank {dst}"):
            self._check_rank("dst", dst)
            result = Collectives.all_reduce(self, tensor.detach().clone(), op)
            if self.rank == dst:
                tensor.copy_(result)

    def broadcast(self, tensor: torch.Tensor, src: int = 0) -> torch.Tensor:
        """Every rank's ``tensor`` becomes that of rank ``src``; returns it.

        :return: the tensor.
        """
        begun = self.communicator.begun
        try:
            self.communicator.broadcast(tensor, src)
        except Exception as error:
            self._refuse(error, begun)
            raise
        return tensor

    def all_gather(self, tensor_list: list[torch.Tensor], tensor: torch.Tensor) -> None:
        """Fills ``tensor_list``, one tensor a rank, with the ranks' tensors, all of one shape."""
        with self._call("all_gather"):
            self._check_list("tensor_list", tensor_list)
            for target, source in zip(tensor_list, self.communicator.all_gather(tensor), strict=True):
                target.copy_(source)

    def all_gather_into_tensor(self, output_tensor: torch.Tensor, input_tensor: torch.Tensor) -> None:
        """Fills ``output_tensor`` with the ranks' tensors, joined along the first dimension or along a new one.

        :param input_tensor: this rank's.
        """
        with self._call("all_gather_into_tensor"):
            shape = input_tensor.shape
            joined = (self.world_size * shape[0], *shape[1:]) if shape else (self.world_size,)
            if tuple(output_tensor.shape) not in (joined, (self.world_size, *shape)):
                raise ValueError(
                    f"output_tensor: must have shape {joined} or {(self.world_size, *shape)}, got {tuple(output_tensor.shape)}"
                )
            output_tensor.copy_(self.communicator.all_gather(input_tensor).reshape(output_tensor.shape))

    def reduce_scatter(self, output: torch.Tensor, input_list: Sequence[torch.Tensor], op: Any = "sum") -> None:
        """``output`` becomes the reduction of the ranks' tensors at this rank's place in ``input_list``.

        :param op: "sum", "mean", "product", "min" or "max", or a torch.distributed.ReduceOp.
        """
        with self._call("reduce_scatter"):
            self._check_list("input_list", input_list)
            self._reduce_scatter(output, torch.stack(list(input_list)), op)

    def reduce_scatter_tensor(self, output: torch.Tensor, input: torch.Tensor, op: Any = "sum") -> None:
        """``output`` becomes this rank's equal part, along the first dimension, of the reduction of ``input``.

        :param op: "sum", "mean", "product", "min" or "max", or a torch.distributed.ReduceOp.
        """
        with self._call("reduce_scatter_tensor"):
            if input.numel() != self.world_size * output.numel():
                raise ValueError(
                    f"input: must have {self.world_size} times the {output.numel()} elements of output, got {input.numel()}"
                )
            self._reduce_scatter(output, input.reshape(self.world_size, *output.shape), op)

    def _reduce_scatter(self, output: torch.Tensor, parts: torch.Tensor, op: Any) -> None:
        name = reduction_name(op)
        result = self.communicator.reduce_scatter(parts, "sum" if name == "mean" else name)
        output.copy_((result / self.world_size if name == "mean" else result).reshape(output.shape))

    def gather(self, tensor: torch.Tensor, gather_list: list[torch.Tensor] | None = None, dst: int = 0) -> None:
        """Fills ``gather_list`` of rank ``dst``, one tensor a rank, with the ranks' tensors, all of one shape."""
        with self._call(f"gather to rank {dst}"):
            self._check_rank("dst", dst)
            if self.rank == dst:
                self._check_list("gather_list", gather_list)
            parts = self.communicator.all_gather(tensor)
            if self.rank == dst and gather_list is not None:
                for target, source in zip(gather_list, parts, strict=True):
                    target.copy_(source)

    def scatter(self, tensor: torch.Tensor, scatter_list: Sequence[torch.Tensor] | None = None, src: int = 0) -> None:
        """``tensor`` becomes the one at this rank's place in the ``scatter_list`` of rank ``src``."""
        with self._call(f"scatter from rank {src}"):
            self._check_rank("src", src)
            parts = tensor.new_empty((self.world_size, *tensor.shape))
            if self.rank == src:
                self._check_list("scatter_list", scatter_list)
                parts.copy_(torch.stack(list(scatter_list or [])))
            self.communicator.broadcast(parts, src)
            tensor.copy_(parts[self.rank])

    def all_to_all(self, output_tensor_list: list[torch.Tensor], input_tensor_list: Sequence[torch.Tensor]) -> None:
        """The tensor at place ``r`` of rank ``s``'s inputs becomes the one at place ``s`` of rank ``r``'s outputs.

        :param output_tensor_list: what comes, one tensor a rank.
        :param input_tensor_list: what goes, one tensor a rank.
        """
        with self._call("all_to_all"):
            self._check_list("output_tensor_list", output_tensor_list)
            self._check_list("input_tensor_list", input_tensor_list)
            everything = self._all_gather_object([tensor.detach() for tensor in input_tensor_list])
            for target, tensors in zip(output_tensor_list, everything, strict=True):
                target.copy_(tensors[self.rank])

    def all_to_all_single(
        self,
        output: torch.Tensor,
        input: torch.Tensor,
        output_split_sizes: Sequence[int] | None = None,
        input_split_sizes: Sequence[int] | None = None,
    ) -> None:
        """:meth:`all_to_all` of the parts of ``input`` along the first dimension: equal ones, or of the sizes given.

        :param output: what comes.
        :param input: what goes.
        :param output_split_sizes: lengths of the parts that come; None for equal ones.
        :param input_split_sizes: lengths of the parts that go; None for equal ones.
        """
        with self._call("all_to_all_single"):
            parts = _split("input", input, input_split_sizes, self.world_size)
            self.all_to_all(_split("output", output, output_split_sizes, self.world_size), parts)

    def barrier(self) -> None:
        """Waits for all ranks."""
        self.communicator.barrier()

    # Between two ranks.

    def send(self, tensor: torch.Tensor, dst: int, tag: int = 0) -> None:
        """Sends ``tensor`` to rank ``dst``, which calls :meth:`recv`.

        :param tag: a number that both give, to tell messages apart.
        """
        self.communicator.send(tensor, dst, tag)

    def recv(self, tensor: torch.Tensor, src: int | None = None, tag: int = 0) -> int:
        """Fills ``tensor`` with what rank ``src`` sends, or any rank; returns which.

        :param tag: a number that both give, to tell messages apart.
        :return: the rank that sent it.
        """
        return self.communicator.recv(tensor, -1 if src is None else src, tag)

    # Objects, as pickle takes them; their tensors come to this rank's device.

    def broadcast_object(self, value: Any, src: int = 0) -> Any:
        """The value of rank ``src``.

        :return: the value, on every rank.
        """
        if self.world_size == 1:
            return value
        with self._call(f"broadcast_object from rank {src}"):
            data = self.communicator.broadcast_bytes(_dumps(value) if self.rank == src else b"", src)
            return value if self.rank == src else _loads(data, self.device)

    def broadcast_object_list(self, object_list: list[Any], src: int = 0) -> None:
        """Every rank's list becomes that of rank ``src``.

        :param object_list: of equal length on every rank.
        """
        object_list[:] = self.broadcast_object(list(object_list), src)

    def all_gather_object(self, object_list: list[Any], obj: Any) -> None:
        """Fills ``object_list`` with the ranks' values, one a rank.

        :param obj: this rank's value, anything that pickles.
        """
        with self._call("all_gather_object"):
            object_list[:] = self._all_gather_object(obj)

    def gather_object(self, obj: Any, object_gather_list: list[Any] | None = None, dst: int = 0) -> None:
        """Fills ``object_gather_list`` of rank ``dst`` with the ranks' values, one a rank.

        :param obj: this rank's value, anything that pickles.
        """
        with self._call(f"gather_object to rank {dst}"):
            self._check_rank("dst", dst)
            if self.rank == dst:
                self._check_list("object_gather_list", object_gather_list)
            everything = self._all_gather_object(obj)
            if self.rank == dst and object_gather_list is not None:
                object_gather_list[:] = everything

    def scatter_object_list(
        self,
        scatter_object_output_list: list[Any],
        scatter_object_input_list: Sequence[Any] | None = None,
        src: int = 0,
    ) -> None:
        """The first entry of the output list becomes the value at this rank's place in the input list of rank ``src``.

        :param scatter_object_output_list: its first entry is written.
        :param scatter_object_input_list: one value a rank.
        """
        with self._call(f"scatter_object_list from rank {src}"):
            self._check_rank("src", src)
            if self.rank == src:
                self._check_list("scatter_object_input_list", scatter_object_input_list)
            values = self.broadcast_object(scatter_object_input_list, src)
            scatter_object_output_list[0] = values[self.rank]

    def _all_gather_object(self, value: Any) -> list[Any]:
        return [_loads(data, self.device) for data in self.communicator.all_gather_bytes(_dumps(value))]

    def _check_rank(self, name: str, rank: int) -> None:
        if not 0 <= rank < self.world_size:
            raise ValueError(f"{name}: must be a rank below {self.world_size}, got {rank}")

    def _check_list(self, name: str, values: Sequence[Any] | None) -> None:
        if values is None or len(values) != self.world_size:
            got = None if values is None else f"{len(values)} entries"
            raise ValueError(f"{name}: must have one entry a rank, {self.world_size}, got {got}")


def reduction_name(op: Any) -> str:
    """ "sum", "mean", …, of a name or a ``torch.distributed.ReduceOp``."""
    name = str(op).rsplit(".", 1)[-1].lower()
    return {"avg": "mean"}.get(name, name)


def _split(name: str, tensor: torch.Tensor, sizes: Sequence[int] | None, ranks: int) -> list[torch.Tensor]:
    if not sizes:
        if tensor.shape[0] % ranks:
            raise ValueError(
                f"{name}: must divide along its first dimension into {ranks} equal parts, got {tuple(tensor.shape)}"
            )
        sizes = [tensor.shape[0] // ranks] * ranks
    return list(tensor.split(list(sizes)))


def _dumps(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _loads(data: bytes, device: torch.device) -> Any:
    # What the ranks of one program send each other is as trustworthy as the program.
    return torch.load(io.BytesIO(data), map_location=device, weights_only=False)
