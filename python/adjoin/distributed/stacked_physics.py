# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of any operators, spread over ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from adjoin.arguments import TensorLike
from adjoin.context import DistributedContext
from adjoin.distributed.stack_calls import Factory, StackedCalls

__all__ = ["DistributedStackedPhysics"]


class DistributedStackedPhysics(StackedCalls):
    """A stack [A_1; …; A_n] of measurement models, each owned by one rank.

    Images are replicated: every rank passes the same ``x``. Creation and every call with ``gather`` are collective. When
    an operator fails on one rank, that rank raises its exception and the others :class:`adjoin.RankFailure` at that
    call, and the next call works.

    :param ctx: the ranks.
    :param num_operators: n.
    :param factory: ``factory(index, device, factory_kwargs)`` makes operator ``index``; called only on the rank that
        owns it. It may return an operator of :mod:`adjoin.physics`, one of deepinv, a PyLops or SciPy
        ``LinearOperator``, or any object with a method ``A``.
    :param factory_kwargs: for the factory, broadcast from rank 0 once; anything that pickles.
    :param dtype: when given, images and measurements must have this precision.
    :param gather_strategy: "concatenated", one message; "broadcast", one an operator, started as soon as it is done;
        "naive", serialised, for results that change shape at every call.
    :param parameters: parameters that the operators of several ranks share, the same tensors in the same order on every
        rank: their gradients are summed over the ranks once in a backward pass. Those of an operator that one rank
        owns need not be named.
    :param costs: one positive cost an operator, to spread them evenly; round robin otherwise.
    :param lower: whether operators of deepinv, PyLops and SciPy that have an equal in :mod:`adjoin.physics` are computed by
        it (``adjoin.lowering``).
    :raises adjoin.RankFailure: from every call, on every rank, where a rank failed, and
        :class:`adjoin.CallDisagreement` where ranks make different calls.
    """

    def __init__(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        dtype: torch.dtype | None = None,
        gather_strategy: str = "concatenated",
        parameters: Iterable[torch.Tensor] = (),
        costs: Sequence[float] = (),
        lower: bool = True,
    ) -> None:
        self._set_up(
            ctx,
            num_operators,
            factory,
            factory_kwargs=factory_kwargs,
            reduction="sum",
            dtype=dtype,
            gather_strategy=gather_strategy,
            parameters=parameters,
            costs=costs,
            lower=lower,
        )

    def __len__(self) -> int:
        return self.num_operators

    def A(self, x: TensorLike, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """Measurements without noise.

        :param x: an image (B, C, …), the same on every rank.
        :param gather: True: :class:`TensorList` of all n measurements on every rank, by one message. False: the list of
            this rank's, without any.
        :param reduce_op: "sum" or "mean" of the measurements, which must have one shape, in place of their list.
        :param kwargs: passed to every operator.
        :return: a list of all measurements, or of this rank's own with ``gather=False``.
        :raises adjoin.RankFailure: on every rank, where a rank failed.
        """
        return self._measure("A", x, gather, reduce_op, kwargs)

    def forward(self, x: TensorLike, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """Measurements with noise and sensor response; arguments and results as of :meth:`A`.

        :param x: an image, equal on every rank.
        :param gather: as of :meth:`A`, as is reduce_op.
        :return: a list of all measurements, or of this rank's own with ``gather=False``.
        """
        return self._measure("forward", x, gather, reduce_op, kwargs)

    __call__ = forward

    def A_reduced(self, x: TensorLike, reduction: str = "sum", gather: bool = True, **kwargs: Any) -> torch.Tensor:
        """Σ A_i x, or (1/n) Σ A_i x for ``reduction="mean"``, of operators with measurements of one shape: over all
        operators by one message, or with ``gather=False`` over this rank's, without any.

        :return: the sum or mean, on every rank.
        """
        result: torch.Tensor = self._measure("A", x, gather, reduction, kwargs)
        return result

    def forward_reduced(
        self, x: TensorLike, reduction: str = "sum", gather: bool = True, **kwargs: Any
    ) -> torch.Tensor:
        """The same with noise and sensor response.

        :param x: an image, equal on every rank.
        :param reduction: "sum" or "mean".
        :param gather: False gives this rank's sum, without any message.
        :return: the sum or mean, on every rank.
        """
        result: torch.Tensor = self._measure("forward", x, gather, reduction, kwargs)
        return result
