# SPDX-License-Identifier: BSD-3-Clause
"""Fidelities, priors and algorithms on images of which each rank holds a slab."""

import pytest
import torch
from support import dense_stack

from adjoin import DistributedDataFidelity, InvalidArgument, RankFailure, ShardedImage, optim

ALGORITHMS = {
    "gradient_descent": (),
    "proximal_gradient": (),
    "fista": (),
    "monotone_fista": (),
    "primal_dual": (),
    "hqs": ([0.5, 0.2],),
    "admm": (0.5,),
    "ordered_subsets": (2,),
}


def data(ctx):
    stack, _ = dense_stack(ctx)
    x = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return stack, x, [t + 0.1 for t in stack.A(x.flip(1))]


def close(a, b):
    return torch.allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_equal_those_on_replicated_images(ctx, name):
    stack, x, y = data(ctx)
    run = getattr(optim, name)
    options = {"max_iter": 5, "tol": 0.0, "lambda_": 0.1, "prox_max_iter": 6, "prox_tol": 0.0}
    if name == "gradient_descent":
        options["step"] = 0.01
    expected = run(stack, y, optim.L1Prior(), x, *ALGORITHMS[name], truth=x, **options)
    slab = stack.shard_image(x, 1)
    result = run(stack, y, optim.L1Prior(), slab, *ALGORITHMS[name], truth=slab, **options)
    assert close(slab.with_local(result.x).gather(), expected.x)
    assert result.history[-1].psnr == pytest.approx(expected.history[-1].psnr, rel=1e-9)
    assert close(run(stack, y, optim.L1Prior(), x, *ALGORITHMS[name], layout="sharded", **options).x, expected.x)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_fidelities_and_priors_equal_those_on_replicated_images(ctx, axis):
    stack, x, y = data(ctx)
    slab = stack.shard_image(x, axis)
    fidelity = DistributedDataFidelity(ctx, optim.L2(0.7))
    assert close(fidelity.fn(slab, y, stack), fidelity.fn(x, y, stack))
    gradient = fidelity.grad(slab, y, stack)
    assert isinstance(gradient, ShardedImage) and close(gradient.gather(), fidelity.grad(x, y, stack))
    options = {"max_iter": 4, "tol": 0.0}
    assert close(fidelity.prox(slab, y, stack, 0.3, **options).gather(), fidelity.prox(x, y, stack, 0.3, **options))
    for prior in (
        optim.L1Prior(),
        optim.Tikhonov(),
        optim.Box(-0.2, 0.7),
        optim.Positivity(),
        optim.TotalVariation(max_iter=30, tol=0.0),
        optim.PnP(lambda image, sigma: image / (1 + sigma)),
    ):
        proximal = prior.prox(slab, 0.4)
        assert isinstance(proximal, ShardedImage) and close(proximal.gather(), prior.prox(x, 0.4))
        if prior.explicit_prior:
            inside = prior.prox(x, 0.4)
            assert close(prior.fn(stack.shard_image(inside, axis)), prior.fn(inside))
    assert close(optim.Tikhonov().grad(slab).gather(), x)


def test_what_is_wrong(ctx):
    stack, x, y = data(ctx)
    flat = stack.shard_image(x)
    wrong = (InvalidArgument, RankFailure)
    with pytest.raises(wrong, match="items"):
        optim.fista(stack, y, optim.L1Prior(), stack.shard_image(x, 0), max_iter=2, items=2)
    with pytest.raises(wrong, match="layout"):
        optim.fista(stack, y, optim.L1Prior(), x, layout="elsewhere")
    fidelity = DistributedDataFidelity(ctx, lambda i, device, shared: optim.L2(), 5)
    with pytest.raises(wrong, match="one for all operators"):
        fidelity.grad(flat, y, stack)
    with pytest.raises(wrong, match="gather"):
        DistributedDataFidelity(ctx, optim.L2()).grad(flat, y, stack, gather=False)
    with pytest.raises(InvalidArgument, match="gamma"):
        optim.L1Prior().prox(flat, -1.0)
