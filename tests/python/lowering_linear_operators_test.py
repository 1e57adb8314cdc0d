# SPDX-License-Identifier: BSD-3-Clause
"""Operators of PyLops and SciPy whose work adjoin's operators do."""

import numpy as np
import pytest
import torch

import adjoin
from adjoin.lowering import lower

pylops = pytest.importorskip("pylops")
linalg = pytest.importorskip("scipy.sparse.linalg")

rng = np.random.default_rng(0)


def matrix(m, n, dtype=float):
    return rng.standard_normal((m, n)).astype(dtype) + (1j * rng.standard_normal((m, n)) if dtype is complex else 0)


def fourier(**options):
    return pylops.signalprocessing.FFT2D((6, 8), norm="ortho", **options)


OPERATORS = {
    "MatrixMult": lambda: pylops.MatrixMult(matrix(5, 7)),
    "complex MatrixMult": lambda: pylops.MatrixMult(matrix(5, 7, complex), dtype=complex),
    "single precision": lambda: pylops.MatrixMult(matrix(5, 7, np.float32), dtype=np.float32),
    "Diagonal": lambda: pylops.Diagonal(rng.standard_normal(9)),
    "Identity": lambda: pylops.Identity(4),
    "Convolve2D": lambda: pylops.signalprocessing.Convolve2D((12, 10), rng.standard_normal((3, 4)), offset=(1, 2)),
    "Convolve2D, off centre": lambda: pylops.signalprocessing.Convolve2D((12, 10), rng.standard_normal((5, 3)), offset=(0, 2)),
    "ConvolveND": lambda: pylops.signalprocessing.ConvolveND((6, 7, 5), rng.standard_normal((3, 2, 3)), offset=(1, 1, 1), axes=(0, 1, 2)),
    "VStack": lambda: pylops.VStack([pylops.MatrixMult(matrix(3, 6)), pylops.Diagonal(rng.standard_normal(6))]),
    "FFT2D": fourier,
    "Diagonal of FFT2D": lambda: pylops.Diagonal(rng.standard_normal(48)) * fourier(ifftshift_before=True, fftshift_after=True),
    "product, sum, multiple": lambda: 2.0 * pylops.MatrixMult(matrix(4, 5)) * pylops.MatrixMult(matrix(5, 6)) + pylops.MatrixMult(matrix(4, 6)),
    "adjoint": lambda: pylops.MatrixMult(matrix(4, 5)).H,
    "SciPy's matrix": lambda: linalg.aslinearoperator(matrix(4, 5)),
    "SciPy's algebra": lambda: (3 * linalg.aslinearoperator(matrix(4, 5)) + linalg.aslinearoperator(matrix(4, 5))) * linalg.aslinearoperator(matrix(5, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_lowered_operators_equal_those_of_the_library(ctx, name, batch):
    operator = OPERATORS[name]()
    plain = adjoin.physics.MatrixFree(operator)
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 1, lambda i, device, shared: operator)
    assert stack.num_lowered == 1
    dtype = torch.from_numpy(np.zeros(1, operator.dtype)).dtype
    x = torch.randn(*batch, *plain.image_shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    y = plain.A(x)
    assert torch.allclose(stack.A(x)[0], y, atol=tolerance) and stack.A(x)[0].shape == y.shape
    back = plain.A_adjoint(y)
    assert torch.allclose(stack.A_adjoint([y]), back, atol=tolerance * 10)
    assert torch.allclose(stack.A_adjoint_A(x), back, atol=tolerance * 10)


@pytest.mark.parametrize("name", ["MatrixMult", "Diagonal", "Convolve2D", "VStack", "product, sum, multiple"])
def test_arrays_changed_in_place_are_followed(name):
    operator = OPERATORS[name]()
    own = lower(operator)
    x = torch.randn(1, *own.operator.image_shape, dtype=torch.float64)
    before = own.physics.A(x)
    for changed in own.recipe.watched:
        changed.place[changed.name] *= 3.0
        own.follow()
        assert torch.allclose(own.physics.A(x), own.operator.A(x))
    assert own.is_lowered and not torch.allclose(own.physics.A(x), before)


def test_what_has_no_equal_is_left_alone():
    assert lower(pylops.FirstDerivative(5)) is None
    mixed = lower(pylops.FirstDerivative(5) * pylops.Diagonal(np.ones(5)))
    assert not mixed.is_lowered and not mixed.reason
    x = torch.rand(1, 5, dtype=torch.float64)
    assert torch.allclose(mixed.physics.A(x), mixed.operator.A(x))
    other = lower(pylops.Diagonal(np.ones(5)))
    assert other.physics.A(x.float()).dtype == other.operator.A(x.float()).dtype  # as NumPy promotes
