"""What a factory may return."""

import numpy
import pytest
import torch
from support import Scaling

from adjoin import DistributedStackedLinearPhysics
from adjoin.physics import Blur, MatrixFree, as_physics, gaussian_kernel


def stack_of(ctx, *operators):
    return DistributedStackedLinearPhysics(ctx, len(operators), lambda i, device, shared: operators[i])


def test_operators_of_all_kinds_in_one_stack(ctx):
    scipy = pytest.importorskip("scipy.sparse.linalg")
    matrix = numpy.random.default_rng(0).normal(size=(4, 36))
    flat = MatrixFree(scipy.aslinearoperator(matrix), image_shape=(1, 6, 6))
    blur = Blur(gaussian_kernel((1.0, 1.0), size=[3, 3], dtype=torch.float64), padding="circular")
    stack = stack_of(ctx, Scaling(2.0), blur, flat)
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    y = stack.A(x)
    assert torch.equal(y[0], 2 * x)
    assert torch.equal(y[1], blur.A(x))
    assert torch.allclose(y[2], x.flatten(1) @ torch.tensor(matrix).T)
    assert stack.adjointness_test(x) < 1e-12


def test_pylops_operators_know_their_shapes(ctx):
    pylops = pytest.importorskip("pylops")
    stack = stack_of(ctx, pylops.FirstDerivative((5, 4), axis=0), pylops.Identity(20))
    x = torch.randn(5, 4, dtype=torch.float64)
    operator = as_physics(pylops.FirstDerivative((5, 4), axis=0))
    assert operator.A(x).shape == (5, 4)
    assert torch.allclose(operator.A(x)[2], (x[3] - x[1]) / 2)
    assert operator.adjointness_test(x) < 1e-12
    assert stack.num_operators == 2


def test_the_methods_that_an_object_has_are_used(ctx):
    called = []

    class Rich(Scaling):
        def forward(self, x, **kwargs):
            called.append("forward")
            return self.A(x) + 1

        def A_adjoint_A(self, x, **kwargs):
            called.append("A_adjoint_A")
            return self.factor**2 * x

        def A_vjp(self, x, v, **kwargs):
            called.append("A_vjp")
            return self.factor * v

        def A_dagger(self, y, **kwargs):
            called.append("A_dagger")
            return y / self.factor

    stack = stack_of(ctx, Rich(2.0))
    x = torch.ones(1, 3)
    stack.forward(x)
    stack.A_adjoint_A(x)
    stack.A_vjp(x, stack.A(x))
    assert torch.equal(stack.A_dagger(stack.A(x)), x)
    assert called == (["forward", "A_adjoint_A", "A_vjp", "A_dagger"] if ctx.rank == 0 else [])


def test_what_is_no_operator_is_refused(ctx):
    with pytest.raises((ValueError, RuntimeError), match="must return operators"):
        stack_of(ctx, *["text"] * ctx.world_size)

    class NoAdjoint:
        def A(self, x):
            return x

    with pytest.raises((ValueError, RuntimeError), match="with A_adjoint"):
        stack_of(ctx, *[NoAdjoint()] * ctx.world_size)


def test_an_operator_must_return_a_tensor(ctx):
    class Wrong(Scaling):
        def A(self, x, **kwargs):
            return 3

    with pytest.raises((ValueError, RuntimeError), match="Wrong.A must return a tensor, got int"):
        stack_of(ctx, *[Wrong(1.0)] * ctx.world_size).A(torch.ones(1, 2))


def test_operators_of_cpp_have_an_algebra():
    a = as_physics(Scaling(2.0))
    b = Blur(gaussian_kernel((1.0, 1.0)), padding="circular")
    x = torch.randn(1, 1, 16, 16)
    assert torch.allclose((a + 3 * b).A(x), 2 * x + 3 * b.A(x), atol=1e-6)
    assert torch.allclose((a * b).T.A(x), 2 * b.A_adjoint(x), atol=1e-6)
    assert torch.allclose((-b).A(x), -b.A(x)) and torch.allclose((a - b).A(x), 2 * x - b.A(x), atol=1e-6)
