"""deepinv's objects, optimisers and module on adjoin."""

import pytest
import torch

deepinv = pytest.importorskip("deepinv")

import adjoin.deepinv as face  # noqa: E402
from deepinv.optim import L1, L2, optim_builder  # noqa: E402
from deepinv.optim.prior import PnP  # noqa: E402
from deepinv.physics import Blur, GaussianNoise, LinearPhysics, Physics, StackedLinearPhysics  # noqa: E402
from deepinv.physics.blur import gaussian_blur  # noqa: E402
from deepinv.utils.tensorlist import TensorList  # noqa: E402


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


def test_install_takes_the_place_of_the_module_and_gives_it_back():
    import deepinv.distributed as module

    original = module.distribute
    face.install()
    try:
        from deepinv.distributed import distribute
        from deepinv.distributed.distrib_framework import DistributedProcessing

        assert distribute is face.distribute and DistributedProcessing is face.DistributedProcessing
    finally:
        face.uninstall()
    assert module.distribute is original
