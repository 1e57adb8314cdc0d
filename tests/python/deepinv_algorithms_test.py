# SPDX-License-Identifier: BSD-3-Clause
"""Every algorithm of deepinv's that runs in one process runs on distributed parts, with the same result."""

import pytest
import torch

deepinv = pytest.importorskip("deepinv")

from deepinv import optim, sampling  # noqa: E402
from deepinv.physics import Blur, Denoising, GaussianNoise, StackedLinearPhysics  # noqa: E402

import adjoin.deepinv as face  # noqa: E402
from adjoin.deepinv.tensor_list import TensorList  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not hasattr(optim, "PGD"), reason="deepinv before 0.4.1 has no classes of algorithms"),
]
DTYPE = torch.float64


class Smoother(deepinv.models.base.Denoiser):
    """A denoiser without weights, of either precision."""

    def forward(self, x, sigma=None, **kwargs):
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return 0.5 * x + 0.5 * torch.nn.functional.avg_pool2d(padded, 3, stride=1)


class Trained(deepinv.models.base.Denoiser):
    """A denoiser with weights, the same in every process."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect").to(DTYPE)

    def forward(self, x, sigma=None, **kwargs):
        return x + 0.1 * self.layer(x)


class OneProcess(StackedLinearPhysics):
    """deepinv's stack, whose measurements have the methods that deepinv's list lacks and its algorithms call."""

    def A(self, x, **kwargs):
        return TensorList(super().A(x, **kwargs))

    def forward(self, x, **kwargs):
        return TensorList(super().forward(x, **kwargs))


class OneFidelity(optim.StackedPhysicsDataFidelity):
    """deepinv's fidelity of stacks, with the proximity operator of its terms: that of the stack is a gradient descent."""

    def prox(self, x, y, physics, *args, gamma=1.0, **kwargs):
        return self.data_fidelity_list[0].prox(x, y, physics, *args, gamma=gamma, **kwargs)

    def prox_conjugate(self, x, y, physics, *args, gamma=1.0, lamb=1.0, **kwargs):
        return x - gamma * self.prox(x / gamma, y, physics, gamma=lamb / gamma)


def blurs(dtype=DTYPE):
    """Well conditioned together."""
    places = torch.arange(-2.0, 3.0, dtype=dtype)
    bells = [torch.exp(-0.5 * (places / (0.3 + 0.3 * i)) ** 2) for i in range(3)]
    kernels = [torch.outer(b, b)[None, None] / b.sum() ** 2 for b in bells]
    return [Blur(filter=k, padding="circular", noise_model=GaussianNoise(0.05)) for k in kernels]


def zero_dual(y, physics):
    start = physics.A_adjoint(y)
    return start, start, torch.zeros_like(start)


def tv():
    return optim.TVPrior(n_it_max=10)


def pnp():
    return optim.PnP(Smoother())


def algorithm(kind, fidelity, physics, y, **options):
    return getattr(optim, kind)(data_fidelity=fidelity, **options)(y, physics)


def of(kind, prior=None, **options):
    """An algorithm of deepinv.optim, of a fidelity, a stack and measurements."""
    return lambda fidelity, physics, y: algorithm(
        kind, fidelity, physics, y, **({"prior": prior()} if prior else {}), max_iter=8, **options
    )


def chain(kind, **options):
    """The mean of a Markov chain."""

    def run(fidelity, physics, y):
        sampler = getattr(sampling, kind)
        prior = optim.ScorePrior(Smoother())
        return sampler(prior=prior, data_fidelity=fidelity, step_size=0.01, sigma=0.05, **options)(y, physics, seed=1)[0]

    return run


