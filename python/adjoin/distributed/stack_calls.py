# SPDX-License-Identifier: BSD-3-Clause
"""What the stacks of ``adjoin`` and ``adjoin.deepinv`` have in common: how they are made, and how calls reach C++."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch

from adjoin import _adjoin
from adjoin.arguments import TensorLike, as_tensor
from adjoin.context import DistributedContext
from adjoin.copies import WithRanks
from adjoin.distributed.slice_grid import SliceGrid
from adjoin.errors import InvalidArgument
from adjoin.lowering import Lowered, lower
from adjoin.notebook import stack_html
from adjoin.operators import as_physics, parameters_of
from adjoin.tensor_list import TensorList

Factory = Callable[[int, torch.device, Any], Any]
Measurements = Sequence[TensorLike] | TensorList


class _FollowedStack:
    """The stack of C++, its lowered operators being as those that they stand for are now. Stacks without any have theirs
    as an instance attribute, which comes before this one."""

    def __get__(self, calls: StackedCalls, kind: type[StackedCalls]) -> Any:
        calls.follow()
        return calls._followed


class StackedCalls(WithRanks):
    """What the stacks of ``adjoin`` and ``adjoin.deepinv`` have in common."""

    _made_anew = ("_stack", "_followed", "_operators", "_lowered")

    _stack: Any = _FollowedStack()

    # Makes of a list of measurements what calls return.
    list_type: ClassVar[Any] = TensorList.of
    linear: ClassVar[bool] = False

    def _set_up(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None,
        reduction: str,
        dtype: torch.dtype | None,
        gather_strategy: str,
        parameters: Iterable[torch.Tensor] = (),
        costs: Sequence[float] = (),
        fuse: bool = True,
        lower: bool = True,
        grid: SliceGrid | None = None,
    ) -> None:
        self.ctx = ctx
        self.num_operators = num_operators
        self.lower = lower
        self.dtype = dtype
        self.gather_strategy = gather_strategy
        self._default_reduction = reduction
        self._costs = list(costs)
        self._fuse = fuse
        self._grid = grid
        self._shared_parameters = list(parameters)
        self.factory_kwargs = None if factory_kwargs is None else ctx.broadcast_object(factory_kwargs)
        self.local_physics: list[Any] = []

        def make(index: int) -> Any:
            self.local_physics.append(factory(index, ctx.device, self.factory_kwargs))
            return self.local_physics[-1]

        self._make_stack(make)

    def _make_stack(self, make: Callable[[int], Any]) -> None:
        # The operators as C++ sees them, and those among them that adjoin computes.
        self._operators: list[_adjoin.Physics] = []
        self._lowered: list[Lowered] = []

        def make_physics(index: int) -> _adjoin.Physics:
            self._operators.append(self._as_physics(make(index)))
            return self._operators[-1]

        kind = _adjoin.DistributedStackedLinearPhysics if self.linear else _adjoin.DistributedStackedPhysics
        # Precision is agreed per call where it is not asked for.
        stack = kind(
            self.ctx._impl,
            self.num_operators,
            make_physics,
            self._default_reduction,
            self._strict_dtype(self.dtype),
            self.gather_strategy,
            self._costs,
            self._fuse,
            self._grid,
        )
        if self._lowered:
            self._followed = stack
        else:
            self._stack = stack
        self.local_indexes: list[int] = list(stack.local_indices)
        self.num_lowered = self._count_lowered() if self.lower else 0
        known = {id(parameter) for parameter in self._shared_parameters}
        owned = [p for p in parameters_of(self.local_physics) if id(p) not in known]
        stack.set_parameters(self._shared_parameters, owned)

    def _connect(self) -> None:
        operators = iter(self.local_physics)
        self._make_stack(lambda index: next(operators))

    def _as_physics(self, operator: Any) -> _adjoin.Physics:
        lowered = lower(operator) if self.lower else None
        if lowered is None:
            return as_physics(operator, linear=self.linear or None)
        self._lowered.append(lowered)
        return lowered.physics

    def _count_lowered(self) -> int:
        here = sum(one.is_lowered for one in self._lowered)
        return int(self.ctx.communicator.all_gather(torch.tensor([here])).sum())

    def follow(self) -> None:
        """Lets what adjoin computes be as the operators of other libraries, for which it does so, are now."""
        for one in self._lowered:
            one.follow()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.num_operators} operators, {self.num_lowered} lowered, {self.local_indexes} here, "
            f"gather_strategy={self.gather_strategy!r}, {self.ctx!r})"
        )

    def _repr_html_(self) -> str:
        return stack_html(self)

    def _strict_dtype(self, dtype: torch.dtype | None) -> torch.dtype | None:
        return dtype

    def _listed(self, results: Sequence[torch.Tensor], gather: bool) -> Any:
        return self.list_type(results) if gather else results

    def _measure(self, step: str, x: TensorLike, gather: bool, reduce_op: str | None, kwargs: dict[str, Any]) -> Any:
        if reduce_op is None or reduce_op == "none":
            return self._listed(getattr(self._stack, step)(x, gather, kwargs), gather)
        return getattr(self._stack, step + "_reduced")(x, reduce_op, gather, kwargs)

    def _summed(self, result: torch.Tensor, reduce_op: str | None) -> torch.Tensor:
        """A result under the stack's own reduction as the sum or mean that was asked for."""
        if reduce_op is None or reduce_op == self._default_reduction:
            return result
        return result / self.num_operators if reduce_op == "mean" else result * self.num_operators


