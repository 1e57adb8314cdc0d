# SPDX-License-Identifier: BSD-3-Clause
"""Krylov solvers for linear maps given as functions of a tensor.

They are not recorded by autograd: tensors that require gradients or carry a tangent raise :class:`adjoin.InvalidArgument`,
but under ``torch.no_grad()``. ``A_dagger`` and ``prox_l2`` of operators and stacks differentiate.

>>> import torch
>>> result = conjugate_gradient(lambda x: 2 * x, torch.ones(3))
>>> result.x
tensor([0.5000, 0.5000, 0.5000])
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from adjoin import _adjoin
from adjoin._adjoin import SolveInfo, SolverResult
from adjoin.arguments import refuse_gradients

__all__ = [
    "SolveInfo",
    "SolverResult",
    "bicgstab",
    "conjugate_gradient",
    "largest_eigenvalue",
    "lsmr",
    "lsqr",
    "minres",
]

P = ParamSpec("P")
R = TypeVar("R")


def _unrecorded(solve: Callable[P, R], *names: str) -> Callable[P, R]:
    """The solver, which refuses tensors that autograd follows; `names` are those of its first arguments."""

    @functools.wraps(solve)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = {**dict(zip(names, args)), **kwargs}
        refuse_gradients(solve.__name__, **given)
        return solve(*args, **kwargs)

    return checked


_square = "H", "b", "max_iter", "tol", "items", "x0"
_rectangular = "A", "A_adjoint", "y", "max_iter", "tol", "items", "damping", "x0"
conjugate_gradient = _unrecorded(_adjoin.conjugate_gradient, *_square)
bicgstab = _unrecorded(_adjoin.bicgstab, *_square)
minres = _unrecorded(_adjoin.minres, *_square)
lsqr = _unrecorded(_adjoin.lsqr, *_rectangular)
lsmr = _unrecorded(_adjoin.lsmr, *_rectangular)
largest_eigenvalue = _unrecorded(_adjoin.largest_eigenvalue, "H", "like")