ALGORITHMS = {
    "GD": of("GD", optim.Tikhonov, stepsize=0.2, lambda_reg=0.1),
    "GD with RED": of("GD", lambda: optim.RED(Smoother()), stepsize=0.1, sigma_denoiser=0.05),
    "PGD": of("PGD", pnp, stepsize=0.2, sigma_denoiser=0.05),
    "PGD with backtracking": of("PGD", tv, stepsize=2.0, lambda_reg=0.01, backtracking=True),
    "PGD with Anderson acceleration": of("PGD", pnp, stepsize=0.2, sigma_denoiser=0.05, anderson_acceleration=True),
    "FISTA": of("FISTA", tv, stepsize=0.2, lambda_reg=0.01),
    "HQS": of("HQS", pnp, stepsize=0.5, sigma_denoiser=0.05),
    "HQS, prior first": of("HQS", pnp, stepsize=0.5, sigma_denoiser=0.05, g_first=True),
    "ADMM": of("ADMM", tv, stepsize=0.5, lambda_reg=0.02),
    "ADMM, prior first": of("ADMM", tv, stepsize=0.5, lambda_reg=0.02, g_first=True),
    "DRS": of("DRS", tv, stepsize=0.5, lambda_reg=0.02),
    "DRS, prior first": of("DRS", tv, stepsize=0.5, lambda_reg=0.02, g_first=True),
    "PDCP": of("PDCP", tv, stepsize=0.2, stepsize_dual=0.2, lambda_reg=0.02, custom_init=zero_dual),
    "PDCP, prior first": of("PDCP", tv, stepsize=0.2, stepsize_dual=0.2, lambda_reg=0.02, g_first=True, custom_init=zero_dual),
    "MD": of("MD", optim.Tikhonov, stepsize=0.1, lambda_reg=0.02),
    "PMD": of("PMD", tv, stepsize=0.1, lambda_reg=0.02),
    "SIRT": of("SIRT"),
    "MLEM": of("MLEM"),
    "DPIR": lambda fidelity, physics, y: optim.DPIR(sigma=0.05, denoiser=Smoother())(y, physics),
    "DiffPIR": lambda fidelity, physics, y: sampling.DiffPIR(Smoother(), fidelity, sigma=0.05, max_iter=5)(y, physics, seed=1),
    "DPS": lambda fidelity, physics, y: sampling.DPS(Smoother(), num_steps=5, rng=torch.Generator())(y, physics, seed=1),
    "ULA": chain("ULA", alpha=0.9, max_iter=20, thinning=2),
    "SKRock": chain("SKRock", inner_iter=4, max_iter=10, thinning=1),
    "unfolded PGD": lambda *parts: unfolded(*parts, max_iter=3),
    "deep equilibrium": lambda *parts: unfolded(*parts, max_iter=20, DEQ=True),
}
FIDELITIES = {"MLEM": "PoissonLikelihood"}
PRECISIONS = {"DPS": torch.float32}  # whatever the measurements are
# deepinv's own measurements, a list, raise here: 'TensorList' object has no attribute 'data_ptr'; ones_like(): argument
# 'input' (position 1) must be Tensor, not TensorList.
NEED_MORE_OF_THE_LIST = {"SIRT", "MLEM"}


def unfolded(fidelity, physics, y, max_iter, **options):
    steps = 1 if options else max_iter
    model = optim.PGD(
        data_fidelity=fidelity, prior=pnp(), stepsize=[0.2] * steps, sigma_denoiser=[0.05] * steps,
        trainable_params=["stepsize"], unfold=True, max_iter=max_iter, **options,
    )  # fmt: skip
    return model(y, physics).detach()


def assert_alike(ctx, name, together, alone):
    """And prints it, as a line of the table in docs/python.md (pytest -s)."""
    difference = float(torch.linalg.vector_norm(together - alone) / torch.linalg.vector_norm(alone))
    if ctx.rank == 0:
        print(f"{name:36}{ctx.world_size} ranks{difference:10.0e}")
    assert difference <= 1e-5


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_reconstruct_as_in_one_process(ctx, name):
    dtype = PRECISIONS.get(name, DTYPE)
    one, many = OneProcess(blurs(dtype)), face.distribute(blurs(dtype), ctx)
    # Accurate solvers; deepinv's compare a square with the tolerance.
    one.max_iter = many.max_iter = 100
    one.tol, many.tol = 1e-20, 1e-10
    terms = getattr(optim, FIDELITIES.get(name, "L2"))
    y = one.A(torch.rand(1, 1, 12, 12, dtype=dtype))
    torch.manual_seed(1)
    try:
        alone = ALGORITHMS[name](OneFidelity([terms()] * 3), one, y)
    except AttributeError as missing:  # of an older deepinv
        pytest.skip(f"deepinv {deepinv.__version__} in one process: {missing}")
    torch.manual_seed(1)
    together = ALGORITHMS[name](face.distribute(terms(), ctx), many, y)
    assert_alike(ctx, name, together, alone)


