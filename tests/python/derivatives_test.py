# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of every differentiable call, of first and second order, backwards, forwards and mixed, against differences."""

import pytest
import torch
from copies_test import every_operator
from support import dense_stack
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from adjoin import (
    DistributedDataFidelity,
    DistributedProcessing,
    DistributedStackedLinearPhysics,
    distribute,
    optim,
    solvers,
)
from adjoin.errors import Error, InvalidArgument
from adjoin.physics import (
    Blur,
    ChannelMixing,
    Diagonal,
    Downsampling,
    FilterBank,
    Inpainting,
    Matrix,
    MultiCoilMRI,
    NonCartesianMRI,
    NonuniformFourier,
    SampledProjection,
    Tomography,
)

# Operators by FINUFFT are accurate to 1e-13 here, and no solver gets nearer.
PRECISE = {"max_iter": 400, "tol": 1e-12}


def leaf(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def like(tensor):
    return torch.randn_like(tensor.detach()).requires_grad_()


def check(f, *inputs, forwards=True, mixed=True, second=True, tolerance=1e-6):
    """Products of derivatives with random vectors, equal on every rank; `mixed` ones are tangents of gradients."""
    options = {"fast_mode": True, "atol": tolerance, "rtol": 1e-4}
    assert gradcheck(f, inputs, check_forward_ad=forwards, **options)
    assert not second or gradgradcheck(f, inputs, check_fwd_over_rev=forwards and mixed, **options)


@every_operator
def test_operators(operator, x):
    x = x.clone().requires_grad_()
    y = like(operator.A(x))
    check(operator.A, x)
    check(lambda v: operator.A_adjoint_for(v, x.detach()), y)
    check(operator.A_adjoint_A, x)
    check(lambda v: operator.A_vjp(x.detach(), v), y)


@every_operator
def test_solves_of_operators(operator, x):
    gamma, y = torch.tensor([0.7], dtype=torch.float64).requires_grad_(), like(operator.A(x))
    check(lambda *of: operator.prox_l2(*of, **PRECISE), like(x), y, gamma, tolerance=1e-5)
    try:
        full_rank = torch.allclose(operator.A(operator.A_dagger(y.detach(), **PRECISE)), y.detach(), atol=1e-6)
    except InvalidArgument:  # y does not tell the size of the image
        full_rank = False
    if full_rank:  # else the solver finds as many directions as the number of its iterations says
        check(lambda y: operator.A_dagger(y, **PRECISE), y, tolerance=1e-5)


def sums_and_products():
    a, b = Matrix(torch.randn(4, 4, dtype=torch.float64)), Matrix(torch.randn(4, 4, dtype=torch.float64))
    return [a + b, a - 2.0 * b, a * b, (a * b).T, Diagonal(torch.rand(4, dtype=torch.float64)) * a]


@pytest.mark.parametrize("place", range(5))
def test_sums_and_products_of_operators(place):
    operator = sums_and_products()[place]
    x, y, gamma = leaf(2, 4), leaf(2, 4), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    check(operator.A, x)
    check(operator.A_adjoint, y)
    check(operator.A_adjoint_A, x)
    check(lambda *of: operator.prox_l2(*of, **PRECISE), x, y, gamma, tolerance=1e-5)


def test_solves_reach_what_an_operator_is_made_of():
    matrix, y, z = leaf(4, 3), leaf(2, 4), leaf(2, 3)
    check(lambda m, y: Matrix(m).prox_l2(z, y, 0.7, **PRECISE), matrix, y, forwards=False, tolerance=1e-5)
    kernel, image = leaf(1, 1, 3, 3), leaf(1, 1, 5, 5)
    check(lambda k, y: Blur(k, padding="circular").prox_l2(image, y, 0.7, **PRECISE), kernel, like(image), forwards=False,
          tolerance=1e-5)  # fmt: skip


def of_parameters():
    """What an operator is made of, what makes the operator of it, and an image for it."""
    image, maps = torch.randn(1, 1, 6, 6, dtype=torch.float64), torch.randn(1, 2, 6, 6, dtype=torch.complex128)
    for padding in ("valid", "circular", "reflect", "replicate", "constant"):
        for method in ("direct", "fft"):
            yield lambda k, padding=padding, method=method: Blur(k, padding, method), (leaf(1, 1, 3, 3),), image
    yield lambda k: FilterBank(k, padding="circular"), (leaf(2, 1, 3, 3),), image
    yield lambda k: FilterBank(k, padding="reflect"), (leaf(2, 1, 3, 3),), image
    yield lambda k: Downsampling(k, factor=2, image_size=(6, 6)), (leaf(1, 1, 3, 3),), image
    yield ChannelMixing, (leaf(2, 1),), image
    yield Diagonal, (leaf(6, 6),), image
    yield Inpainting, (leaf(6, 6),), image
    yield Matrix, (leaf(3, 4),), torch.randn(2, 4, dtype=torch.float64)
    yield Matrix, (leaf(3, 4, dtype=torch.complex128),), torch.randn(2, 4, dtype=torch.complex128)
    yield lambda s: MultiCoilMRI(None, s), (like(maps),), maps[:, :1]
    yield lambda m, s: MultiCoilMRI(m, s), (leaf(6, 6), like(maps)), maps[:, :1]
    yield lambda k: NonuniformFourier(k.tanh() / 2, (6, 6), eps=1e-13), (leaf(4, 2),), maps[:, :1]
    yield lambda k: NonuniformFourier(k.tanh() / 2, (2, 3, 4), eps=1e-13), (leaf(5, 3),), torch.randn(1, 1, 2, 3, 4, dtype=torch.float64)
    yield lambda k, s, w: NonCartesianMRI(k.tanh() / 2, s, w, eps=1e-13), (leaf(4, 2), like(maps), leaf(4)), maps[:, :1]


@pytest.mark.parametrize("place", range(len(list(of_parameters()))))
def test_parameters_of_operators(place):
    operator_of, parameters, x = list(of_parameters())[place]
    y = torch.randn_like(operator_of(*parameters).A(x)).detach()
    check(lambda *p: operator_of(*p).A(x), *parameters)
    check(lambda *p: operator_of(*p).A_adjoint_for(y, x), *parameters)
    check(lambda *p: operator_of(*p).A_adjoint_A(x), *parameters)


@pytest.mark.parametrize("place", range(len(list(of_parameters()))))
def test_parameters_of_stacks(ctx, place):
    operator_of, parameters, x = list(of_parameters())[place]
    y = [torch.randn_like(operator_of(*parameters).A(x)).detach() for _ in range(3)]

    def stack(*p):
        return distribute([operator_of(*[change(t) for t in p]) for change in (torch.clone, torch.tanh, torch.neg)], ctx)

    for f in (lambda s: tuple(s.A(x)), lambda s: s.A_adjoint_A(x), lambda s: s.A_vjp(x, y), lambda s: s.A_reduced(x)):
        check(lambda *p, f=f: f(stack(*p)), *parameters, forwards=False)
    check(lambda *p: stack(*p).prox_l2(x, y, 0.7, **PRECISE), *parameters, forwards=False, second=False, tolerance=1e-5)
    with forward_ad.dual_level(), pytest.raises(Exception, match="carries a tangent"):
        stack(*[forward_ad.make_dual(p.detach(), torch.ones_like(p)) for p in parameters]).A(x)


def test_what_is_not_differentiated_refuses_gradients():
    angles, grid = leaf(4), leaf(2, 6, 5, 2)
    makers = (
        lambda angles, grid: Tomography(angles, (8, 8)),
        lambda angles, grid: SampledProjection(grid, (8, 8)),
        lambda angles, grid: SampledProjection(grid.detach(), (8, 8), weights=angles.expand(8, 4).repeat(1, 2)),
        lambda angles, grid: optim.L2(angles.square() + 1),
    )
    for make in makers:
        with pytest.raises(InvalidArgument, match="must not require gradients or carry a tangent"):
            make(angles, grid)
        with forward_ad.dual_level(), pytest.raises(InvalidArgument, match="must not require gradients or carry a tangent"):
            make(*[forward_ad.make_dual(t.detach(), torch.ones_like(t)) for t in (angles, grid)])
        make(angles.detach(), grid.detach())


def test_priors_differentiate_or_refuse():
    wavelet, variation = optim.WaveletPrior("db2", levels=2), optim.TotalVariation()
    x = leaf(1, 1, 8, 8)
    assert torch.autograd.gradcheck(wavelet.fn, (x,))
    for method in (lambda x: wavelet.prox(x, 0.1), lambda x: variation.prox(x, 0.1), variation.fn):
        with pytest.raises(InvalidArgument, match="does not differentiate"):
            method(x)
        with forward_ad.dual_level(), pytest.raises(InvalidArgument, match="does not differentiate"):
            method(forward_ad.make_dual(x.detach(), torch.ones_like(x)))
        with torch.no_grad():
            method(x)


ALGORITHMS = {
    **dict.fromkeys(("gradient_descent", "proximal_gradient", "fista", "monotone_fista", "primal_dual", "ordered_subsets"), ()),
    "hqs": ([1.0],),
    "admm": (1.0,),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_refuse_what_requires_gradients(ctx, name):
    matrices = [torch.randn(5, 4, dtype=torch.float64) for _ in range(3)]
    stack, learned = (distribute([Matrix(m.requires_grad_(wants)) for m in matrices], ctx) for wants in (False, True))
    x0 = torch.zeros(1, 4, dtype=torch.float64)
    y = [torch.randn(1, 5, dtype=torch.float64) for _ in matrices]
    own = [t.requires_grad_() if i in stack.local_indexes else t for i, t in enumerate(torch.stack(y).unbind())]

    def run(stack, y, x0, prior=None):
        return getattr(optim, name)(stack, y, prior or optim.Tikhonov(), x0, *ALGORITHMS[name], max_iter=2).x

    right = run(stack, y, x0)
    last = ctx.world_size - 1
    for bad in (
        lambda: run(stack, own, x0),
        lambda: run(stack, y, x0.clone().requires_grad_()),
        lambda: run(learned, y, x0),
        lambda: run(stack, y, x0.clone().requires_grad_(ctx.rank == last)),
    ):
        with pytest.raises(Error, match="must not require gradients or carry a tangent"):
            bad()
    with forward_ad.dual_level(), pytest.raises(InvalidArgument, match="x0: must not require gradients or carry a tangent"):
        run(stack, y, forward_ad.make_dual(x0, torch.ones_like(x0)))
    with torch.no_grad():
        assert torch.equal(run(learned, own, x0), right)
    if name not in ("gradient_descent", "monotone_fista"):
        gain = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        assert not run(stack, y, x0, optim.PnP(lambda x, sigma: gain * x, 0.1)).requires_grad


def test_solvers_of_functions_refuse_what_requires_gradients():
    b = leaf(3)
    twice = lambda x: 2 * x  # noqa: E731
    for solve in (solvers.conjugate_gradient, solvers.bicgstab, solvers.minres):
        with pytest.raises(InvalidArgument, match=f"{solve.__name__}: b: must not require gradients"):
            solve(twice, b)
        with pytest.raises(InvalidArgument, match="x0: must not require gradients"):
            solve(twice, b.detach(), x0=b)
        with torch.no_grad():
            assert torch.allclose(solve(twice, b).x, b / 2)
    for solve in (solvers.lsqr, solvers.lsmr):
        with pytest.raises(InvalidArgument, match=f"{solve.__name__}: y: must not require gradients"):
            solve(twice, twice, b)
    with pytest.raises(InvalidArgument, match="largest_eigenvalue: like: must not require gradients"):
        solvers.largest_eigenvalue(twice, b)


def test_parameters_that_are_computed_from_one_another_throw(ctx):
    kernel = leaf(1, 1, 3, 3)
    with pytest.raises(Exception, match="is computed from another"):
        distribute([Blur(kernel), Blur(2 * kernel)], ctx)


def test_parameters_that_came_later_throw_on_every_rank(ctx):
    blurs = [Blur(torch.randn(1, 1, 3, 3, dtype=torch.float64)) for _ in range(3)]
    stack, x = distribute(blurs, ctx), torch.randn(1, 1, 6, 6, dtype=torch.float64)
    blurs[1].update(filter=leaf(1, 1, 3, 3))
    for call in (stack.A, stack.A_adjoint_A, stack.A_reduced):
        with pytest.raises(Exception, match="was not among the parameters"):
            call(x)
    with torch.no_grad():
        assert not stack.A_adjoint_A(x).requires_grad
    assert not distribute(blurs, ctx).A_adjoint_A(x.clone()).isnan().any()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_stacks(ctx, dtype, reduction):
    stack, _ = dense_stack(ctx, count=3, dtype=dtype, reduction=reduction)
    x, y = leaf(1, 6, dtype=dtype), [leaf(1, 3 + i, dtype=dtype) for i in range(3)]
    gamma = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    check(lambda x: tuple(stack.A(x)), x)
    check(lambda x: tuple(stack.forward(x)), x, mixed=False)
    check(stack.A_adjoint_A, x)
    check(lambda *y: stack.A_adjoint(y), *y)
    check(lambda *y: stack.A_vjp(x.detach(), y), *y)
    check(lambda *y: tuple(stack.A_A_adjoint(y)), *y)
    check(lambda *y: tuple(stack.A_adjoint(y, reduce_op="none")), *y, mixed=False)
    check(lambda x: tuple(stack.A_adjoint_A(x, reduce_op="none")), x, mixed=False)
    check(lambda z, *y: stack.prox_l2(z, y, 0.7, **PRECISE), x, *y, tolerance=1e-5)
    check(lambda g: stack.prox_l2(x.detach(), [t.detach() for t in y], g, **PRECISE), gamma, mixed=False, tolerance=1e-5)
    check(lambda *y: stack.A_dagger(y, local_only=False, **PRECISE), *y, tolerance=1e-5)
    check(lambda *y: stack.A_dagger(y, local_only=True, **PRECISE), *y, mixed=False, tolerance=1e-5)


def test_tangents_of_gradients_throw_where_there_are_none(ctx):
    stack, _ = dense_stack(ctx, count=3)
    z, y = torch.randn(1, 6, dtype=torch.float64), [torch.randn(1, 3 + i, dtype=torch.float64) for i in range(3)]
    gamma = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    with pytest.raises(Exception, match="tangents"):
        check(lambda g: stack.prox_l2(z, y, g, **PRECISE), gamma, tolerance=1e-5)


def test_fused_stacks(ctx):
    blurs = [Blur(torch.randn(1, 1, 3, 3, dtype=torch.float64), padding="circular") for _ in range(3)]
    stack = distribute(blurs, ctx)
    x, y = leaf(1, 1, 5, 4), [leaf(1, 1, 5, 4) for _ in range(3)]
    check(lambda x: tuple(stack.A(x)), x)
    check(stack.A_adjoint_A, x)
    check(lambda *y: stack.A_adjoint(y), *y)
    check(lambda z, *y: stack.prox_l2(z, y, 0.7, **PRECISE), x, *y, tolerance=1e-5)


def test_parameters_of_calls(ctx):
    class Weighing:
        def A(self, x, weight=1.0):
            return weight * x

        def A_adjoint(self, y, weight=1.0):
            return weight * y

    stack = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Weighing())
    x, weight, y = leaf(1, 4), leaf(4), [leaf(1, 4) for _ in range(3)]
    check(lambda x, w: tuple(stack.A(x, weight=w)), x, weight, forwards=False)
    check(lambda x, w: stack.A_adjoint_A(x, weight=w), x, weight, forwards=False)
    check(lambda w, *y: stack.A_adjoint(y, weight=w), weight, *y, forwards=False)


FIDELITIES = [optim.L2(sigma=0.5), optim.Huber(0.3), optim.PoissonLikelihood(background=0.1), optim.AmplitudeLoss()]


@pytest.mark.parametrize("fidelity", FIDELITIES, ids=lambda f: type(f).__name__)
def test_fidelities(ctx, fidelity):
    stack = distribute([Diagonal(1.0 + torch.rand(6, dtype=torch.float64)) for _ in range(3)], ctx)
    whole = DistributedDataFidelity(ctx, fidelity)
    x = (torch.rand(1, 6, dtype=torch.float64) + 1).requires_grad_()
    y = [(t.detach() + 0.5).requires_grad_() for t in stack.A(x)]
    check(lambda x, *y: whole.fn(x, y, stack), x, *y, forwards=False)
    check(lambda x, *y: whole.grad(x, y, stack), x, *y, forwards=False)


def test_tiles(ctx):
    tiles = DistributedProcessing(ctx, torch.tanh, strategy_kwargs={"patch_size": 3, "overlap": 1})
    check(tiles, leaf(1, 1, 5, 6), mixed=False)
