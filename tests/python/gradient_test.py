# SPDX-License-Identifier: BSD-3-Clause
"""Gradients through distributed calls against those of one process."""

import pytest
import torch
from support import Dense, Scaling, dense_stack, matrices
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint

from adjoin import DistributedDataFidelity, DistributedProcessing, DistributedStackedLinearPhysics, distribute
from adjoin.optim import L2


def leaf(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def total(tensors):
    """A function of the measurements that weighs them all differently."""
    return sum(((i + 1) * (t.abs() ** 2)).sum() for i, t in enumerate(tensors))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_every_linear_call_passes_gradcheck(ctx, dtype):
    stack, _ = dense_stack(ctx, count=3, dtype=dtype)
    x = leaf(1, 6, dtype=dtype)
    y = [leaf(1, 3 + i, dtype=dtype) for i in range(3)]
    assert gradcheck(lambda x: tuple(stack.A(x)), (x,))
    assert gradcheck(stack.A_adjoint_A, (x,))
    assert gradcheck(lambda *y: stack.A_adjoint(y), y)
    assert gradcheck(lambda *y: stack.A_vjp(x.detach(), y), y)
    assert gradcheck(lambda *y: tuple(stack.A_A_adjoint(y)), y)


def test_the_fidelity_passes_gradcheck(ctx):
    stack, _ = dense_stack(ctx, count=3)
    fidelity = DistributedDataFidelity(ctx, L2(sigma=0.5))
    x = leaf(1, 6)
    y = [leaf(1, 3 + i) for i in range(3)]
    assert gradcheck(lambda x, *y: fidelity.fn(x, y, stack), (x, *y))
    assert gradcheck(lambda x, *y: fidelity.grad(x, y, stack), (x, *y))


def test_the_tiles_pass_gradcheck(ctx):
    processing = DistributedProcessing(ctx, torch.tanh, strategy_kwargs={"patch_size": 3, "overlap": 1})
    assert gradcheck(processing, (leaf(1, 1, 5, 6),))


def test_gradients_within_checkpoints(ctx):
    stack, M = dense_stack(ctx)
    x = leaf(2, 6)
    loss = total(checkpoint(lambda x: tuple(stack.A(torch.tanh(x))), x, use_reentrant=False))
    whole = [torch.tanh(x) @ m.T for m in matrices(5)]
    assert torch.allclose(*(torch.autograd.grad(value, x)[0] for value in (loss, total(whole))))


def test_gradients_outlive_their_stack(ctx):
    stack, M = dense_stack(ctx)
    x = leaf(2, 6)
    y = stack.A_adjoint_A(x)
    del stack
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(gradient, torch.ones(2, 6, dtype=M.dtype) @ M.T.T.T @ M)


class LearnedScaling(torch.nn.Module):
    """x ↦ factor x with a factor to be learned."""

    def __init__(self, factor):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def A(self, x, **kwargs):
        return self.factor * x

    def A_adjoint(self, y, **kwargs):
        return self.factor * y


def losses(A, A_adjoint, A_adjoint_A, x):
    """One number for each call that parameters take part in."""
    y = [(i + 1.0) * x for i in range(4)]
    yield total(A(x))
    yield (A_adjoint(y) ** 2).sum()
    yield (A_adjoint_A(x) ** 3).sum()


@pytest.mark.parametrize("wants_x", [False, True])
def test_parameters_of_listed_operators_have_the_same_gradients_on_every_rank(ctx, wants_x):
    operators = [LearnedScaling(0.5 + 0.2 * i) for i in range(4)]
    factors = [op.factor for op in operators]
    stack = distribute(operators, ctx)
    x = torch.randn(1, 5, dtype=torch.float64, requires_grad=wants_x)
    sources = [*factors, x] if wants_x else factors
    expected = losses(
        lambda x: [f * x for f in factors],
        lambda y: sum(f * t for f, t in zip(factors, y, strict=True)),
        lambda x: sum(f * f * x for f in factors),
        x,
    )
    for found, right in zip(losses(stack.A, stack.A_adjoint, stack.A_adjoint_A, x), expected, strict=True):
        assert torch.allclose(found, right)
        ours = torch.autograd.grad(found, sources)
        theirs = torch.autograd.grad(right, sources)
        assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


def test_parameters_of_owned_operators_have_their_gradients_where_they_are(ctx):
    stack = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: LearnedScaling(1.0 + i))
    x = torch.randn(1, 5, dtype=torch.float64)
    total(stack.A(x)).backward()
    for index, operator in zip(stack.local_indexes, stack.local_physics, strict=True):
        assert torch.allclose(operator.factor.grad, 2 * (index + 1) * (1.0 + index) * (x**2).sum())


