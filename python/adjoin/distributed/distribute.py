# SPDX-License-Identifier: BSD-3-Clause
"""distribute(): the distributed form of what one process has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from adjoin import _adjoin
from adjoin.context import DistributedContext
from adjoin.distributed.data_fidelity import DistributedDataFidelity
from adjoin.distributed.processing import DistributedProcessing
from adjoin.distributed.stacked_linear_physics import DistributedStackedLinearPhysics
from adjoin.distributed.stacked_physics import DistributedStackedPhysics
from adjoin.errors import InvalidArgument
from adjoin.operators import parameters_of

__all__ = ["distribute"]


def listed(thing: Any) -> list[Any] | None:
    """The operators or fidelities of a list or of a stack as deepinv has them; None for anything else."""
    if isinstance(thing, (list, tuple)):
        return list(thing)
    for name in ("physics_list", "data_fidelity_list"):
        if hasattr(thing, name):
            return list(getattr(thing, name))
    return None


def is_linear(operator: Any) -> bool:
    if isinstance(operator, _adjoin.Physics):
        return isinstance(operator, _adjoin.LinearPhysics)
    return hasattr(operator, "A_adjoint") or hasattr(operator, "rmatvec")


def is_operator(thing: Any) -> bool:
    return hasattr(thing, "A") or hasattr(thing, "matvec")


def is_fidelity(thing: Any) -> bool:
    return isinstance(thing, _adjoin.DataFidelity) or (hasattr(thing, "fn") and hasattr(thing, "d"))


def type_of(thing: Any) -> str:
    """What ``type_object="auto"`` means."""
    items = listed(thing)
    first = items[0] if items else thing
    if is_operator(first) and items is not None:
        return "linear_physics" if all(is_linear(item) for item in items) else "physics"
    if is_fidelity(first):
        return "data_fidelity"
    networks = torch.nn.Module, _adjoin.Denoiser, _adjoin.DnCNN, _adjoin.DRUNet, _adjoin.FFDNet
    if items is None and isinstance(thing, networks):
        return "denoiser"
    if callable(thing):
        raise InvalidArgument(
            "type_object: must be given for callables: 'physics', 'linear_physics', 'data_fidelity' or 'denoiser'"
        )
    raise InvalidArgument(f"object: cannot tell what to make of a {type(thing).__name__}")


def on_device(item: Any, device: torch.device) -> Any:
    return item.to(device) if isinstance(item, torch.nn.Module) else item


def as_factory(items: list[Any]) -> Callable[[int, torch.device, Any], Any]:
    return lambda index, device, shared: on_device(items[index], device)


def stack_of(kind: Callable[..., Any], thing: Any, ctx: DistributedContext, count: int | None, **kwargs: Any) -> Any:
    """A stack of class ``kind``, of a list of operators or of ``count`` that the factory ``thing`` makes."""
    items = listed(thing)
    if items is not None:
        kwargs.setdefault("parameters", parameters_of(items))
        return kind(ctx, len(items), as_factory(items), **kwargs)
    if count is None:
        raise InvalidArgument("num_operators must be given with a factory")
    return kind(ctx, count, thing, **kwargs)


def fidelity_of(kind: Callable[..., Any], thing: Any, ctx: DistributedContext, count: int | None, **kwargs: Any) -> Any:
    """A fidelity of class ``kind``, of a list of fidelities, one for all operators, or a factory of ``count``."""
    items = listed(thing)
    if items is not None:
        return kind(ctx, as_factory(items), len(items), **kwargs)
    return kind(ctx, thing, count, **kwargs)


def distribute(
    object: Any,
    ctx: DistributedContext,
    *,
    num_operators: int | None = None,
    type_object: str | None = "auto",
    dtype: torch.dtype | None = None,
    gather_strategy: str = "concatenated",
    tiling_strategy: Any = "overlap_tiling",
    tiling_dims: int | tuple[int, ...] | None = None,
    patch_size: int | tuple[int, ...] = 256,
    overlap: int | tuple[int, ...] = 64,
    max_batch_size: int | None = None,
    **kwargs: Any,
) -> Any:
    """The distributed form of an object.

    :param object: a list of operators or a stack of deepinv's, a denoiser or any torch module, a data fidelity or a list
        of them; or a factory of operators or fidelities, or any function of images, with ``type_object`` given.
    :param type_object: "physics", "linear_physics", "data_fidelity", "denoiser", or "auto".
    :param num_operators: needed with a factory.
    :param tiling_strategy, tiling_dims, patch_size, overlap, max_batch_size: of a denoiser.
    :param kwargs: for the class that results.

    Every rank passes the same list, and uses the operators that it owns; the parameters of all of them count as shared
    by the ranks.

    :param dtype: as of the stack's constructor, as is gather_strategy.
    :return: a distributed stack, fidelity or processor.
    :raises adjoin.InvalidArgument: for an object that has no distributed form, and options that its form does not
        take.

    >>> from adjoin.physics import Matrix
    >>> with DistributedContext(device_mode="cpu") as ctx:
    ...     distribute([Matrix(torch.eye(2)), Matrix(torch.ones(1, 2))], ctx).A(torch.ones(1, 2))[1]
    tensor([[2.]])
    """
    kind = type_of(object) if type_object in (None, "auto") else type_object
    if kind in ("physics", "linear_physics"):
        stack = DistributedStackedLinearPhysics if kind == "linear_physics" else DistributedStackedPhysics
        return stack_of(stack, object, ctx, num_operators, dtype=dtype, gather_strategy=gather_strategy, **kwargs)
    if kind == "denoiser":
        options = {"patch_size": patch_size, "overlap": overlap, "tiling_dims": tiling_dims}
        return DistributedProcessing(
            ctx,
            object,
            strategy=tiling_strategy,
            strategy_kwargs={**options, **kwargs},
            max_batch_size=max_batch_size,
        )
    if kind == "data_fidelity":
        return fidelity_of(DistributedDataFidelity, object, ctx, num_operators, **kwargs)
    raise InvalidArgument(
        f"type_object: must be 'physics', 'linear_physics', 'data_fidelity', 'denoiser' or 'auto', got {type_object!r}"
    )
