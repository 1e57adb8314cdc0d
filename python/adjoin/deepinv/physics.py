# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of operators, as deepinv's."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from deepinv.physics import LinearPhysics, Physics

from adjoin.deepinv.context import DistributedContext, mean_of_gradients, records
from adjoin.deepinv.tensor_list import TensorList
from adjoin.distributed.stack_calls import Factory, LinearCalls, StackedCalls

__all__ = ["DistributedStackedLinearPhysics", "DistributedStackedPhysics"]

Measurements = Sequence[torch.Tensor]  # or a TensorList


def check_names(where: str, given: Iterable[str], *functions: Callable[..., Any]) -> None:
    """Raises TypeError for a keyword argument that none of the functions names."""
    known = {name for function in functions for name in inspect.signature(function).parameters} - {"self", "kwargs"}
    for name in given:
        if name not in known:
            raise TypeError(f"{where}: got an unexpected keyword argument '{name}'")


class DistributedStackedPhysics(StackedCalls, Physics):
    """A stack of operators, each owned by one rank: see :class:`adjoin.DistributedStackedPhysics`."""

    list_type: ClassVar[Any] = TensorList

    def __init__(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        dtype: torch.dtype | None = None,
        gather_strategy: str = "concatenated",
        parameters: Sequence[torch.Tensor] = (),
        lower: bool = True,
        **kwargs: Any,
    ) -> None:
        check_names(type(self).__name__, kwargs, Physics.__init__, *([LinearPhysics.__init__] if self.linear else []))
        super().__init__(**kwargs)
        self._set_up(
            ctx,
            num_operators,
            factory,
            factory_kwargs=factory_kwargs,
            reduction="sum",
            dtype=dtype or torch.float32,
            gather_strategy=gather_strategy,
            parameters=parameters,
            lower=lower,
        )

    def _strict_dtype(self, dtype: torch.dtype | None) -> torch.dtype | None:
        return None

    def A(
        self,
        x: torch.Tensor,
        gather: bool = True,
        reduce_op: str | None = None,
        force_input_grad_sync: bool = False,
        return_graph_anchor: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Measurements without noise: a TensorList of all, or with ``gather=False`` the list of this rank's.

        :param force_input_grad_sync: with ``gather=False``, the gradient of ``x`` is the mean of those of the ranks.
        :param return_graph_anchor: also return ``x`` as that gradient passes through it.
        """
        return self._anchored("A", x, gather, reduce_op, force_input_grad_sync, return_graph_anchor, kwargs)

    def forward(
        self,
        x: torch.Tensor,
        gather: bool = True,
        reduce_op: str | None = None,
        force_input_grad_sync: bool = False,
        return_graph_anchor: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Measurements with noise and sensor response; arguments and results as of :meth:`A`."""
        return self._anchored("forward", x, gather, reduce_op, force_input_grad_sync, return_graph_anchor, kwargs)

    def _anchored(
        self,
        step: str,
        x: torch.Tensor,
        gather: bool,
        reduce_op: str | None,
        force_input_grad_sync: bool,
        return_graph_anchor: bool,
        kwargs: dict[str, Any],
    ) -> Any:
        if force_input_grad_sync and not gather and records(x):
            x = mean_of_gradients(x, self.ctx)
        result = self._measure(step, x, gather, reduce_op, kwargs)
        return (result, x) if return_graph_anchor else result


class DistributedStackedLinearPhysics(LinearCalls, DistributedStackedPhysics, LinearPhysics):
    """A stack of linear operators, each owned by one rank: see :class:`adjoin.DistributedStackedLinearPhysics`."""

    reduce_op_none: ClassVar[str | None] = "none"

    def __init__(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        reduction: str = "sum",
        dtype: torch.dtype | None = None,
        gather_strategy: str = "concatenated",
        **kwargs: Any,
    ) -> None:
        if reduction != "sum":
            warnings.warn("reduction is not used: pass reduce_op to each call", UserWarning, stacklevel=2)
        super().__init__(
            ctx,
            num_operators,
            factory,
            factory_kwargs=factory_kwargs,
            dtype=dtype,
            gather_strategy=gather_strategy,
            **kwargs,
        )

    def A_adjoint(self, y: Measurements, gather: bool = True, reduce_op: str | None = "sum", **kwargs: Any) -> Any:
        """Σ A_iᵀ y_i; with ``gather=False`` this rank's part."""
        return self._adjoint(y, gather, reduce_op, kwargs)

    def A_vjp(
        self, x: torch.Tensor, v: Measurements, gather: bool = True, reduce_op: str | None = "sum", **kwargs: Any
    ) -> Any:
        """Σ J_i(x)ᵀ v_i."""
        return self._vjp(x, v, gather, reduce_op, kwargs)

    def A_adjoint_A(self, x: torch.Tensor, gather: bool = True, reduce_op: str | None = "sum", **kwargs: Any) -> Any:
        """Σ A_iᵀ A_i x."""
        return self._normal(x, gather, reduce_op, kwargs)

    def A_A_adjoint(self, y: Measurements, gather: bool = True, **kwargs: Any) -> Any:
        """[A_1 Aᵀ y, …, A_n Aᵀ y]."""
        return self.A(self.A_adjoint(y, **kwargs), gather=gather, **kwargs)

    def A_dagger(
        self,
        y: Measurements,
        solver: str = "CG",
        max_iter: int | None = None,
        tol: float | None = None,
        verbose: bool = False,
        *,
        local_only: bool = True,
        gather: bool = True,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Pseudoinverse: the mean of the operators' own (``local_only``), or the least-squares solution."""
        if "init" in kwargs:
            result: torch.Tensor = LinearPhysics.A_dagger(
                self, y, solver, max_iter, tol, verbose and self.ctx.rank == 0, **kwargs
            )
            return result
        iterations = self.max_iter if max_iter is None else max_iter
        accuracy = self.tol if tol is None else tol
        return self._stack.A_dagger(
            y, solver, iterations, accuracy, verbose, None, local_only, gather, None, "automatic", kwargs
        )

    def prox_l2(
        self,
        z: Any,
        y: Measurements,
        gamma: float,
        solver: str = "CG",
        max_iter: int | None = None,
        tol: float | None = None,
        verbose: bool = False,
        **kwargs: Any,
    ) -> torch.Tensor:
        """argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖²."""
        if z is None or isinstance(z, (int, float)):
            z = torch.full_like(self.A_adjoint(y), z or 0.0)
        if "init" in kwargs:
            result: torch.Tensor = LinearPhysics.prox_l2(self, z, y, gamma, solver, max_iter, tol, verbose, **kwargs)
            return result
        iterations = self.max_iter if max_iter is None else max_iter
        accuracy = self.tol if tol is None else tol
        return self._stack.prox_l2(z, y, gamma, solver, iterations, accuracy, verbose, None, None, "automatic", kwargs)

    def compute_sqnorm(
        self,
        x0: torch.Tensor,
        *,
        max_iter: int = 50,
        tol: float = 1e-3,
        verbose: bool = True,
        local_only: bool = True,
        gather: bool = True,
        rng: torch.Generator | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """‖A‖²: an upper bound (``local_only``), or the value."""
        value = self._stack.compute_sqnorm(x0, max_iter, tol, False, local_only, gather, "automatic", kwargs)
        if verbose and self.ctx.rank == 0:
            print(f"squared norm of A: {'at most ' if local_only else ''}{value:.2f}")
        return self._sqnorm(x0, value)
