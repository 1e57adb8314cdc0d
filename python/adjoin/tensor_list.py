# SPDX-License-Identifier: BSD-3-Clause
"""A list of tensors that behaves as one vector."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Union, overload

import torch

from adjoin.arguments import TensorLike, as_tensor, as_tensors, described
from adjoin.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy

__all__ = ["TensorList"]

Operand = Union["TensorList", Sequence[torch.Tensor], torch.Tensor, complex]


class TensorList(Sequence[torch.Tensor]):
    """Tensors of any shapes and dtypes with entrywise arithmetic: the measurements of a stack.

    It has what ``deepinv.utils.TensorList`` has. Operands of arithmetic and comparisons are lists of as many tensors, or
    a number or tensor for all; methods that name one of torch's apply it to every entry.

    :param x: tensors or NumPy arrays, or one of them.
    :raises adjoin.InvalidArgument: for what is no tensor; lists of different lengths raise in arithmetic.

    >>> y = TensorList([torch.ones(2), torch.ones(3)])
    >>> (2 * y + y)[1]
    tensor([3., 3., 3.])
    """

    __slots__ = ("x",)

    def __init__(self, x: Iterable[TensorLike] | TensorLike) -> None:
        self.x: list[torch.Tensor]
        if isinstance(x, TensorList):
            self.x = list(x.x)
        elif isinstance(x, torch.Tensor) or hasattr(x, "__array_interface__"):
            self.x = [as_tensor(x, "x")]  # type: ignore[arg-type]
        else:
            self.x = as_tensors(x, "x")

    @classmethod
    def of(cls, tensors: list[torch.Tensor]) -> TensorList:
        """Of a list of tensors that nobody else changes, without a look at it.

        :return: a new list.
        """
        made = cls.__new__(cls)
        made.x = tensors
        return made

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.x)

    @overload
    def __getitem__(self, index: int) -> torch.Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[torch.Tensor]: ...
    def __getitem__(self, index: int | slice) -> torch.Tensor | list[torch.Tensor]:
        return self.x[index]

    def __setitem__(self, index: int, tensor: TensorLike) -> None:
        self.x[index] = as_tensor(tensor, "x")

    def append(self, other: Iterable[TensorLike] | TensorLike) -> TensorList:
        """Adds a tensor, or those of a list, at the end.

        :param other: a tensor, or a list of them.
        :return: the list itself.
        """
        self.x += TensorList(other).x
        return self

    def __repr__(self) -> str:
        entries = ", ".join(f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for t in self.x)
        return f"TensorList([{entries}])"

    @property
    def shape(self) -> list[torch.Size]:
        """The shape of every entry."""
        return [t.shape for t in self.x]

    @property
    def device(self) -> torch.device:
        """The device of the first entry."""
        if not self.x:
            raise InvalidArgument("device: an empty TensorList is on no device")
        return self.x[0].device

    def numel(self) -> int:
        """Number of elements of all entries together.

        :return: a number.
        """
        return sum(t.numel() for t in self.x)

    def flatten(self) -> torch.Tensor:
        """All elements as one vector.

        :return: a tensor of one axis.
        """
        return torch.cat([t.flatten() for t in self.x]) if self.x else torch.empty(0)

    def numpy(self) -> list[numpy.ndarray[Any, Any]]:
        """The entries as arrays.

        :return: a list of arrays.
        """
        return [t.numpy() for t in self.x]

    def map(self, function: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> TensorList:
        """``function`` of every entry.

        :return: a new list of the results.
        """
        return TensorList.of([function(t, *args, **kwargs) for t in self.x])

    def to(self, *args: Any, **kwargs: Any) -> TensorList:
        """Every entry on another device or of another dtype.

        :param args: as of ``torch.Tensor.to``, as are kwargs.
        :return: a new list.
        """
        return self.map(torch.Tensor.to, *args, **kwargs)

    def type(self, dtype: torch.dtype) -> TensorList:
        """Every entry of another dtype.

        :param dtype: as of ``torch.Tensor.type``.
        :return: a new list.
        """
        return self.map(torch.Tensor.type, dtype)

    def clone(self) -> TensorList:
        """A copy of every entry.

        :return: a new list.
        """
        return self.map(torch.Tensor.clone)

    def detach(self) -> TensorList:
        """Every entry without its history.

        :return: a new list.
        """
        return self.map(torch.Tensor.detach)

    def cpu(self) -> TensorList:
        """Every entry on the CPU.

        :return: a new list.
        """
        return self.map(torch.Tensor.cpu)

    def cuda(self, *args: Any, **kwargs: Any) -> TensorList:
        """Every entry on the current GPU.

        :return: a new list.
        """
        return self.map(torch.Tensor.cuda, *args, **kwargs)

    def abs(self) -> TensorList:
        """The absolute values of every entry.

        :return: a new list.
        """
        return self.map(torch.Tensor.abs)

    def conj(self) -> TensorList:
        """The complex conjugate of every entry.

        :return: a new list.
        """
        return self.map(torch.Tensor.conj)

    def clamp(self, min: float | None = None, max: float | None = None) -> TensorList:
        """Every entry with its elements between bounds.

        :param min: the lower bound; None for none.
        :param max: the upper bound; None for none.
        :return: a new list.
        """
        return self.map(torch.Tensor.clamp, min=min, max=max)

    clip = clamp

    def isnan(self) -> TensorList:
        """Of every entry, which elements are NaN.

        :return: a new list.
        """
        return self.map(torch.Tensor.isnan)

    def max(self) -> TensorList:
        """The greatest element of every entry.

        :return: a new list.
        """
        return self.map(torch.Tensor.max)

    def sum(self, dim: int | Sequence[int], keepdim: bool = False) -> TensorList:
        """Every entry summed along dimensions.

        :param dim: which dimensions, by default all.
        :param keepdim: whether they stay, of length 1.
        :return: a new list.
        """
        return self.map(torch.Tensor.sum, dim, keepdim)

    def reshape(self, shape: Sequence[Sequence[int]]) -> TensorList:
        """Every entry in its shape of the list.

        :return: a new list.
        """
        return TensorList.of([t.reshape(list(s)) for t, s in zip(self.x, shape, strict=True)])

    def squeeze(self, dim: int | None = None) -> TensorList:
        """Every entry without dimensions of length 1.

        :param dim: which, by default all of length 1.
        :return: a new list.
        """
        return self.map(torch.Tensor.squeeze) if dim is None else self.map(torch.Tensor.squeeze, dim)

    def unsqueeze(self, dim: int) -> TensorList:
        """Every entry with one more dimension, of length 1.

        :param dim: its place.
        :return: a new list.
        """
        return self.map(torch.Tensor.unsqueeze, dim)

    def any(self) -> bool:
        """Whether any element of any entry is true.

        :return: a truth value.
        """
        return any(bool(t.any()) for t in self.x)

    def all(self) -> bool:
        """Whether all elements of all entries are true.

        :return: a truth value.
        """
        return all(bool(t.all()) for t in self.x)

    def _with(self, function: Callable[[Any, Any], Any], other: Operand) -> TensorList:
        if isinstance(other, (TensorList, list, tuple)):
            if len(other) != len(self.x):
                raise InvalidArgument(f"TensorList: an operand must have {len(self.x)} entries, got {len(other)}")
            return TensorList.of([function(a, b) for a, b in zip(self.x, other, strict=True)])
        if isinstance(other, (torch.Tensor, int, float, complex)):
            return TensorList.of([function(t, other) for t in self.x])
        raise InvalidArgument(
            f"TensorList: an operand must be a list of tensors, a tensor or a number, got {described(other)}"
        )

    def __add__(self, other: Operand) -> TensorList:
        return self._with(operator.add, other)

    def __radd__(self, other: Operand) -> TensorList:
        return self._with(lambda a, b: b + a, other)

    def __sub__(self, other: Operand) -> TensorList:
        return self._with(operator.sub, other)

    def __rsub__(self, other: Operand) -> TensorList:
        return self._with(lambda a, b: b - a, other)

    def __mul__(self, other: Operand) -> TensorList:
        return self._with(operator.mul, other)

    def __rmul__(self, other: Operand) -> TensorList:
        return self._with(lambda a, b: b * a, other)

    def __truediv__(self, other: Operand) -> TensorList:
        return self._with(operator.truediv, other)

    def __rtruediv__(self, other: Operand) -> TensorList:
        return self._with(lambda a, b: b / a, other)

    def __gt__(self, other: Operand) -> TensorList:
        return self._with(operator.gt, other)

    def __lt__(self, other: Operand) -> TensorList:
        return self._with(operator.lt, other)

    def __neg__(self) -> TensorList:
        return self.map(operator.neg)
