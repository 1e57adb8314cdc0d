# SPDX-License-Identifier: BSD-3-Clause
"""deepinv's objects, optimisers and module on adjoin."""

import importlib

import pytest
import torch

deepinv = pytest.importorskip("deepinv")

from deepinv.optim import L1, L2, optim_builder  # noqa: E402
from deepinv.optim.prior import PnP  # noqa: E402
from deepinv.physics import Blur, GaussianNoise, LinearPhysics, Physics, StackedLinearPhysics  # noqa: E402
from deepinv.physics.blur import gaussian_blur  # noqa: E402
from deepinv.utils.tensorlist import TensorList  # noqa: E402

import adjoin  # noqa: E402
import adjoin.deepinv as face  # noqa: E402
from adjoin.deepinv import versions  # noqa: E402
from adjoin.deepinv.installation import _OURS  # noqa: E402


class SimpleDenoiser(deepinv.models.base.Denoiser):
    """A gain to be learned."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(0.9))

    def forward(self, x, sigma=None, **kwargs):
        return self.gain * x


@pytest.fixture
def operators():
    return [Blur(filter=gaussian_blur(sigma=1.0 + 0.5 * i), padding="circular") for i in range(3)]


@pytest.fixture
def x():
    return torch.rand(1, 1, 32, 32)


def test_the_classes_are_those_of_deepinv(ctx, operators):
    stack = face.distribute(StackedLinearPhysics(operators), ctx)
    assert isinstance(stack, LinearPhysics)
    factory = face.distribute(lambda i, device, shared: operators[i], ctx, type_object="physics", num_operators=3)
    assert isinstance(factory, Physics) and not isinstance(factory, LinearPhysics)
    assert isinstance(face.distribute(L2(), ctx), deepinv.optim.DataFidelity)
    assert isinstance(face.distribute(SimpleDenoiser(), ctx), deepinv.models.base.Denoiser)


def test_results_are_those_of_the_stack_in_one_process(ctx, operators, x):
    ours, theirs = face.distribute(operators, ctx), StackedLinearPhysics(operators)
    y = ours.A(x)
    assert isinstance(y, TensorList)
    for a, b in zip(y, theirs.A(x), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert torch.allclose(ours.A_adjoint(y), theirs.A_adjoint(y), atol=1e-5)
    assert torch.allclose(ours.A_vjp(x, y), theirs.A_vjp(x, y), atol=1e-5)
    assert torch.allclose(ours.A_adjoint_A(x), theirs.A_adjoint_A(x), atol=1e-5)
    each = ours.A_adjoint(y, reduce_op=None)
    assert isinstance(each, TensorList) and torch.allclose(each[2], operators[2].A_adjoint(y[2]), atol=1e-6)
    prox = theirs.prox_l2(x, y, 2.0, max_iter=200, tol=1e-7)
    assert torch.allclose(ours.prox_l2(x, y, 2.0, max_iter=200, tol=1e-7), prox, atol=1e-4)
    exact = theirs.compute_sqnorm(x, max_iter=200, tol=1e-6, verbose=False)
    assert torch.isclose(ours.compute_sqnorm(x, local_only=False, tol=1e-6, verbose=False), exact, rtol=1e-3)
    assert ours.compute_sqnorm(x, verbose=False) >= exact * (1 - 1e-3)


def test_noise_is_that_of_the_operators(ctx, operators, x):
    for operator in operators:
        operator.set_noise_model(GaussianNoise(sigma=0.1))
    stack = face.distribute(operators, ctx)
    difference = torch.cat([(a - b).flatten() for a, b in zip(stack(x), stack.A(x), strict=True)])
    assert 0.05 < difference.std() < 0.2


def test_an_optimiser_of_deepinv_runs_on_distributed_parts(ctx, operators, x):
    def reconstruct(physics, fidelity, denoiser):
        model = optim_builder("PGD", prior=PnP(denoiser), data_fidelity=fidelity, max_iter=5, params_algo={"stepsize": 0.3, "g_param": 0.05})
        return model(StackedLinearPhysics(operators).A(x), physics)

    alone = reconstruct(StackedLinearPhysics(operators), deepinv.optim.data_fidelity.StackedPhysicsDataFidelity([L2()] * 3), SimpleDenoiser())
    tiles = face.distribute(SimpleDenoiser(), ctx, patch_size=16, overlap=4)
    together = reconstruct(face.distribute(operators, ctx), face.distribute(L2(), ctx), tiles)
    assert torch.allclose(alone, together, atol=1e-5)


def test_fidelities_match_those_of_the_stack(ctx, operators, x):
    stack, theirs = face.distribute(operators, ctx), StackedLinearPhysics(operators)
    y = theirs.A(torch.rand_like(x))
    for one in (L1(), L2(sigma=0.5)):
        whole = deepinv.optim.data_fidelity.StackedPhysicsDataFidelity([one] * 3)
        ours = face.distribute(one, ctx)
        assert torch.allclose(ours.fn(x, y, stack), whole.fn(x, y, theirs), rtol=1e-5)
        assert torch.allclose(ours.grad(x, y, stack), whole.grad(x, y, theirs), atol=1e-5)
        assert torch.allclose(ours(x, y, stack), ours.fn(x, y, stack))


def test_a_denoiser_trains_through_the_tiles(ctx, x):
    denoiser = SimpleDenoiser()
    tiles = face.distribute(denoiser, ctx, patch_size=16, overlap=4)
    assert list(tiles.parameters()) == [denoiser.gain]
    (tiles(x, 0.1) ** 2).sum().backward()
    assert torch.allclose(denoiser.gain.grad, 2 * 0.9 * (x**2).sum())


def test_a_patch_of_the_images_size_is_an_error_as_in_deepinv(ctx, x):
    with pytest.raises(ValueError, match="patch_size"):
        face.distribute(SimpleDenoiser(), ctx, patch_size=32, overlap=4)(x, sigma=0.1)
    wide = face.distribute(SimpleDenoiser(), ctx, patch_size=8, overlap=8)
    assert torch.allclose(wide(x, sigma=0.1), 0.9 * x)


def framework():
    """deepinv's module of the classes, whose name differs from release to release."""
    return importlib.import_module(versions.current().modules[0])


