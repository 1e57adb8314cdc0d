# SPDX-License-Identifier: BSD-3-Clause
"""Data fidelities of stacks, as deepinv's."""

from __future__ import annotations

import functools
from typing import Any

import torch
from deepinv.optim.data_fidelity import L1, L2, DataFidelity, IndicatorL2
from deepinv.optim.distance import L2Distance
from deepinv.physics import LinearPhysics

from adjoin import _adjoin
from adjoin.deepinv.context import DistributedContext, records
from adjoin.deepinv.prox import has_closed_prox, prox_of_distance, prox_of_sum
from adjoin.deepinv.tensor_list import TensorList
from adjoin.distributed.data_fidelity import FidelityCalls

__all__ = ["DistributedDataFidelity"]


# Those of deepinv's fidelities whose own prox is not used.
_ITERATED = (L1, IndicatorL2)


@functools.cache
def _equal_of_l2(norm: float) -> _adjoin.DataFidelity:
    return _adjoin.L2(norm**-0.5)


class DistributedDataFidelity(FidelityCalls, DataFidelity):
    """Σ d_i(A_i x, y_i) over ranks: see :class:`adjoin.DistributedDataFidelity`."""

    def __init__(
        self,
        ctx: DistributedContext,
        data_fidelity: Any,
        num_operators: int | None = None,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        reduction: str = "sum",
    ) -> None:
        super().__init__()
        self._set_up(ctx, data_fidelity, num_operators, factory_kwargs, reduction)

    def _find_equal(self) -> tuple[Any, _adjoin.DataFidelity] | None:
        single = self.single_fidelity
        if type(single) is not L2 or type(single.d) is not L2Distance or not isinstance(single.d.norm, (int, float)):
            return None
        return single.d.norm, _equal_of_l2(single.d.norm)

    def fn(self, x: torch.Tensor, y: Any, physics: Any, gather: bool = True, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Σ d_i(A_i x, y_i)."""
        return self._sum("fn", x, y, physics, gather, args, kwargs)

    forward = fn

    def grad(
        self, x: torch.Tensor, y: Any, physics: Any, gather: bool = True, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Σ J_i(x)ᵀ ∇d_i(A_i x, y_i)."""
        return self._sum("grad", x, y, physics, gather, args, kwargs)

    def prox(
        self,
        x: torch.Tensor,
        y: Any,
        physics: Any,
        *args: Any,
        gamma: Any = 1.0,
        max_iter_inter: int | None = None,
        tol_inter: float | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """argmin_v γ f(v) + 1/2 ‖v − x‖²: a least-squares problem for L2; by a primal-dual iteration for fidelities whose
        distances have proximity operators in closed form, of at most ``max_iter_inter`` (1000) steps, down to changes of
        ``tol_inter`` (1e-6); else by deepinv's gradient descent, whose defaults are 50 and 1e-3."""
        single = self.single_fidelity
        result: torch.Tensor
        if type(single) is L2 and self.reduction_mode == "sum":
            result = physics.prox_l2(x, y, single.norm * gamma, *args, **kwargs)
            return result
        if single is not None and type(single) not in _ITERATED and type(single).prox is not DataFidelity.prox:
            weight = 1.0 / physics.num_operators if self.reduction_mode == "mean" else 1.0
            result = single.prox(x, y, physics, *args, gamma=weight * gamma, **kwargs)
            return result
        self._meet(physics)
        if not isinstance(physics, LinearPhysics) or not self._has_closed_prox(physics):
            options = {"max_iter_inter": max_iter_inter or 50, "tol_inter": tol_inter or 1e-3}
            result = super().prox(x, y, physics, *args, gamma=gamma, **options, **kwargs)
            return result
        everywhere = records(x, gamma, *y) or bool(torch.is_grad_enabled() and self._recordable)
        if everywhere and (self.single_fidelity is None or len(y) != physics.num_operators):
            raise NotImplementedError(
                "prox: differentiates for one fidelity of all operators and all measurements; use torch.no_grad() else"
            )
        places = range(len(y)) if everywhere else self._own(y, physics)
        return prox_of_sum(
            [self._fidelity(i).d for i in range(len(places))],
            1.0 / physics.num_operators if self.reduction_mode == "mean" else 1.0,
            x,
            [y[place] for place in places],
            physics,
            gamma,
            gather=everywhere,
            max_iter=max_iter_inter or 1000,
            tol=tol_inter or 1e-6,
        )

    def _has_closed_prox(self, physics: Any) -> bool:
        if self.single_fidelity is not None:
            return has_closed_prox(self.single_fidelity.d)
        here = all(has_closed_prox(fidelity.d) for fidelity in self.local_data_fidelities)
        return bool(self.ctx.all_reduce(torch.tensor(float(here), device=self.ctx.device), "min"))

    # Of measurements alone: entry by entry, on every rank.

    def grad_d(self, u: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
        """[∇d(u_i, y_i)]."""
        return TensorList([self._shared.d.grad(a, b, *args, **kwargs) for a, b in zip(u, y, strict=True)])

    def prox_d(self, u: Any, y: Any, *args: Any, gamma: Any = 1.0, **kwargs: Any) -> Any:
        """[argmin_v γ d(v, y_i) + 1/2 ‖v − u_i‖²]."""
        return TensorList([prox_of_distance(self._shared.d, a, b, gamma) for a, b in zip(u, y, strict=True)])

    def prox_d_conjugate(self, u: Any, y: Any, *args: Any, gamma: Any = 1.0, lamb: Any = 1.0, **kwargs: Any) -> Any:
        """The same for the convex conjugate of λ d."""
        return TensorList(
            [
                a - gamma * prox_of_distance(self._shared.d, a / gamma, b, lamb / gamma)
                for a, b in zip(u, y, strict=True)
            ]
        )

    @property
    def _shared(self) -> Any:
        if self.single_fidelity is None:
            raise NotImplementedError(
                "data_fidelity: must be one of all operators for what concerns measurements alone"
            )
        return self.single_fidelity