class LinearCalls(StackedCalls):
    linear: ClassVar[bool] = True
    _stack: _adjoin.DistributedStackedLinearPhysics
    # What reduce_op=None means: the stack's reduction, or "none".
    reduce_op_none: ClassVar[str | None] = None

    def _each(self, method: str, gather: bool, reduce_op: str | None) -> bool:
        """Whether a call is asked for the results of the operators by themselves."""
        if reduce_op not in (None, "sum", "mean", "none"):
            error = InvalidArgument(f"reduce_op: must be 'sum', 'mean', 'none' or None, got {reduce_op!r}")
            if gather:
                self._stack.refuse(method, error)
            raise error
        return (self.reduce_op_none if reduce_op is None else reduce_op) == "none"

    def _adjoint(self, y: Measurements, gather: bool, reduce_op: str | None, kwargs: dict[str, Any]) -> Any:
        if self._each("A_adjoint", gather, reduce_op):
            return self._listed(self._stack.A_adjoint_each(y, gather, kwargs), gather)
        return self._summed(self._stack.A_adjoint(y, gather, kwargs), reduce_op)

    def _vjp(self, x: TensorLike, v: Measurements, gather: bool, reduce_op: str | None, kwargs: dict[str, Any]) -> Any:
        if self._each("A_vjp", gather, reduce_op):
            return self._listed(self._stack.A_vjp_each(x, v, gather, kwargs), gather)
        return self._summed(self._stack.A_vjp(x, v, gather, kwargs), reduce_op)

    def _normal(self, x: TensorLike, gather: bool, reduce_op: str | None, kwargs: dict[str, Any]) -> Any:
        if self._each("A_adjoint_A", gather, reduce_op):
            return self._listed(self._stack.A_adjoint_A_each(x, gather, kwargs), gather)
        return self._summed(self._stack.A_adjoint_A(x, gather, kwargs), reduce_op)

    def _sqnorm(self, x0: TensorLike, value: float) -> torch.Tensor:
        like = as_tensor(x0, "x0")
        dtype = like.real.dtype
        # The square of a norm may lie beyond the numbers of the image's dtype.
        is_held = value == 0.0 or torch.finfo(dtype).tiny <= value <= torch.finfo(dtype).max
        return torch.tensor(value, dtype=dtype if is_held else torch.double, device=like.device)
