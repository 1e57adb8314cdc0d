# SPDX-License-Identifier: BSD-3-Clause
"""What a factory may return."""

import time

import numpy
import pytest
import torch
from support import Scaling

from adjoin import DistributedStackedLinearPhysics, distribute, measure_costs
from adjoin.physics import Blur, Diagonal, Inpainting, MatrixFree, MultiCoilMRI, as_physics, gaussian_kernel


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


def test_diagonals_scale_by_a_number_or_by_weights(ctx):
    weights = torch.tensor([[0.0, 2.0], [3.0, -4.0]], dtype=torch.float64)
    scaling, weighing = Diagonal(2.5), Diagonal(weights)
    x = torch.randn(2, 1, 2, 2, dtype=torch.float64)
    assert torch.equal(scaling.A(x), 2.5 * x)
    assert torch.equal(weighing.A_adjoint(x), weights * x)
    assert torch.equal(weighing.weights, weights)
    assert torch.equal(weighing.A_dagger(weighing.A(x)), torch.where(weights == 0, 0.0, x))
    assert weighing.sqnorm_bounds(x) == (16.0, 16.0)
    stack = distribute([scaling, weighing], ctx)
    assert torch.allclose(stack.A_adjoint_A(x), (6.25 + weights**2) * x)
    assert isinstance(Inpainting(weights), Diagonal)


def test_blurs_by_transforms_and_by_the_sum_itself_agree():
    kernel = gaussian_kernel((1.0, 2.0), dtype=torch.float64)
    x = torch.randn(1, 2, 32, 32, dtype=torch.float64)
    fft, direct = (Blur(kernel, padding="reflect", method=method) for method in ("fft", "direct"))
    assert torch.allclose(fft.A(x), direct.A(x))
    assert not torch.equal(fft.A(x), direct.A(x))
    with pytest.raises(ValueError, match="method: must be 'auto', 'fft' or 'direct', got 'magic'"):
        Blur(kernel, method="magic")


def test_costs_are_measured_alike_on_all_ranks_and_spread_operators(ctx):
    class Slow(Scaling):
        def A_adjoint(self, y, **kwargs):
            time.sleep(0.05)
            return super().A_adjoint(y)

    def factory(index, device, shared):
        return Slow(1.0) if index == shared["slow"] else Scaling(1.0)

    options = {"factory_kwargs": {"slow": 0}}
    costs = measure_costs(ctx, 4, factory, torch.ones(1, 3), **options)
    everywhere = [None] * ctx.world_size
    ctx.all_gather_object(everywhere, costs)
    assert everywhere == [costs] * ctx.world_size
    assert costs[0] > 0.04 and max(costs[1:]) < costs[0] / 2
    stack = DistributedStackedLinearPhysics(ctx, 4, factory, costs=costs, **options)
    assert ctx.world_size != 2 or sorted(stack.local_indexes) == ([0] if 0 in stack.local_indexes else [1, 2, 3])


def test_operators_computed_together_agree_with_those_computed_one_by_one(ctx):
    x = torch.randn(1, 1, 32, 32)
    blurs = [Blur(gaussian_kernel((1.0 + i, 1.0)), padding="circular") for i in range(3)]
    fused, plain = (
        DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: blurs[i], fuse=fuse) for fuse in (True, False)
    )
    assert torch.allclose(fused.A_adjoint_A(x), plain.A_adjoint_A(x), atol=1e-5)


@pytest.mark.parametrize("solver", ["CG", "MINRES", "BiCGStab", "LSQR", "LSMR"])
@pytest.mark.parametrize("sharded", [False, True])
def test_a_tolerance_below_round_off_leaves_what_was_not_sampled_at_zero(ctx, solver, sharded):
    coil = torch.ones(1, 1, 32, 32, dtype=torch.complex64)
    masks = (ctx.rand(4, 1, 1, 32, 32) < 0.2).float()
    # What is sampled once or twice has eigenvalues 1 and 2, what is not has 0.
    stack = stack_of(ctx, *(MultiCoilMRI(mask, coil) for mask in masks))
    x = stack.A_adjoint(stack.A(ctx.randn(1, 2, 32, 32)))
    layout = "sharded" if sharded else "replicated"
    solution = stack.A_dagger(stack.A(x), solver, tol=1e-20, max_iter=200, local_only=False, layout=layout)
    assert torch.linalg.norm(solution - x) < 1e-4 * torch.linalg.norm(x)
