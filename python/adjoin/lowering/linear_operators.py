# SPDX-License-Identifier: BSD-3-Clause
"""The equals of the linear operators of PyLops and SciPy, on vectors (batch, n)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from adjoin import _adjoin
from adjoin.lowering.lowered import NoEqual, Recipe, StandIn, Watched
from adjoin.operators import MatrixFree, as_physics

__all__ = ["recipe"]


class WatchedArray(Watched):
    """An array of an operator's, whose changes nobody counts: it is compared with what it was."""

    _seen: np.ndarray | None = None
    _changes = 0

    def state(self) -> tuple[Any, int]:
        array = self.place.get(self.name)
        if not isinstance(array, np.ndarray):
            return array, 0
        if self._seen is None or self._seen.shape != array.shape or not np.array_equal(self._seen, array):
            self._seen, self._changes = array.copy(), self._changes + 1
        return array, self._changes


def _tensor(array: Any) -> torch.Tensor:
    if not isinstance(array, np.ndarray):
        raise NoEqual()
    return torch.from_numpy(np.array(array))


class _Fourier:
    """PyLops' FFT2D, by torch."""

    def __init__(self, operator: Any) -> None:
        norms = {"ortho": "ortho", "none": "backward", "1/n": "forward"}
        self.norm = norms.get(operator.norm.name.lower().replace("one_over_n", "1/n"))
        square = tuple(operator.nffts) == tuple(operator.dims) and tuple(operator.axes) == tuple(
            range(len(operator.dims))
        )
        if operator.real or self.norm is None or len(operator.dims) != 2 or not square:
            raise NoEqual()
        self.size = [int(n) for n in operator.dims]
        self.before, self.after = (
            [-2 + int(axis) for axis in np.flatnonzero(shifts)]
            for shifts in (operator.ifftshift_before, operator.fftshift_after)
        )

    def A(self, x: torch.Tensor) -> torch.Tensor:
        image = (
            torch.fft.ifftshift(x.unflatten(-1, self.size), self.before) if self.before else x.unflatten(-1, self.size)
        )
        spectrum = torch.fft.fft2(image, norm=self.norm)
        result: torch.Tensor = (torch.fft.fftshift(spectrum, self.after) if self.after else spectrum).flatten(-2)
        return result

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        spectrum = (
            torch.fft.ifftshift(y.unflatten(-1, self.size), self.after) if self.after else y.unflatten(-1, self.size)
        )
        adjoint_norm = {"ortho": "ortho", "backward": "forward", "forward": "backward"}[str(self.norm)]
        image = torch.fft.ifft2(spectrum, norm=adjoint_norm)
        result: torch.Tensor = (torch.fft.fftshift(image, self.before) if self.before else image).flatten(-2)
        return result


def _matrix(operator: Any) -> _adjoin.LinearPhysics:
    matrix = _tensor(operator.A)
    if matrix.shape != tuple(operator.shape):  # it acts on one axis of several
        raise NoEqual()
    return _adjoin.Matrix(matrix)


def _diagonal(operator: Any) -> _adjoin.LinearPhysics:
    diagonal = _tensor(operator.diag)
    if diagonal.numel() != operator.shape[0]:
        raise NoEqual()
    return _adjoin.Diagonal(diagonal.flatten())


def _convolution(operator: Any) -> _adjoin.LinearPhysics:
    kernel, sizes = _tensor(operator.h), [int(n) for n in operator.dims]
    kernel = kernel.reshape([1] * (len(sizes) - kernel.dim()) + list(kernel.shape))
    if len(sizes) not in (2, 3):
        raise NoEqual()
    blur = _adjoin.Blur(kernel[None, None], "constant")
    return _adjoin.viewed(blur, [math.prod(sizes)], [1, *sizes], [math.prod(sizes)], [1, *sizes])


def _fourier(operator: Any) -> _adjoin.LinearPhysics:
    return as_physics(_Fourier(operator), linear=True)  # type: ignore[return-value]


def _vertical(operator: Any) -> _adjoin.LinearPhysics:
    return _adjoin.concatenated(*(flat(one) for one in operator.ops), sizes=[int(one.shape[0]) for one in operator.ops])


