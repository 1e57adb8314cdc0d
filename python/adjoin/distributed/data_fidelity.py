# SPDX-License-Identifier: BSD-3-Clause
"""Data fidelities of stacks: f(x) = Σ d_i(A_i x, y_i), over ranks."""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from adjoin import _adjoin
from adjoin.arguments import as_tensor, as_tensors
from adjoin.context import DistributedContext
from adjoin.copies import WithRanks
from adjoin.distributed.sharded_image import ShardedImage
from adjoin.distributed.stack_calls import StackedCalls
from adjoin.errors import InvalidArgument
from adjoin.operators import parameters_of

__all__ = ["DistributedDataFidelity"]


def _distance(fidelity: Any) -> Any:
    """What has fn(u, y) and grad(u, y): deepinv's fidelities keep it in ``d``."""
    return getattr(fidelity, "d", fidelity)


class FidelityCalls(WithRanks):
    """What the fidelities of ``adjoin`` and ``adjoin.deepinv`` have in common."""

    _made_anew = ("_sums", "_physics", "_whole")

    stack_type: ClassVar[type] = StackedCalls

    def _set_up(
        self,
        ctx: DistributedContext,
        data_fidelity: Any,
        num_operators: int | None,
        factory_kwargs: dict[str, Any] | None,
        reduction: str,
    ) -> None:
        if reduction not in ("sum", "mean"):
            raise InvalidArgument(f"reduction: must be 'sum' or 'mean', got {reduction!r}")
        self.ctx = ctx
        self.reduction_mode = reduction
        self.single_fidelity: Any = None
        # One fidelity for each of this rank's operators; made anew where a stack is sharded in another way.
        self.local_data_fidelities: list[Any] = []
        self._make: Any = None
        self._made_for: list[int] = []
        self.num_operators = num_operators
        if hasattr(data_fidelity, "grad") and not isinstance(data_fidelity, type):
            cpp = isinstance(data_fidelity, _adjoin.DataFidelity)
            self.single_fidelity = data_fidelity if cpp else copy.deepcopy(data_fidelity)
            if isinstance(self.single_fidelity, torch.nn.Module):
                self.single_fidelity.to(ctx.device)
        elif callable(data_fidelity):
            if num_operators is None:
                raise InvalidArgument("num_operators must be given when data_fidelity is a factory")
            self._make = lambda index: data_fidelity(index, ctx.device, factory_kwargs)
            self._make_for(ctx._impl.local_indices(num_operators))
        else:
            raise InvalidArgument(
                f"data_fidelity: must be a fidelity or a factory of fidelities, got a {type(data_fidelity).__name__}"
            )
        self._connect()

    def _connect(self) -> None:
        self._sums: dict[str, _adjoin.LocalSum] = {}
        self._physics: weakref.ref[Any] | None = None
        self._whole: _adjoin.DistributedDataFidelity | None = None

    def _make_for(self, indices: list[int]) -> None:
        self.local_data_fidelities = [self._make(index) for index in indices]
        self._made_for = indices

    def _fidelity(self, position: int) -> Any:
        return self.single_fidelity if self.single_fidelity is not None else self.local_data_fidelities[position]

    def _meet(self, physics: Any) -> None:
        """Prepares for a stack. Collective where it is not the one of the last call."""
        met = None if self._physics is None else self._physics()
        if met is not None and met is physics:
            met.follow()
            return
        if not isinstance(physics, self.stack_type) or not isinstance(physics, StackedCalls):
            raise InvalidArgument(f"physics: must be a distributed stack, got a {type(physics).__name__}")
        if self._make is not None:
            if self.num_operators != physics.num_operators:
                raise InvalidArgument(
                    f"num_operators: must be that of the stack, {physics.num_operators}, got {self.num_operators}"
                )
            if self._made_for != physics.local_indexes:
                self._make_for(physics.local_indexes)
        # The parameters of a fidelity that all operators share are replicated.
        shared = [*physics._shared_parameters, *parameters_of([self.single_fidelity])]
        known = {id(p) for p in shared}
        local = parameters_of([*physics.local_physics, *self.local_data_fidelities])
        owned = [p for p in local if id(p) not in known]
        self._sums = {}
        for name in ("fn", "grad"):
            self._sums[name] = _adjoin.LocalSum(
                self.ctx._impl, f"DistributedDataFidelity.{name}", physics.local_indexes
            )
            self._sums[name].set_parameters(shared, owned)
        self._whole = None
        self._equal = self._find_equal() if physics.lower else None
        fidelity = self.single_fidelity if self._equal is None else self._equal[1]
        stack = physics._stack
        with_adjoint = _adjoin.DistributedStackedLinearPhysics
        if isinstance(stack, with_adjoint) and isinstance(fidelity, _adjoin.DataFidelity):
            self._whole = _adjoin.DistributedDataFidelity(stack, [fidelity], self.reduction_mode)
        self._recordable = bool(shared or owned)
        self._physics = weakref.ref(physics)

    def _find_equal(self) -> tuple[Any, _adjoin.DataFidelity] | None:
        """What the fidelity of all operators depends on, and a fidelity of adjoin's that has its gradient; None where there
        is none."""
        return None

    def _has_whole(self, name: str) -> bool:
        """Whether C++ computes this of all operators at once."""
        if self._whole is None or self._equal is None:
            return self._whole is not None
        if name == "grad":
            now = self._find_equal()
            return now is not None and now[0] == self._equal[0]
        return False

    def _own(self, y: Sequence[torch.Tensor], physics: Any) -> list[int]:
        """Where this rank's measurements are in ``y``."""
        if len(y) == physics.num_operators:
            indexes: list[int] = physics.local_indexes
            return indexes
        if len(y) == len(physics.local_indexes):
            return list(range(len(y)))
        raise InvalidArgument(
            f"y: must hold {physics.num_operators} tensors, one for each operator, or {len(physics.local_indexes)}, "
            f"one for each operator of this rank, got {len(y)}"
        )

    def _of_sharded(
        self, name: str, x: ShardedImage, y: Any, physics: Any, gather: bool, *arguments: Any, **options: Any
    ) -> Any:
        with self.ctx._telling():
            self._meet(physics)
        with self.ctx._telling():
            if self._whole is None or self._equal is not None:
                raise InvalidArgument("x: a sharded image needs a fidelity of adjoin.optim, one for all operators")
            if not gather:
                raise InvalidArgument("gather: must be True where the image is sharded, got False")
            return getattr(self._whole, f"{name}_of_sharded")(x, as_tensors(y, "y"), *arguments, **options)

    def _sum(
        self,
        name: str,
        x: torch.Tensor,
        y: Any,
        physics: Any,
        gather: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> torch.Tensor:
        with self.ctx._telling():
            self._meet(physics)
        with self.ctx._telling() if gather else contextlib.nullcontext():
            x, measurements = as_tensor(x, "x"), as_tensors(y, "y")
            y_records = torch.is_grad_enabled() and any(t.requires_grad for t in measurements)
            x_records = torch.is_grad_enabled() and x.requires_grad
            recorded = y_records or x_records or self._recordable
            if gather and not (args or kwargs or recorded) and self._has_whole(name):
                result: torch.Tensor = getattr(self._whole, name)(x, measurements)
                return result
            term = self._value_of if name == "fn" else self._gradient_of
            weight = 1.0 / physics.num_operators if self.reduction_mode == "mean" else 1.0

            def part(position: int, image: torch.Tensor, *own_y: torch.Tensor) -> torch.Tensor:
                data = (own_y or measurements)[self._own(measurements, physics)[position]]
                result = term(position, image, data, physics, args, kwargs)
                return result if weight == 1.0 else weight * result

            return self._sums[name].reduce(part, [x, *measurements] if y_records else [x], gather)

    def _value_of(
        self, position: int, x: torch.Tensor, y: torch.Tensor, physics: Any, args: Any, kwargs: Any
    ) -> torch.Tensor:
        u = physics._operators[position].A(x, **kwargs)
        result: torch.Tensor = _distance(self._fidelity(position)).fn(u, y, *args, **kwargs)
        return result

    def _gradient_of(
        self, position: int, x: torch.Tensor, y: torch.Tensor, physics: Any, args: Any, kwargs: Any
    ) -> torch.Tensor:
        operator = physics._operators[position]
        gradient = _distance(self._fidelity(position)).grad(operator.A(x, **kwargs), y, *args, **kwargs)
        result: torch.Tensor = operator.A_vjp(x, gradient, **kwargs)
        return result


class DistributedDataFidelity(FidelityCalls):
    """f(x) = Σ d_i(A_i x, y_i), or 1/n of it, of a stack over ranks.

    :param ctx: the ranks.
    :param data_fidelity: a fidelity for all operators, with ``fn(u, y)`` and ``grad(u, y)`` (those of
        :mod:`adjoin.optim`, or of deepinv), or ``factory(index, device, factory_kwargs)`` that makes one for each.
    :param num_operators: n, needed with a factory.
    :param reduction: "sum" or "mean".

    Every call is collective and sends one message. Values and gradients differentiate with respect to ``x``, ``y`` and
    parameters of operators and fidelities.

    :raises adjoin.RankFailure: from every call, on every rank, where a rank failed, and
        :class:`adjoin.CallDisagreement` where ranks make different calls.
    """

    def __init__(
        self,
        ctx: DistributedContext,
        data_fidelity: Any,
        num_operators: int | None = None,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        reduction: str = "sum",
    ) -> None:
        self._set_up(ctx, data_fidelity, num_operators, factory_kwargs, reduction)

    def fn(
        self, x: torch.Tensor | ShardedImage, y: Any, physics: Any, gather: bool = True, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """f(x), a scalar tensor; with ``gather=False`` this rank's part of it, without any message.

        :param x: an image (B, C, …), equal on every rank, or a sharded one, of which nothing is differentiated; then the
            fidelity must be of :mod:`adjoin.optim`, and there are no other arguments.
        :param y: all n measurements, or this rank's.
        :param physics: the distributed stack.
        :return: a scalar tensor.
        """
        if isinstance(x, ShardedImage):
            value: torch.Tensor = self._of_sharded("fn", x, y, physics, gather, *args, **kwargs)
            return value
        return self._sum("fn", x, y, physics, gather, args, kwargs)

    def grad(self, x: Any, y: Any, physics: Any, gather: bool = True, *args: Any, **kwargs: Any) -> Any:
        """∇f(x) = Σ J_i(x)ᵀ ∇d_i(A_i x, y_i), of the shape of ``x``; arguments as of :meth:`fn`.

        :param x: an image, equal on every rank, or a sharded one.
        :param y: measurements: a list of all, or of this rank's own.
        :param physics: the stack.
        :param gather: False gives this rank's part, without any message.
        :return: an image, sharded where ``x`` is.
        """
        if isinstance(x, ShardedImage):
            return self._of_sharded("grad", x, y, physics, gather, *args, **kwargs)
        return self._sum("grad", x, y, physics, gather, args, kwargs)

    def prox(self, x: Any, y: Any, physics: Any, gamma: float = 1.0, **options: Any) -> Any:
        """argmin_v γ f(v) + 1/2 ‖v − x‖², of the shape of ``x``, for an L2 fidelity of :mod:`adjoin.optim`.

        :param x: an image, equal on every rank, or a sharded one.
        :param y: measurements: a list of all, or of this rank's own.
        :param physics: the stack.
        :param gamma: γ > 0.
        :return: an image, sharded where ``x`` is.
        :raises adjoin.InvalidArgument: for a fidelity that is not :class:`adjoin.optim.L2`.
        """
        if isinstance(x, ShardedImage):
            return self._of_sharded("prox", x, y, physics, True, gamma, **options)
        with self.ctx._telling():
            self._meet(physics)
        with self.ctx._telling():
            if self._whole is None or self._equal is not None:
                raise InvalidArgument("prox: the fidelity must be adjoin.optim.L2")
            return self._whole.prox(x, as_tensors(y, "y"), gamma, **options)

    def __repr__(self) -> str:
        what = self.single_fidelity if self.single_fidelity is not None else f"{len(self.local_data_fidelities)} here"
        return f"{type(self).__name__}({what}, reduction={self.reduction_mode!r})"
