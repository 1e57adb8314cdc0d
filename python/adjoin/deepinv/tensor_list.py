# SPDX-License-Identifier: BSD-3-Clause
"""Measurements as deepinv has them, with what its algorithms ask of them besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from deepinv.utils import TensorList as _TensorList

__all__ = ["TensorList"]

# Functions of torch that act on every element by itself, or make a tensor like another.
_ENTRYWISE = {
    getattr(torch, name)
    for name in (
        "abs add angle clamp clip conj cos div empty_like exp full_like imag isnan isfinite log maximum minimum mul "
        "nan_to_num neg ones_like pow rand_like randn_like real reciprocal rsqrt sigmoid sign sin sqrt square sub tanh "
        "true_divide where zeros_like"
    ).split()
}


# Methods of that kind.
_METHODS = set("exp log sqrt square pow reciprocal sign real imag exponential normal uniform zero fill".split())
# Those of all elements together.
_REDUCING = {torch.nn.functional.l1_loss, torch.nn.functional.mse_loss, torch.mean, torch.sum}


def _vector_norm(x: _TensorList, ord: float = 2, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    """The norm of all elements together, one number an item of the batch where ``dim`` is every axis behind it; of other axes
    those of the entries."""
    norms = [torch.linalg.vector_norm(t, ord, dim, keepdim, **kwargs) for t in x.x]
    axes = (dim,) if isinstance(dim, int) else dim
    if dim is None or all({axis % t.dim() for axis in axes} == set(range(1, t.dim())) for t in x.x):
        if len({norm.shape for norm in norms}) == 1:
            return torch.linalg.vector_norm(torch.stack(norms), ord, 0)
    return TensorList(norms)


class TensorList(_TensorList):
    """deepinv's TensorList, with more of what tensors have: functions and methods of torch that concern every element by
    itself apply entry by entry, such as ``torch.ones_like`` and ``normal_``, and losses and norms to all elements together."""

    def __init__(self, x: Sequence[torch.Tensor] | torch.Tensor | _TensorList) -> None:
        self.x = [x] if isinstance(x, torch.Tensor) else list(x)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.x)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if function in _REDUCING:
            together = [a.flatten() if isinstance(a, _TensorList) else a for a in args]
            return function(
                *together, **{n: a.flatten() if isinstance(a, _TensorList) else a for n, a in named.items()}
            )
        if function is torch.linalg.vector_norm and isinstance(args[0], _TensorList):
            return _vector_norm(*args, **named)
        if function not in _ENTRYWISE:
            return NotImplemented
        (count,) = {len(a) for a in (*args, *named.values()) if isinstance(a, _TensorList)}

        def entry(argument: Any, i: int) -> Any:
            return argument[i] if isinstance(argument, _TensorList) else argument

        return cls(
            [
                function(*(entry(a, i) for a in args), **{name: entry(a, i) for name, a in named.items()})
                for i in range(count)
            ]
        )

    def __getattr__(self, name: str) -> Any:
        if name.rstrip("_") not in _METHODS:
            raise AttributeError(f"'TensorList' object has no attribute '{name}'")

        def method(*args: Any, **kwargs: Any) -> TensorList:
            return TensorList([getattr(t, name)(*args, **kwargs) for t in self.x])

        return method

    def _common(self, what: str, values: set[int]) -> int:
        if len(values) != 1:
            raise ValueError(f"TensorList: its entries have different {what}: {sorted(values)}")
        return values.pop()

    def dim(self) -> int:
        """Number of axes of the entries. Raises ValueError where they differ."""
        return self._common("numbers of axes", {t.dim() for t in self.x})

    @property
    def ndim(self) -> int:
        return self.dim()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first entry."""
        return self.x[0].dtype

    def size(self, dim: int | None = None) -> Any:
        """The shapes, or the size along one axis, which the entries must share."""
        return self.shape if dim is None else self._common(f"sizes along axis {dim}", {t.size(dim) for t in self.x})

    def reshape(self, *shape: Any) -> Any:
        """Every entry in its shape of a list; or, of the numbers B and -1, all items of a batch as rows of one tensor."""
        if len(shape) == 2 and shape[1] == -1:
            return torch.cat([t.reshape(shape[0], -1) for t in self.x], 1)
        return TensorList([t.reshape(s) for t, s in zip(self.x, *shape, strict=True)])

    def data_ptr(self) -> int:
        """Where the first entry lies."""
        return self.x[0].data_ptr() if self.x else 0


def _own(name: str) -> Callable[..., Any]:
    theirs = getattr(_TensorList, name)

    def method(self: TensorList, *args: Any, **kwargs: Any) -> Any:
        result = theirs(self, *args, **kwargs)
        return TensorList(result) if type(result) is _TensorList else result

    method.__name__, method.__doc__ = name, theirs.__doc__
    return method


for _name in vars(_TensorList):
    if callable(getattr(_TensorList, _name)) and not (_name in vars(TensorList) or _name == "__init__"):
        setattr(TensorList, _name, _own(_name))