@pytest.mark.parametrize("name", NEED_MORE_OF_THE_LIST)
def test_where_deepinvs_list_stands_in_the_way_it_raises(name):
    with pytest.raises((AttributeError, TypeError), match="TensorList"):
        stack = StackedLinearPhysics(blurs())
        ALGORITHMS[name](OneFidelity([optim.L2()] * 3), stack, stack.A(torch.rand(1, 1, 12, 12, dtype=DTYPE)))


@pytest.mark.parametrize("order", [1, 2, float("inf")])
def test_norms_of_lists_are_those_of_all_elements(order):
    y = TensorList([torch.randn(2, 1, 3, 4), torch.randn(2, 3, 5, 4)])
    rows = torch.cat([t.flatten(1) for t in y], 1)
    assert torch.allclose(torch.linalg.vector_norm(y, order, dim=(1, 2, 3)), torch.linalg.vector_norm(rows, order, 1))
    assert torch.allclose(torch.linalg.vector_norm(y, ord=order), torch.linalg.vector_norm(rows, order))
    along = torch.linalg.vector_norm(y, order, dim=-1)
    assert [t.shape for t in along] == [(2, 1, 3), (2, 3, 5)]


class JacobianLoss(deepinv.loss.Loss):
    """A penalty on the network's Jacobian, which a second backward pass goes through."""

    def forward(self, x_net, y, physics, model, **kwargs):
        norm = deepinv.loss.JacobianSpectralNorm(max_iter=3, tol=0.0, eval_mode=False)
        x = x_net.detach().requires_grad_()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return norm(model(physics.A(x), physics), x)


LOSSES = {
    "supervised": lambda: deepinv.loss.SupLoss(),
    "MC": lambda: deepinv.loss.MCLoss(),
    "EI": lambda: [deepinv.loss.MCLoss(), deepinv.loss.EILoss(deepinv.transform.Shift(rng=torch.Generator().manual_seed(0)))],
    "SURE": lambda: deepinv.loss.SureGaussianLoss(sigma=0.05, rng=torch.Generator().manual_seed(0)),
    "TV": lambda: deepinv.loss.TVLoss(),
    "Jacobian": lambda: [deepinv.loss.MCLoss(), JacobianLoss()],
}
# Losses that take one tensor of measurements: with lists they raise in deepinv, "ones_like(): argument 'input' (position 1)
# must be Tensor, not TensorList" and "'TensorList' object has no attribute 'size'".
LOSSES_OF_TENSORS = {
    "R2R": lambda: deepinv.loss.R2RLoss(noise_model=GaussianNoise(0.05)),
    "splitting": lambda: deepinv.loss.SplittingLoss(split_ratio=0.6),
}


def change_by_training(model, physics, loss):
    """Of the model's weights in one epoch."""
    torch.manual_seed(1)
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    images = torch.rand(4, 1, 16, 16, dtype=DTYPE)
    deepinv.Trainer(
        model=model, physics=physics, epochs=1, losses=loss, metrics=[], save_path=None, device="cpu",
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1), online_measurements=True, verbose=False,
        train_dataloader=torch.utils.data.DataLoader(list(images), batch_size=2), show_progress_bar=False,
    ).train()  # fmt: skip
    return torch.cat([p.detach().flatten() for p in model.parameters()]) - before