def test_install_takes_the_place_of_the_module_and_gives_it_back():
    import deepinv.distributed as module

    originals = module.distribute, framework().DistributedProcessing
    face.install()
    try:
        from deepinv.distributed import DistributedContext, distribute

        assert distribute is face.distribute and DistributedContext is face.DistributedContext
        assert framework().DistributedProcessing is face.DistributedProcessing
        for name in ("_distribute_base_optim", "DistributedReplicatedParameters"):
            for home in map(importlib.import_module, versions.current().modules):
                assert getattr(home, name, None) in (None, _OURS[name])
    finally:
        face.uninstall()
    assert (module.distribute, framework().DistributedProcessing) == originals


def test_an_unknown_release_is_taken_for_the_newest_with_one_warning(monkeypatch):
    monkeypatch.setattr(deepinv, "__version__", "7.1.0")
    versions.current.cache_clear()
    try:
        with pytest.warns(UserWarning, match="newer than any that adjoin knows") as seen:
            assert versions.current() is versions.VERSIONS[-1] and versions.current() is versions.VERSIONS[-1]
        assert len(seen) == 1
        monkeypatch.setattr(deepinv, "__version__", "0.3.9")
        versions.current.cache_clear()
        with pytest.raises(ImportError, match="0.4.1 or later"):
            versions.current()
    finally:
        versions.current.cache_clear()


def test_collectives_return_their_results_and_differentiate():
    with face.DistributedContext(device_mode="cpu") as ctx:
        size, total = ctx.world_size, sum(range(1, ctx.world_size + 1))
        mine = torch.tensor([1.0 + ctx.rank, 2.0])
        assert torch.equal(ctx.all_gather(mine)[:, 0], torch.arange(1.0, size + 1))
        in_place = mine.clone()
        assert ctx.all_reduce(in_place) is in_place and in_place[0] == total
        filled = [torch.empty(2) for _ in range(size)]
        ctx.all_gather(filled, mine)
        assert filled[-1][0] == size

        # The loss is the sum of the ranks' losses, here each rank + 1 times the collective's result.
        weight = 1.0 + ctx.rank
        for call, expected in (
            (ctx.all_reduce, total),
            (lambda t: ctx.all_reduce(t, "mean"), total / size),
            (lambda t: ctx.all_reduce(t, "max"), total if ctx.rank == size - 1 else 0.0),
            (ctx.broadcast, total if ctx.rank == 0 else 0.0),
            (lambda t: ctx.all_gather(t).sum(0), total),
        ):
            x = mine.clone().requires_grad_()
            (gradient,) = torch.autograd.grad((weight * call(x)[0]) ** 1, x, create_graph=True)
            assert torch.allclose(gradient, torch.tensor([float(expected), 0.0]))


def test_measurements_of_a_rank_give_the_image_the_mean_gradient_of_the_ranks(ctx, operators, x):
    stack = face.distribute(operators, ctx)
    image = x.clone().requires_grad_()
    own, anchor = stack.A(image, gather=False, force_input_grad_sync=True, return_graph_anchor=True)
    loss = sum((y.sum() for y in own), 0.0 * anchor.sum())
    loss.backward()
    whole = x.clone().requires_grad_()
    sum(y.sum() for y in StackedLinearPhysics(operators).A(whole)).backward()
    assert torch.allclose(image.grad, whole.grad / ctx.world_size, atol=1e-5)


