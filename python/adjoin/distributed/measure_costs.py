# SPDX-License-Identifier: BSD-3-Clause
"""How long each operator of a stack takes, to spread them evenly over ranks."""

from __future__ import annotations

from typing import Any

from adjoin import _adjoin
from adjoin.arguments import TensorLike
from adjoin.context import DistributedContext
from adjoin.distributed.stack_calls import Factory
from adjoin.lowering import lower
from adjoin.operators import as_physics

__all__ = ["measure_costs"]


def measure_costs(
    ctx: DistributedContext,
    num_operators: int,
    factory: Factory,
    x: TensorLike,
    *,
    factory_kwargs: dict[str, Any] | None = None,
) -> list[float]:
    """Seconds that ``A_adjoint_A`` takes for each operator on an image like ``x``, the same list on every rank: what
    ``costs=`` of a stack takes, to spread operators of unequal cost evenly. Makes every operator once; collective.

    :param ctx: a :class:`DistributedContext`.
    :param num_operators: how many there are.
    :param factory: as of a stack, as are factory_kwargs.
    :param x: an image.
    :return: seconds, one an operator, for ``costs`` of a stack.
    :raises adjoin.RankFailure: on every rank, where a rank failed.

    >>> import torch
    >>> from adjoin.physics import Matrix
    >>> with DistributedContext(device_mode="cpu") as ctx:
    ...     len(measure_costs(ctx, 3, lambda i, device, shared: Matrix(torch.eye(2)), torch.ones(1, 2)))
    3
    """
    shared = None if factory_kwargs is None else ctx.broadcast_object(factory_kwargs)

    def make(index: int) -> _adjoin.Physics:
        operator = factory(index, ctx.device, shared)
        lowered = lower(operator)
        return as_physics(operator, linear=True) if lowered is None else lowered.physics

    return _adjoin.measure_costs(ctx._impl, num_operators, make, x)
