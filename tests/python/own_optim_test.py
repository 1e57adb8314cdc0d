# SPDX-License-Identifier: BSD-3-Clause
"""Data fidelities and priors that a program defines itself do what those of the library do."""

import copy
import pickle

import numpy
import pytest
import torch
from support import dense_stack

import adjoin
from adjoin import optim


class Quadratic(optim.DataFidelity):
    """L2 written down once more."""

    def __init__(self, sigma=1.0):
        super().__init__()
        self.sigma = sigma

    def fn(self, u, y):
        return (u - y).square().sum() / (2 * self.sigma**2)

    def grad(self, u, y):
        return (u - y) / self.sigma**2

    def prox(self, u, y, gamma):
        return (u + gamma / self.sigma**2 * y) / (1 + gamma / self.sigma**2)

    def lipschitz(self):
        return 1 / self.sigma**2


class ValueAlone(optim.DataFidelity):
    def fn(self, u, y):
        return (u - y).square().sum() / 2


class Ridge(optim.Prior):
    """Tikhonov's written down once more."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def fn(self, x):
        return self.scale * float(x.square().sum()) / 2

    def grad(self, x):
        return self.scale * x

    def prox(self, x, gamma):
        return x / (1 + self.scale * gamma)

    def lipschitz(self):
        return self.scale


class ProxAlone(optim.Prior):
    def prox(self, x, gamma):
        return x.numpy() / numpy.float64(1 + gamma)


def problem(ctx):
    stack, matrix = dense_stack(ctx)
    x = torch.randn(1, 6, dtype=torch.float64)
    return stack, stack.A(torch.ones_like(x)), x


def test_a_fidelity_of_ones_own_is_a_fidelity(ctx):
    stack, y, x = problem(ctx)
    own, ours = (adjoin.DistributedDataFidelity(ctx, f) for f in (Quadratic(0.5), optim.L2(0.5)))
    assert own.fn(x, y, stack).item() == pytest.approx(ours.fn(x, y, stack).item())
    assert torch.allclose(own.grad(x, y, stack), ours.grad(x, y, stack))
    derived = adjoin.DistributedDataFidelity(ctx, ValueAlone())
    assert torch.allclose(derived.grad(x, y, stack), ours.grad(x, y, stack) / 4)
    assert torch.allclose(Quadratic(0.5).prox_conjugate(x, x, 2.0), optim.L2(0.5).prox_conjugate(x, x, 2.0))


@pytest.mark.parametrize("algorithm", ["fista", "proximal_gradient", "primal_dual", "gradient_descent"])
def test_algorithms_take_what_a_program_defines(ctx, algorithm):
    stack, y, x = problem(ctx)
    run = getattr(optim, algorithm)
    options = {"max_iter": 20, "tol": 0.0, "objective": True}
    right = run(stack, y, optim.Tikhonov(), x, data_fidelity=optim.L2(0.5), **options)
    result = run(stack, y, Ridge(), x, data_fidelity=Quadratic(0.5), **options)
    assert torch.allclose(result.x, right.x)
    assert result.history[-1].objective == pytest.approx(right.history[-1].objective)
    if algorithm != "gradient_descent":
        options["objective"] = False
        assert torch.allclose(run(stack, y, ProxAlone(), x, data_fidelity=optim.L2(0.5), **options).x, right.x)


def test_what_is_not_defined_is_named():
    x = torch.ones(1, 2)
    for call, message in (
        (lambda: ProxAlone().prox_conjugate(x, -1.0), "gamma"),
        (lambda: optim.Prior().fn(x), "Prior: has no method fn"),
        (lambda: ValueAlone().prox(x, x, 1.0), "ValueAlone: has no method prox"),
    ):
        with pytest.raises(adjoin.InvalidArgument, match=message):
            call()
    assert Ridge().explicit_prior and not ProxAlone().explicit_prior
    assert ValueAlone().lipschitz() == float("inf") and repr(Ridge()) == "Ridge()"


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_they_can_be_copied(way):
    x = torch.ones(1, 2)
    assert way(Ridge(3.0)).prox_conjugate(x, 1.0).equal(Ridge(3.0).prox_conjugate(x, 1.0))
    assert way(Quadratic(2.0)).sigma == 2.0


def test_total_variation_says_how_its_prox_ended():
    prior = optim.TotalVariation(max_iter=50, tol=1e-6)
    prior.prox(torch.rand(1, 1, 16, 16), 0.1)
    inner = prior.inner()
    assert 1 <= inner.iterations <= 50 and 0 <= inner.error_bound < 1
