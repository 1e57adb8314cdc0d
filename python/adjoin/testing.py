# SPDX-License-Identifier: BSD-3-Clause
"""Tests that an operator of one's own should pass.

>>> from adjoin.physics import Diagonal
>>> check_operator(Diagonal(2.0), torch.ones(1, 1, 8, 8)).passed
True
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from adjoin import _adjoin
from adjoin._adjoin import Finding, OperatorReport
from adjoin.arguments import TensorLike
from adjoin.errors import InvalidArgument
from adjoin.operators import as_physics

__all__ = ["Finding", "OperatorReport", "check_operator"]

_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def _linear(operator: Any) -> _adjoin.LinearPhysics:
    """The operator as C++ calls it."""
    kind = type(operator)
    if isinstance(operator, _adjoin.Physics):
        own = next(base for base in kind.__mro__ if base.__module__ == _adjoin.Physics.__module__)
        unseen = [
            name
            for name in ("A", "A_adjoint", "A_vjp", "A_adjoint_A", "A_A_adjoint")
            if getattr(kind, name, None) is not getattr(own, name, None)
        ]
        if unseen:
            raise InvalidArgument(
                f"check_operator: {kind.__name__} overrides {', '.join(unseen)} of {own.__name__}, which C++ does not see, so "
                "stacks would compute without: write a class of its own with A and A_adjoint, derived from none of adjoin's"
            )
    physics = as_physics(operator, linear=True)
    assert isinstance(physics, _adjoin.LinearPhysics)
    return physics


def check_operator(
    operator: Any,
    x: TensorLike,
    *,
    others: Iterable[Any] = (),
    dtypes: Iterable[torch.dtype] = _DTYPES,
    batches: bool = True,
    tol: float | None = None,
    seed: int = 0,
    raise_exception: bool = True,
    **params: Any,
) -> OperatorReport:
    """Tries all that is asked of a linear operator, and explains in plain English what fails.

    The checks, in the order in which faults are best mended; one that another's failure would fail is not tried:

    - calls: ``A`` and ``A_adjoint`` take the image and give one back;
    - devices: results are on the device of the argument, on every device that the operator takes;
    - dtypes: results have the argument's precision, float and double, real and complex, where these are taken;
    - input unchanged: no method writes into its arguments;
    - determinism: the result depends on nothing but the arguments, also after other calls;
    - linearity: of zeros, of a sum, of a multiple (a complex one for complex images);
    - adjoint: ⟨A u, v⟩ = ⟨u, A_adjoint v⟩, the real parts where only the image is real;
    - vjp: ``A_vjp`` is ``A_adjoint``, and autograd's derivatives of both are these, where autograd sees into them;
    - batches: each item of a batch is treated as if it were alone;
    - fused form: ``A_adjoint_A`` and ``A_A_adjoint`` are what their names say, and a stack of the operators is their sum.

    :param operator: an operator of :mod:`adjoin.physics`, or an object with ``A`` and ``A_adjoint``, as deepinv's are, or
        with ``matvec`` and ``rmatvec``.
    :param x: an image (B, C, …), real or complex, of the dtype and on the device that the operator is meant for; its
        values do not count.
    :param others: other operators of the class, for the fused form: that of the stack of all of them. By default the
        operator itself three times, which does not tell a form that mistakes one operator for another.
    :param dtypes: dtypes to try besides that of x; one that the operator refuses is not held against it.
    :param batches: whether dimension 0 of images and measurements is that of a batch.
    :param tol: the relative error that is allowed, by default 1e-5 in single and 1e-10 in double precision. Operators
        that approximate, as non-uniform transforms do, need their own accuracy.
    :param seed: of the random images and measurements.
    :param raise_exception: whether to raise where a check fails.
    :param params: keyword arguments of each call of the operator.
    :return: the report: ``report.passed``, ``report.failed``, ``report.findings``.
    :raises AssertionError: with the report, where a check failed.
    :raises InvalidArgument: for what is no linear operator, or no floating-point or complex tensor.

    >>> class Mean:
    ...     def A(self, x):
    ...         return x.mean(-1, keepdim=True)
    ...     def A_adjoint(self, y):
    ...         return y.expand(*y.shape[:-1], 4).contiguous()
    >>> report = check_operator(Mean(), torch.ones(1, 1, 4), raise_exception=False)
    >>> report.failed
    ['adjoint']
    >>> print(next(finding.explanation for finding in report.findings if finding.check == "adjoint").split(". ")[1])
    A_adjoint is the adjoint times 4: the scale is wrong (of a transform that is not orthonormal, a mean, a step)
    """
    report = _adjoin.check_operator(
        _linear(operator),
        x,
        others=[_linear(other) for other in others],
        dtypes=list(dtypes),
        batches=batches,
        tol=0.0 if tol is None else tol,
        seed=seed,
        params=params,
    )
    if raise_exception and not report.passed:
        raise AssertionError(repr(report))
    return report
