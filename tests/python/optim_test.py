# SPDX-License-Identifier: BSD-3-Clause
"""Fidelities, priors and algorithms."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from support import Scaling, dense_stack, matrices

from adjoin import (
    DistributedDataFidelity,
    DistributedStackedLinearPhysics,
    DistributedStackedPhysics,
    RankFailure,
    distribute,
    optim,
    solvers,
)
from adjoin.optim import L1, L2, AmplitudeLoss, Huber, PnP, Tikhonov, TotalVariation, WaveletPrior, ZeroPrior
from adjoin.physics import Matrix


def data(ctx):
    stack, M = dense_stack(ctx)
    x = torch.randn(1, 6, dtype=torch.float64)
    y = stack.A(torch.randn(1, 6, dtype=torch.float64))
    return stack, M, x, y, torch.cat(list(y), dim=-1)


@pytest.mark.parametrize("reduction, weight", [("sum", 1.0), ("mean", 0.2)])
def test_the_fidelity_of_a_stack_is_the_sum_over_its_operators(ctx, reduction, weight):
    stack, M, x, y, whole = data(ctx)
    fidelity = DistributedDataFidelity(ctx, L2(sigma=2.0), reduction=reduction)
    residual = x @ M.T - whole
    assert torch.allclose(fidelity.fn(x, y, stack), weight * (residual**2).sum() / 8)
    assert torch.allclose(fidelity.grad(x, y, stack), weight * residual @ M / 4)
    own = stack.A(x, gather=False)
    assert torch.allclose(fidelity.grad(x, [y[i] for i in stack.local_indexes], stack), weight * residual @ M / 4)
    assert len(own) == len(stack.local_indexes)


def test_a_fidelity_for_each_operator(ctx):
    stack, M, x, y, _ = data(ctx)
    fidelity = distribute([L1() if i % 2 else L2() for i in range(5)], ctx)
    expected = sum(
        (x @ m.T - t).abs().sum() if i % 2 else ((x @ m.T - t) ** 2).sum() / 2
        for i, (m, t) in enumerate(zip(matrices(5), y, strict=True))
    )
    assert torch.allclose(fidelity.fn(x, y, stack), expected)
    part = fidelity.grad(x, y, stack, gather=False)
    if stack.local_indexes:
        ctx.all_reduce(part)
    else:
        ctx.all_reduce(torch.zeros_like(x))
    assert not stack.local_indexes or torch.allclose(part, fidelity.grad(x, y, stack))


def test_fidelities_follow_the_operators_of_any_sharding(ctx):
    stack, M = dense_stack(ctx, costs=[5.0, 1.0, 1.0, 1.0, 1.0])
    x = torch.randn(1, 6, dtype=torch.float64)
    y = stack.A(torch.randn(1, 6, dtype=torch.float64))
    fidelity = distribute([L2(sigma=1.0 + i) for i in range(5)], ctx)
    expected = sum(
        ((x @ m.T - t) ** 2).sum() / (2 * (1.0 + i) ** 2) for i, (m, t) in enumerate(zip(matrices(5), y, strict=True))
    )
    assert torch.allclose(fidelity.fn(x, y, stack), expected)


def test_a_count_unlike_the_stacks_is_an_error_on_every_rank(ctx):
    stack, _, x, y, _ = data(ctx)
    with pytest.raises(ValueError, match="num_operators: must be that of the stack, 5, got 4"):
        distribute([L2()] * 4, ctx).fn(x, y, stack)
    assert torch.isfinite(distribute(L2(), ctx).fn(x, y, stack))


def test_an_object_of_python_can_be_a_fidelity(ctx):
    class Quartic:
        def fn(self, u, y):
            return ((u - y) ** 4).sum() / 4

        def grad(self, u, y):
            return (u - y) ** 3

    stack, M, x, y, whole = data(ctx)
    fidelity = DistributedDataFidelity(ctx, Quartic())
    assert torch.allclose(fidelity.grad(x, y, stack), (x @ M.T - whole) ** 3 @ M)


def test_algorithms_reach_the_regularised_solution(ctx):
    stack, M, _, y, whole = data(ctx)
    x0 = torch.zeros(1, 6, dtype=torch.float64)
    right = torch.linalg.solve(M.T @ M + 0.1 * torch.eye(6, dtype=M.dtype), (whole @ M).T).T
    options = {"lambda_": 0.1, "max_iter": 3000, "tol": 1e-10}
    for name in ("gradient_descent", "proximal_gradient", "fista", "monotone_fista", "primal_dual"):
        result = getattr(optim, name)(stack, y, Tikhonov(), x0, **options)
        assert torch.allclose(result.x, right, atol=1e-5), name
    assert torch.allclose(optim.admm(stack, y, Tikhonov(), x0, 0.5, **options).x, right, atol=1e-5)
    least_squares = torch.linalg.lstsq(M, whole.T).solution.T
    found = optim.hqs(stack, y, ZeroPrior(), x0, [10.0], max_iter=200)
    assert torch.allclose(found.x, least_squares, atol=1e-4)
    assert "iterations" in repr(found)


def test_monitors_and_options_of_algorithms(ctx):
    stack, _, _, y, _ = data(ctx)
    x0 = torch.zeros(1, 6, dtype=torch.float64)
    seen = []

    def monitor(record, x):
        seen.append(record.iteration)
        return record.iteration < 3

    result = optim.fista(stack, y, Tikhonov(), x0, monitor=monitor, data_fidelity=Huber(0.5))
    assert seen == [1, 2, 3] and len(result.history) == 3
    with pytest.raises(ValueError, match="unknown option 'steps'"):
        optim.fista(stack, y, Tikhonov(), x0, steps=3)


def test_a_function_of_python_can_be_the_denoiser_of_a_prior(ctx):
    prior = PnP(lambda x, sigma: x / (1 + sigma), 1.0)
    assert torch.equal(prior.prox(torch.full((2,), 4.0), 0.3), torch.full((2,), 2.0))
    flat = TotalVariation(lower=0.0).prox(torch.rand(1, 1, 8, 8), 100.0)
    assert flat.std() < 1e-2


def test_solvers_take_functions():
    M = matrices(1)[0]
    H = M.T @ M + torch.eye(6, dtype=M.dtype)
    b = torch.randn(6, dtype=M.dtype)
    for solve in (solvers.conjugate_gradient, solvers.bicgstab, solvers.minres):
        assert torch.allclose(solve(lambda x: H @ x, b, max_iter=50, tol=1e-12).x, torch.linalg.solve(H, b), atol=1e-6)
    y = torch.randn(3, dtype=M.dtype)
    for solve in (solvers.lsqr, solvers.lsmr):
        assert torch.allclose(solve(lambda x: M @ x, lambda y: M.T @ y, y, tol=1e-12).x, torch.linalg.pinv(M) @ y, atol=1e-6)
    lower, upper = solvers.largest_eigenvalue(lambda x: H @ x, b, tol=1e-10)
    assert lower <= torch.linalg.eigvalsh(H)[-1] * (1 + 1e-9) and upper >= torch.linalg.eigvalsh(H)[-1] * (1 - 1e-9)


def test_ordered_subsets_find_the_image_that_explains_all_measurements(ctx):
    stack, M, x, _, _ = data(ctx)
    y = stack.A(x)
    result = optim.ordered_subsets(stack, y, ZeroPrior(), torch.zeros_like(x), 2, 0.0, max_iter=2000, tol=0.0)
    assert torch.allclose(result.x, x, atol=1e-3)


def test_the_scale_of_the_truth_sets_the_psnr(ctx):
    stack, _, x, y, _ = data(ctx)
    options = {"max_iter": 1, "truth": torch.zeros_like(x)}
    at_1, at_10 = (optim.fista(stack, y, ZeroPrior(), x, peak=peak, **options).history[0].psnr for peak in (1.0, 10.0))
    assert at_10 - at_1 == pytest.approx(20.0)


def test_value_and_gradient_of_a_fidelity_come_together():
    u, y = torch.randn(3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    value, grad = L2().fn_and_grad(u, y)
    assert value == pytest.approx(L2().fn(u, y).item())
    assert torch.equal(grad, L2().grad(u, y))


def test_wavelets_are_orthonormal():
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    for wavelet in ("haar", "db2", "db4"):
        w = optim.wavelet_transform(x, wavelet, levels=2)
        assert w.norm() == pytest.approx(x.norm().item())
        assert torch.allclose(optim.inverse_wavelet_transform(w, wavelet, levels=2), x)
        assert not torch.allclose(w, x)


def test_the_algorithms_take_a_fidelity_for_each_operator(ctx):
    stack, M, _, y, whole = data(ctx)
    x0 = torch.zeros(1, 6, dtype=torch.float64)
    fidelities = [L2(sigma=1.0 + i) for i in range(5)]
    result = optim.fista(stack, y, Tikhonov(), x0, data_fidelity=fidelities, max_iter=2000, tol=1e-12)
    weights = torch.cat([torch.full((m.shape[0],), (1.0 + i) ** -2.0) for i, m in enumerate(matrices(5))]).double()
    H = M.T @ (weights[:, None] * M) + torch.eye(6, dtype=torch.float64)
    assert torch.allclose(result.x[0], torch.linalg.solve(H, M.T @ (weights * whole[0])), atol=1e-6)
    with pytest.raises((ValueError, RuntimeError)):
        optim.fista(stack, y, Tikhonov(), x0, data_fidelity=fidelities[:4])


def test_a_solve_says_how_it_ended(ctx):
    stack, M, x, y, whole = data(ctx)
    info = solvers.SolveInfo()
    for solver in ("CG", "LSQR", "LSMR", "BiCGStab", "MINRES"):
        stack.A_dagger(y, solver, 200, 1e-10, local_only=False, info=info)
        assert info.reason == "converged" and 0 < info.iterations < 200 and len(info.relative_residuals) == 1, solver
        stack.A_dagger(y, solver, 2, 1e-12, local_only=False, info=info)
        assert info.reason == "iteration limit" and info.iterations == 2, solver
    # Of the normal equations, and of the measurements.
    stack.A_dagger(y, "CG", 3, 0.0, local_only=False, info=info)
    found = stack.A_dagger(y, "CG", 3, 0.0, local_only=False)
    expected = ((whole - found @ M.T) @ M).norm() / (whole @ M).norm()
    assert info.relative_residuals[0] == pytest.approx(expected.item(), rel=1e-6)
    stack.A_dagger(y, "LSQR", 3, 0.0, local_only=False, info=info)
    found = stack.A_dagger(y, "LSQR", 3, 0.0, local_only=False)
    assert info.relative_residuals[0] == pytest.approx(((whole - found @ M.T).norm() / whole.norm()).item(), rel=1e-6)
    stack.prox_l2(x, y, 0.7, info=info)
    assert info.reason == "converged" and "converged after" in repr(info)
    one = Matrix(matrices(5)[0])
    one.A_dagger(whole[:, : len(matrices(5)[0])], max_iter=2, tol=0.0, init=torch.zeros_like(x), info=info)
    assert info.reason == "iteration limit" and info.iterations == 2


def test_a_solve_that_is_differentiated_says_how_the_solve_ended_not_its_gradient(ctx):
    stack, _, x, y, _ = data(ctx)
    recorded = [entry.clone().requires_grad_() for entry in y]
    for solve in (
        lambda info: stack.A_dagger(recorded, "CG", 3, 0.0, local_only=False, info=info),
        lambda info: stack.prox_l2(x, recorded, 0.7, "CG", 3, 0.0, info=info),
    ):
        info = solvers.SolveInfo()
        found = solve(info)
        assert info.reason == "iteration limit" and info.iterations == 3
        residuals = info.relative_residuals
        found.sum().backward()
        assert info.iterations == 3 and info.relative_residuals == residuals


class Squares:
    """x ↦ (M x)², which is not linear."""

    def __init__(self, matrix):
        self.matrix = matrix

    def A(self, x, **kwargs):
        return (x @ self.matrix.T) ** 2


def test_algorithms_take_stacks_that_are_not_linear(ctx):
    blocks = matrices(5)
    stack = DistributedStackedPhysics(ctx, 5, lambda i, device, shared: Squares(blocks[i]))
    truth = torch.rand(1, 6, dtype=torch.float64) + 0.5
    y = [(truth @ m.T) ** 2 for m in blocks]
    start = 1.1 * truth
    for fidelity in (AmplitudeLoss(), L2()):
        found = optim.gradient_descent(
            stack, y, ZeroPrior(), start, data_fidelity=fidelity, backtracking=True, max_iter=3000, tol=1e-10
        )
        assert torch.allclose(found.x, truth, atol=1e-3)
        by_fista = optim.fista(
            stack, y, ZeroPrior(), start, data_fidelity=fidelity, backtracking=True, max_iter=3000, tol=1e-10
        )
        assert torch.allclose(by_fista.x, truth, atol=1e-3)
    with pytest.raises(ValueError, match="step: must be given, or backtracking"):
        optim.gradient_descent(stack, y, ZeroPrior(), start)
    with pytest.raises((ValueError, RuntimeError), match="must be linear"):
        optim.admm(stack, y, ZeroPrior(), start, 1.0)
    with pytest.raises((ValueError, RuntimeError), match="must be linear"):
        optim.primal_dual(stack, y, ZeroPrior(), start)


def test_results_have_the_dtype_of_the_start(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 2, lambda i, device, shared: Scaling(i + 1.0))
    y = [torch.ones(1, 3, dtype=torch.float64), 2 * torch.ones(1, 3, dtype=torch.float64)]
    for name in ("gradient_descent", "proximal_gradient", "fista", "monotone_fista", "primal_dual", "ordered_subsets"):
        result = getattr(optim, name)(stack, y, ZeroPrior(), torch.zeros(1, 3), max_iter=200)
        assert result.x.dtype == torch.float32 and torch.allclose(result.x, torch.ones(1, 3), atol=1e-2), name
    for name, argument in (("hqs", [100.0]), ("admm", 1.0)):
        result = getattr(optim, name)(stack, y, ZeroPrior(), torch.zeros(1, 3), argument, max_iter=200)
        assert result.x.dtype == torch.float32 and torch.allclose(result.x, torch.ones(1, 3), atol=1e-2), name


def test_nan_is_an_error_that_names_the_iteration(ctx):
    stack, M, x, y, _ = data(ctx)
    y = [t.clone() for t in y]
    y[3][0, 1] = float("nan")
    for name in ("gradient_descent", "proximal_gradient", "fista", "monotone_fista", "primal_dual", "ordered_subsets"):
        with pytest.raises(RuntimeError, match="iteration 1"):
            getattr(optim, name)(stack, y, Tikhonov(), x, max_iter=20)
    with pytest.raises(ValueError, match="x0: must be finite"):
        optim.fista(stack, y, Tikhonov(), x / 0.0)
    with pytest.raises(RuntimeError, match="take at most"):
        optim.fista(stack, [torch.ones_like(t) for t in y], Tikhonov(), x, step=10.0)


def test_the_images_of_a_batch_are_independent(ctx):
    stack, M, x, _, _ = data(ctx)
    faint = stack.A(x)
    both = [torch.cat([1e6 * t, t]) for t in faint]
    options = {"lambda_": 0.1, "max_iter": 5000, "tol": 1e-8}
    alone = optim.fista(stack, faint, Tikhonov(), 0 * x, **options).x
    beside = optim.fista(stack, both, Tikhonov(), torch.zeros(2, 6, dtype=x.dtype), **options).x
    assert torch.allclose(beside[1:], alone, rtol=1e-5)
    together = optim.fista(stack, both, Tikhonov(), torch.zeros(2, 6, dtype=x.dtype), items=1, **options)
    assert together.iterations > 0


def test_wavelets_of_any_size():
    x = torch.randn(2, 1, 23, 18, dtype=torch.complex128)
    for wavelet in ("haar", "db7", "sym4", "coif2"):
        w = optim.wavelet_transform(x, wavelet, levels=3)
        assert torch.allclose(optim.inverse_wavelet_transform(w, wavelet, levels=3, sizes=[23, 18]), x)
        v = torch.randn_like(w)
        back = optim.adjoint_wavelet_transform(v, wavelet, levels=3, sizes=[23, 18])
        assert torch.allclose((w.conj() * v).sum(), (x.conj() * back).sum())
        shrunk = WaveletPrior(wavelet, 2, random_shift=True).prox(x, 0.1)
        assert shrunk.shape == x.shape and shrunk.abs().sum() < x.abs().sum()
    with pytest.raises(ValueError, match="wavelet: must be 'haar'"):
        optim.wavelet_transform(x, "db39")


# ---- Ranks and threads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["proximal_gradient", "fista", "primal_dual", "ordered_subsets"])
def test_what_differs_among_the_ranks_is_an_error_before_the_first_iteration(ctx, name):
    if ctx.world_size == 1:
        return
    calls = []

    class Counting(Scaling):
        def A(self, x, **kwargs):
            calls.append("A")
            return super().A(x)

    stack = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Counting(1.0 + i))
    x0 = torch.zeros(1, 4)
    y = [torch.ones(1, 4)] * 3
    odd = ctx.rank == ctx.world_size - 1
    run = getattr(optim, name)
    for prior, start, options in (
        (Tikhonov() if odd else ZeroPrior(), x0, {}),
        (ZeroPrior(), torch.zeros(1, 5 if odd else 4), {}),
        (ZeroPrior(), x0.double() if odd else x0, {}),
        (ZeroPrior(), x0, {"max_iter": 7 if odd else 8}),
    ):
        calls.clear()
        with pytest.raises(RankFailure) as caught:
            run(stack, y, prior, start, step=0.01, **options)
        assert caught.value.rank == ctx.world_size - 1 and not calls
    assert run(stack, y, ZeroPrior(), x0, step=0.01, max_iter=2).x.shape == x0.shape


def test_random_shifts_are_alike_on_all_ranks(ctx):
    prior = WaveletPrior("db2", levels=2, random_shift=True)
    x = torch.rand(1, 1, 16, 16)
    for _ in range(3):
        shrunk = prior.prox(x, 0.1)
        assert all(torch.equal(other, shrunk) for other in ctx.communicator.all_gather(shrunk))


PRIORS = [
    Tikhonov(), optim.L1Prior(), optim.Box(-0.5, 0.5), PnP(lambda x, sigma: x / 2, 0.1), WaveletPrior("db2", levels=2),
    TotalVariation(max_iter=2000, tol=1e-5),
]  # fmt: skip
DISTANCES = [L2(0.5), L1(), Huber(0.1), optim.PoissonLikelihood(background=0.1), AmplitudeLoss(), optim.IndicatorLInf(0.1)]


@pytest.mark.parametrize("used", [*PRIORS, *DISTANCES], ids=lambda used: type(used).__name__)
def test_several_threads_may_use_one_prior_or_fidelity(ctx, used):
    if ctx.world_size > 1:
        pytest.skip("they know no ranks")
    images = [torch.rand(1, 1, 8 + k, 8, dtype=torch.float64) + 0.1 for k in range(4)]
    y = [torch.rand_like(x) for x in images]
    of_one = (lambda k: used.prox(images[k], 0.2)) if isinstance(used, optim.Prior) else (lambda k: used.prox(images[k], y[k], 0.2))
    tolerance = 1e-4 if isinstance(used, TotalVariation) else 0.0  # which begins where the last call ended
    right = [of_one(k) for k in range(4)]

    def work(thread):
        order = [(5 * i + thread) % 4 for i in range(40)]
        return all(torch.allclose(of_one(k), right[k], rtol=0, atol=tolerance) for k in order)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