def test_parameters_of_a_denoiser_are_summed_once_in_a_backward_pass(ctx):
    network = torch.nn.Conv2d(1, 1, 3, padding=1).double()
    tiles = DistributedProcessing(ctx, network, strategy_kwargs={"patch_size": 4, "overlap": 1, "pad_mode": "constant"})
    x = leaf(1, 1, 12, 12)

    def twice(f):
        return (f(torch.tanh(f(x))) ** 2).sum()

    sources = [x, *network.parameters()]
    ours = torch.autograd.grad(twice(tiles), sources)
    theirs = torch.autograd.grad(twice(network), sources)
    assert all(torch.allclose(a, b) for a, b in zip(ours[1:], theirs[1:], strict=True))

    loss = (tiles(torch.tanh(tiles(x.detach()))) ** 2).sum()
    ctx.communicator.reset_counters()
    loss.backward()
    # The gradient of the image between the two calls, and that of the parameters.
    assert ctx.communicator.counters["reductions"] <= 3
    assert all(torch.allclose(p.grad, g) for p, g in zip(network.parameters(), theirs[1:], strict=True))


def unrolled(A_adjoint, gradient, denoise, y, step):
    """Two steps of proximal gradient descent from the adjoint."""
    x = A_adjoint(y)
    for _ in range(2):
        x = denoise(x - step * gradient(x))
    return x


def train(network, step, reconstruct, truth):
    optimiser = torch.optim.Adam([*network.parameters(), step], lr=1e-2)
    curve = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = ((reconstruct() - truth) ** 2).mean()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    return torch.tensor(curve)


def make_network():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 3, padding=1))


def test_training_an_unrolled_network_follows_the_curve_of_one_process(ctx):
    factors = [0.4, 0.5, 0.6]
    truth = torch.rand(1, 1, 16, 16)
    stack = distribute([Scaling(f) for f in factors], ctx)
    y = [f * truth + 0.05 * torch.randn_like(truth) for f in factors]

    network, step = make_network(), torch.nn.Parameter(torch.tensor(0.5))
    tiles = DistributedProcessing(ctx, network, strategy_kwargs={"patch_size": 8, "overlap": 4, "pad_mode": "none"})
    fidelity = DistributedDataFidelity(ctx, L2())
    distributed = train(
        network,
        step,
        lambda: unrolled(stack.A_adjoint, lambda x: fidelity.grad(x, y, stack), tiles, y, step),
        truth,
    )

    single, own_step = make_network(), torch.nn.Parameter(torch.tensor(0.5))

    def adjoint(y):
        return sum(f * t for f, t in zip(factors, y, strict=True))

    alone = train(
        single,
        own_step,
        lambda: unrolled(adjoint, lambda x: adjoint([f * x - t for f, t in zip(factors, y, strict=True)]), single, y, own_step),
        truth,
    )
    assert torch.allclose(distributed, alone, atol=1e-6, rtol=0)
    assert distributed[-1] < distributed[0]
    assert torch.allclose(step, own_step, atol=1e-5)


def test_operators_of_cpp_differentiate_too(ctx):
    from adjoin.physics import Blur, gaussian_kernel

    kernels = [gaussian_kernel((s, s), size=[3, 3], dtype=torch.float64) for s in (0.5, 1.0, 1.5)]
    stack = distribute([Blur(k, padding="circular") for k in kernels], ctx)
    assert gradcheck(stack.A_adjoint_A, (leaf(1, 1, 4, 5),))
    assert gradcheck(lambda x: tuple(stack.A(x)), (leaf(1, 1, 4, 5),))
    assert Dense(matrices(1)[0]).A(leaf(1, 6)).requires_grad
