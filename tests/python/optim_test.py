"""Fidelities, priors and algorithms."""

import pytest
import torch
from support import dense_stack, matrices

from adjoin import DistributedDataFidelity, distribute, optim, solvers
from adjoin.optim import L1, L2, Huber, PnP, Tikhonov, TotalVariation, ZeroPrior


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
