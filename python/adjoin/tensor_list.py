"""A list of tensors that behaves as one vector."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Union, overload

import torch

__all__ = ["TensorList"]

Operand = Union["TensorList", Sequence[torch.Tensor], torch.Tensor, complex]


class TensorList(Sequence[torch.Tensor]):
    """Tensors of any shapes and dtypes with entrywise arithmetic: the measurements of a stack.

    >>> y = TensorList([torch.ones(2), torch.ones(3)])
    >>> (2 * y + y)[1]
    tensor([3., 3., 3.])
    """

    __slots__ = ("x",)

    def __init__(self, x: Iterable[torch.Tensor] | torch.Tensor) -> None:
        self.x: list[torch.Tensor] = [x] if isinstance(x, torch.Tensor) else list(x)

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

    def __setitem__(self, index: int, tensor: torch.Tensor) -> None:
        self.x[index] = tensor

    def append(self, tensor: torch.Tensor) -> TensorList:
        self.x.append(tensor)
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
        return self.x[0].device

    def numel(self) -> int:
        """Number of elements of all entries together."""
        return sum(t.numel() for t in self.x)

    def flatten(self) -> torch.Tensor:
        """All elements as one vector."""
        return torch.cat([t.flatten() for t in self.x])

    def map(self, function: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> TensorList:
        """``function`` of every entry."""
        return TensorList(function(t, *args, **kwargs) for t in self.x)

    def to(self, *args: Any, **kwargs: Any) -> TensorList:
        return self.map(torch.Tensor.to, *args, **kwargs)

    def clone(self) -> TensorList:
        return self.map(torch.Tensor.clone)

    def detach(self) -> TensorList:
        return self.map(torch.Tensor.detach)

    def cpu(self) -> TensorList:
        return self.map(torch.Tensor.cpu)

    def abs(self) -> TensorList:
        return self.map(torch.Tensor.abs)

    def conj(self) -> TensorList:
        return self.map(torch.Tensor.conj)

    def _with(self, function: Callable[[Any, Any], Any], other: Operand) -> TensorList:
        if isinstance(other, (torch.Tensor, int, float, complex)):
            return TensorList(function(t, other) for t in self.x)
        return TensorList(function(a, b) for a, b in zip(self.x, other, strict=True))

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

    def __neg__(self) -> TensorList:
        return self.map(operator.neg)