@pytest.mark.parametrize("name", LOSSES)
def test_training_is_that_of_one_process(ctx, name):
    changes = []
    for distributed in (False, True):
        physics = face.distribute(blurs(), ctx) if distributed else OneProcess(blurs())
        fidelity = optim.L2() if distributed else OneFidelity([optim.L2()] * 3)
        model = optim.PGD(
            data_fidelity=fidelity, prior=optim.PnP(Trained()), stepsize=[0.2, 0.2], sigma_denoiser=0.05,
            trainable_params=["stepsize"], max_iter=2, unfold=True,
        ).to(DTYPE)  # fmt: skip
        if distributed:
            face.distribute(model, ctx, patch_size=9, overlap=3)
        for operator in physics.local_physics if distributed else physics.physics_list:
            operator.noise_model = deepinv.physics.ZeroNoise()
        changes.append(change_by_training(model, physics, LOSSES[name]()))
    assert_alike(ctx, f"training, {name}", changes[1], changes[0])


@pytest.mark.parametrize("name", LOSSES_OF_TENSORS)
def test_training_by_losses_of_one_tensor_is_that_of_one_process(ctx, name):
    changes = []
    for distributed in (False, True):
        denoiser = face.distribute(Trained(), ctx, patch_size=9, overlap=3) if distributed else Trained()
        model = deepinv.models.ArtifactRemoval(denoiser)
        loss = LOSSES_OF_TENSORS[name]()
        model = loss.adapt_model(model)
        physics = Denoising(noise_model=GaussianNoise(0.05, rng=torch.Generator().manual_seed(0)))
        changes.append(change_by_training(model, physics, loss))
    assert_alike(ctx, f"training, {name}", changes[1], changes[0])


def objective(kind, v, x, y, gamma):
    distances = [getattr(optim, kind)().d.fn(p.A(v), t).sum() for p, t in zip(blurs(), y, strict=True)]
    return gamma * sum(distances) + 0.5 * (v - x).square().sum()


@pytest.mark.parametrize("kind", ["L1", "PoissonLikelihood"])
@pytest.mark.parametrize("as_list", [False, True])
def test_proximity_operators_of_other_fidelities_are_minimisers(ctx, kind, as_list):
    stack = face.distribute(blurs(), ctx)
    x = 1 + torch.rand(1, 1, 12, 12, dtype=DTYPE)
    y = stack.A(1 + torch.rand(1, 1, 12, 12, dtype=DTYPE))
    fidelity = face.distribute([getattr(optim, kind)() for _ in range(3)] if as_list else getattr(optim, kind)(), ctx)
    for gamma in (0.1, 2.0):
        best = fidelity.prox(x, y, stack, gamma=gamma, tol_inter=1e-8, max_iter_inter=3000)
        least = objective(kind, best, x, y, gamma)
        for size in (1e-3, 1e-2, 0.1):
            assert objective(kind, best + size * torch.randn_like(x), x, y, gamma) > least
        # No descent is left, which of a convex function proves the minimum.
        away = torch.linspace(0, 1, 5, dtype=DTYPE)[1:]
        assert all(objective(kind, best + t * (x - best), x, y, gamma) >= least for t in away)


def test_proximity_operator_of_l1_is_the_median_for_identities(ctx):
    """argmin γ Σ |v − y_i| + 1/2 (v − x)², element by element."""
    stack = face.distribute([Denoising() for _ in range(3)], ctx)
    x, y = torch.randn(1, 1, 6, 6, dtype=DTYPE), [torch.randn(1, 1, 6, 6, dtype=DTYPE) for _ in range(3)]
    prox = face.distribute(optim.L1(), ctx).prox(x, y, stack, gamma=0.4, tol_inter=1e-10, max_iter_inter=5000)
    grid = torch.linspace(-5, 5, 200001, dtype=DTYPE)
    for place in ((0, 0), (3, 4)):
        value = 0.4 * sum((grid - t[0, 0][place]).abs() for t in y) + 0.5 * (grid - x[0, 0][place]) ** 2
        assert abs(prox[0, 0][place] - grid[value.argmin()]) < 1e-3
