# SPDX-License-Identifier: BSD-3-Clause
"""The ranks, with collectives that differentiate as those of deepinv 0.5 do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

import adjoin.context
from adjoin.collectives import reduction_name

__all__ = ["DistributedContext", "mean_of_gradients"]


def records(*tensors: Any) -> bool:
    """Whether autograd records what is done with one of these."""
    return torch.is_grad_enabled() and any(isinstance(t, torch.Tensor) and t.requires_grad for t in tensors)


class _Collective(torch.autograd.Function):
    """A linear collective, with its adjoint as derivative: each a function of a tensor."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, function: Callable[..., torch.Tensor], adjoint: Callable[..., torch.Tensor]
    ) -> torch.Tensor:
        ctx.functions = function, adjoint
        return function(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        function, adjoint = ctx.functions
        return _Collective.apply(gradients[0].contiguous(), adjoint, function), None, None  # type: ignore[no-untyped-call]


class DistributedContext(adjoin.context.DistributedContext):
    """The group of ranks: see :class:`adjoin.DistributedContext`.

    As in deepinv 0.5, ``all_reduce``, ``broadcast`` and ``all_gather`` return their results, and where autograd records
    the argument they leave it as it is and differentiate: the loss is then the sum of all ranks' losses, so that a loss
    which every rank computes counts as often as there are ranks. And as in deepinv, whose contexts seed every rank in its own
    way, images may differ among the ranks: they are compared where ``check_replicated``, or ``ADJOIN_CHECK_REPLICATED`` in
    the environment, asks for it.
    """

    def __init__(self, *args: Any, check_replicated: bool | str | None = None, **kwargs: Any) -> None:
        if check_replicated is None:
            check_replicated = os.environ.get("ADJOIN_CHECK_REPLICATED") or "off"
        super().__init__(*args, check_replicated=check_replicated, **kwargs)

    def __enter__(self) -> DistributedContext:
        super().__enter__()
        return self

    def _sum(self, x: torch.Tensor) -> torch.Tensor:
        return super().all_reduce(x.clone())

    def _stack(self, x: torch.Tensor) -> torch.Tensor:
        gathered = self.communicator.all_gather(x)
        return gathered.clone() if self.world_size == 1 else gathered

    def _own_slice(self, stacked: torch.Tensor) -> torch.Tensor:
        return self._sum(stacked)[self.rank]

    def all_reduce(self, x: torch.Tensor, op: Any = "sum", group: Any = None) -> torch.Tensor:
        """The reduction of ``x`` over the ranks: "sum", "mean", "product", "min", "max", or a
        ``torch.distributed.ReduceOp``. ``x`` becomes it unless autograd records it."""
        if group is not None:
            dist.all_reduce(x, op, group=group)
            return x
        if not records(x):
            return super().all_reduce(x, op)
        name = reduction_name(op)
        if name in ("sum", "mean"):
            total: torch.Tensor = _Collective.apply(x, self._sum, self._sum)  # type: ignore[no-untyped-call]
            return total / self.world_size if name == "mean" else total
        stacked: torch.Tensor = self.all_gather(x)
        if name == "product":
            return stacked.prod(0)
        return stacked.amin(0) if name == "min" else stacked.amax(0)

    def broadcast(self, x: torch.Tensor, src: int = 0, group: Any = None) -> torch.Tensor:
        """The ``x`` of rank ``src``; ``x`` becomes it unless autograd records it."""
        if group is not None:
            dist.broadcast(x, src, group=group)
            return x
        if not records(x):
            return super().broadcast(x, src)

        def spread(value: torch.Tensor) -> torch.Tensor:
            return super(DistributedContext, self).broadcast(value.clone(), src)

        def collect(value: torch.Tensor) -> torch.Tensor:
            total = self._sum(value)
            return total if self.rank == src else torch.zeros_like(total)

        result: torch.Tensor = _Collective.apply(x, spread, collect)  # type: ignore[no-untyped-call]
        return result

    def all_gather(self, x: Any, tensor: torch.Tensor | None = None, group: Any = None) -> Any:
        """The ranks' tensors, all of one shape, stacked: (world_size, *x.shape). With two arguments, a list and a tensor,
        it fills the list, as ``torch.distributed.all_gather`` does."""
        if tensor is not None:
            return super().all_gather(x, tensor)
        if group is not None:
            parts = [torch.empty_like(x) for _ in range(dist.get_world_size(group))]
            dist.all_gather(parts, x, group=group)
            return torch.stack(parts)
        return _Collective.apply(x, self._stack, self._own_slice) if records(x) else self._stack(x)  # type: ignore[no-untyped-call]

    def broadcast_object_list(self, object_list: list[Any], src: int = 0, device: Any = None) -> None:
        """Every rank's list becomes that of rank ``src``."""
        super().broadcast_object_list(object_list, src)

    def all_gather_object(self, object_list: list[Any], value: Any, group: Any = None) -> None:
        """Fills ``object_list``, one entry a rank, with the ranks' picklable values."""
        super().all_gather_object(object_list, value)


class _MeanOfGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, mean: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        ctx.mean = mean
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Collective.apply(gradients[0].contiguous(), ctx.mean, ctx.mean), None  # type: ignore[no-untyped-call]


def mean_of_gradients(x: torch.Tensor, ctx: adjoin.context.DistributedContext) -> torch.Tensor:
    """``x``, whose gradient becomes the mean of the ranks' gradients."""
    result: torch.Tensor = _MeanOfGradients.apply(x, lambda gradient: ctx.all_reduce(gradient.clone(), "mean"))  # type: ignore[no-untyped-call]
    return result