def _product(operator: Any) -> _adjoin.LinearPhysics:
    first, second = operator.args
    return flat(first) * flat(second)


def _sum(operator: Any) -> _adjoin.LinearPhysics:
    first, second = operator.args
    return flat(first) + flat(second)


def _scaled(operator: Any) -> _adjoin.LinearPhysics:
    inner, factor = operator.args
    scaled: _adjoin.LinearPhysics = (
        complex(factor) * flat(inner) if isinstance(factor, complex) else float(factor) * flat(inner)
    )
    return scaled


def _adjoint(operator: Any) -> _adjoin.LinearPhysics:
    return flat(operator.args[0]).T


def _transposed(operator: Any) -> _adjoin.LinearPhysics:
    if np.issubdtype(operator.dtype, np.complexfloating):
        raise NoEqual()
    return _adjoint(operator)


# By the full names of their classes; the libraries need not be there.
_EQUALS: dict[str, Callable[[Any], _adjoin.LinearPhysics]] = {
    "pylops.basicoperators.matrixmult.MatrixMult": _matrix,
    "pylops.basicoperators.diagonal.Diagonal": _diagonal,
    "pylops.basicoperators.identity.Identity": lambda operator: _adjoin.Diagonal(1.0),
    "pylops.basicoperators.vstack.VStack": _vertical,
    "pylops.signalprocessing.convolve2d.Convolve2D": _convolution,
    "pylops.signalprocessing.convolvend.ConvolveND": _convolution,
    "pylops.signalprocessing.fft2d._FFT2D_numpy": _fourier,
    "pylops.signalprocessing.fft2d._FFT2D_scipy": _fourier,
    "pylops.linearoperator._ProductLinearOperator": _product,
    "pylops.linearoperator._SumLinearOperator": _sum,
    "pylops.linearoperator._ScaledLinearOperator": _scaled,
    "pylops.linearoperator._AdjointLinearOperator": _adjoint,
    "pylops.linearoperator._TransposedLinearOperator": _transposed,
    "scipy.sparse.linalg._interface.MatrixLinearOperator": _matrix,
    "scipy.sparse.linalg._interface.IdentityOperator": lambda operator: _adjoin.Diagonal(1.0),
    "scipy.sparse.linalg._interface._ProductLinearOperator": _product,
    "scipy.sparse.linalg._interface._SumLinearOperator": _sum,
    "scipy.sparse.linalg._interface._ScaledLinearOperator": _scaled,
    "scipy.sparse.linalg._interface._AdjointLinearOperator": _adjoint,
    "scipy.sparse.linalg._interface._TransposedLinearOperator": _transposed,
}
_ARRAYS = ("A", "diag", "h")
_PARTS = ("args", "ops")


def _name(operator: Any) -> str:
    return f"{type(operator).__module__}.{type(operator).__qualname__}"


def flat(operator: Any) -> _adjoin.LinearPhysics:
    """The equal of an operator. Raises NoEqual where there is none."""
    if _name(operator) not in _EQUALS:
        raise NoEqual()
    return _EQUALS[_name(operator)](operator)


def _watched(operator: Any) -> list[Watched]:
    own = vars(operator)
    found: list[Watched] = [WatchedArray(own, name) for name in _ARRAYS if isinstance(own.get(name), np.ndarray)]
    for name in _PARTS:
        for part in own.get(name, ()):
            if _name(part) in _EQUALS:
                found += _watched(part)
    return found


def recipe(matrix_free: MatrixFree) -> Recipe | None:
    operator = matrix_free.operator
    if _name(operator) not in _EQUALS:
        return None

    def make() -> StandIn:
        image, measurement = matrix_free.image_shape, matrix_free.measurement_shape
        return StandIn(
            flat(operator),
            example=(2, *image),
            dtype=torch.from_numpy(np.zeros(1, operator.dtype)).dtype,
            device=torch.device("cpu"),
            image=[int(n) for n in image],
            image_view=[math.prod(int(n) for n in image)],
            measurement=[int(n) for n in measurement],
            measurement_view=[math.prod(int(n) for n in measurement)],
            any_batch=True,
        )

    return Recipe(make, _watched(operator))
