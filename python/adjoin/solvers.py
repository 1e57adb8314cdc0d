"""Krylov solvers for linear maps given as functions of a tensor.

>>> import torch
>>> result = conjugate_gradient(lambda x: 2 * x, torch.ones(3))
>>> result.x
tensor([0.5000, 0.5000, 0.5000])
"""

from adjoin._adjoin import (
    SolveInfo,
    SolverResult,
    bicgstab,
    conjugate_gradient,
    largest_eigenvalue,
    lsmr,
    lsqr,
    minres,
)

__all__ = ["SolveInfo", "SolverResult", "bicgstab", "conjugate_gradient", "largest_eigenvalue", "lsmr", "lsqr", "minres"]