def test_parameters_get_the_mean_of_the_ranks_gradients(ctx):
    one = face.distribute(torch.nn.Parameter(torch.tensor(2.0)), ctx)
    (one * (1.0 + ctx.rank)).backward()
    mean = (ctx.world_size + 1) / 2
    assert isinstance(one, torch.nn.Parameter) and torch.isclose(one.grad, torch.tensor(mean))
    pair = face.distribute([torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(1))], ctx, average=False)
    (pair[0].sum() * (1.0 + ctx.rank) + pair[1].sum()).backward()
    assert torch.allclose(pair[0].grad, torch.full((2,), mean * ctx.world_size))
    with pytest.raises(TypeError, match="index 1"):
        face.distribute([torch.nn.Parameter(torch.ones(2)), torch.ones(1)], ctx, type_object="parameters")


def test_an_unfolded_model_is_distributed_in_place_and_trains_as_in_one_process(ctx, operators, x):
    def make():
        denoiser = SimpleDenoiser()
        algorithm = deepinv.optim.optimizers.BaseOptim
        model = deepinv.optim.PGD(
            stepsize=[0.3, 0.2], sigma_denoiser=0.05, trainable_params=["stepsize"], data_fidelity=L2(),
            prior=PnP(denoiser), max_iter=2, unfold=True,
        )  # fmt: skip
        assert isinstance(model, algorithm)
        return model, denoiser

    def gradients(model, denoiser, y, physics):
        model(y, physics).square().sum().backward()
        return [denoiser.gain.grad, *(p.grad for p in model.params_algo["stepsize"])]

    y = StackedLinearPhysics(operators).A(x)
    alone, denoiser = make()
    alone.data_fidelity = torch.nn.ModuleList(
        deepinv.optim.data_fidelity.StackedPhysicsDataFidelity([L2()] * 3) for _ in alone.data_fidelity
    )
    expected = gradients(alone, denoiser, y, StackedLinearPhysics(operators))
    together, denoiser = make()
    assert face.distribute(together, ctx, patch_size=16, overlap=4) is together
    assert isinstance(together.data_fidelity[0], face.DistributedDataFidelity)
    assert isinstance(together.prior[0].denoiser, face.DistributedProcessing)
    for a, b in zip(gradients(together, denoiser, y, face.distribute(operators, ctx)), expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-4)
    folded = deepinv.optim.PGD(stepsize=0.3, data_fidelity=L2(), prior=PnP(SimpleDenoiser()), max_iter=2)
    with pytest.raises(TypeError, match="unfold=False"):
        face.distribute(folded, ctx)
    with pytest.raises(ValueError, match="generic torch.nn.Module"):
        face.distribute(torch.nn.Linear(2, 2), ctx)


def test_checkpointed_tiles_have_the_same_gradients(ctx, x):
    gradients = {}
    for mode in ("always", "never", "auto"):
        denoiser = SimpleDenoiser()
        tiles = face.distribute(denoiser, ctx, patch_size=16, overlap=4, checkpoint_batches=mode)
        (tiles(x, 0.1) ** 2).sum().backward()
        gradients[mode] = denoiser.gain.grad
    assert torch.equal(gradients["always"], gradients["never"])
    assert torch.equal(gradients["always"], gradients["auto"])


def test_options_that_there_are_not_raise(ctx, operators):
    with pytest.raises(ValueError, match="checkpoint_batches"):
        face.distribute(SimpleDenoiser(), ctx, checkpoint_batches="bogus")
    for bad in (
        lambda: face.distribute(operators, ctx, gather_stategy="naive"),
        lambda: face.distribute(SimpleDenoiser(), ctx, pach_size=8),
        lambda: face.distribute(L2(), ctx, redction="sum"),
        lambda: face.distribute([torch.nn.Parameter(torch.ones(1))], ctx, avrage=True),
    ):
        with pytest.raises(TypeError, match="gather_stategy|pach_size|redction|avrage"):
            bad()


@pytest.mark.parametrize("how", [None, "sampled"])
def test_images_may_differ_among_the_ranks_unless_they_are_compared(how, monkeypatch):
    """As in deepinv, whose contexts seed every rank in its own way."""
    monkeypatch.delenv("ADJOIN_CHECK_REPLICATED", raising=False)
    with face.DistributedContext(device_mode="cpu", check_replicated=how) as ctx:
        stack = face.distribute([deepinv.physics.Denoising() for _ in range(3)], ctx)
        own = torch.full((1, 1, 4, 4), 1.0 + ctx.rank)
        if how is None or ctx.world_size == 1:
            y = stack.A(own)
            assert all(torch.equal(y[i], own) for i in stack.local_indexes)
        else:
            with pytest.raises(adjoin.RankFailure, match="x must be equal on every rank"):
                stack.A(own)
