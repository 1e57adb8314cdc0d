"""Data fidelities of stacks, as deepinv's."""

from __future__ import annotations

from typing import Any

import torch
from deepinv.optim.data_fidelity import DataFidelity

from adjoin.deepinv.context import DistributedContext
from adjoin.distributed.data_fidelity import FidelityCalls

__all__ = ["DistributedDataFidelity"]


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

    def fn(self, x: torch.Tensor, y: Any, physics: Any, gather: bool = True, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Σ d_i(A_i x, y_i)."""
        return self._sum("fn", x, y, physics, gather, args, kwargs)

    forward = fn

    def grad(
        self, x: torch.Tensor, y: Any, physics: Any, gather: bool = True, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Σ J_i(x)ᵀ ∇d_i(A_i x, y_i)."""
        return self._sum("grad", x, y, physics, gather, args, kwargs)

    def prox(self, x: torch.Tensor, y: Any, physics: Any, *args: Any, gamma: Any = 1.0, **kwargs: Any) -> torch.Tensor:
        """argmin_v γ f(v) + 1/2 ‖v − x‖², exact for L2, else by gradient descent."""
        if self.single_fidelity is not None and self.reduction_mode == "sum":
            return self.single_fidelity.prox(x, y, physics, *args, gamma=gamma, **kwargs)
        return super().prox(x, y, physics, *args, gamma=gamma, **kwargs)
