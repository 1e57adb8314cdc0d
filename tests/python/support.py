# SPDX-License-Identifier: BSD-3-Clause
"""Operators for the tests, in double precision."""

import torch

from adjoin import DistributedStackedLinearPhysics


class Scaling:
    """x ↦ factor x: the least that an operator of Python's needs."""

    def __init__(self, factor):
        self.factor = factor

    def A(self, x, **kwargs):
        return self.factor * x

    def A_adjoint(self, y, **kwargs):
        return self.factor * y


class Dense:
    """x ↦ x Mᵀ on the last dimension, M real or complex of shape (m, n)."""

    def __init__(self, matrix):
        self.matrix = matrix

    def A(self, x, **kwargs):
        return x @ self.matrix.T

    def A_adjoint(self, y, **kwargs):
        return y @ self.matrix.conj()


def matrices(count, columns=6, dtype=torch.float64):
    """Random matrices of 3, 4, 5 … rows."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3 + i, columns, dtype=dtype, generator=generator) for i in range(count)]


def dense_stack(ctx, count=5, dtype=torch.float64, **options):
    """A stack of Dense operators, and the matrix of all rows."""
    blocks = matrices(count, dtype=dtype)
    stack = DistributedStackedLinearPhysics(ctx, count, lambda i, device, shared: Dense(blocks[i]), **options)
    return stack, torch.cat(blocks)
