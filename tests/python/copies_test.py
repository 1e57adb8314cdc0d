# SPDX-License-Identifier: BSD-3-Clause
"""Copies of operators, fidelities, priors, denoisers and what holds them compute what the original does, on their own."""

import copy
import io
import multiprocessing
import pickle
import subprocess
import sys

import pytest
import torch
from specimens import SPECIMENS
from support import Scaling, dense_stack

import adjoin
from adjoin import optim, physics
from adjoin.models import DnCNN, load_denoiser
from adjoin.physics import (
    Blur,
    Diagonal,
    Downsampling,
    FilterBank,
    Inpainting,
    Matrix,
    MatrixFree,
    MultiCoilMRI,
    NonCartesianMRI,
    NonuniformFourier,
    SampledProjection,
    Tomography,
    as_physics,
)


def saved(thing):
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "torch.save": saved,
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


class Module(torch.nn.Module):
    """An operator of Python's with parameters."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    def A(self, x, **kwargs):
        return self.weight * x

    def A_adjoint(self, y, **kwargs):
        return self.weight * y


def denoise(x, sigma):
    return x / (1 + sigma)


def half(y):
    return y / 2


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(3))


def frequencies(*shape):
    """In cycles a pixel."""
    return torch.remainder(3 * randn(*shape), 1.0) - 0.5


def operators():
    """Every operator of adjoin.physics, some in several forms, with an image for it."""
    for make, shape in SPECIMENS.values():
        yield make(torch.from_numpy), randn(*shape)
    image = randn(1, 1, 8, 8)
    kernel = randn(1, 1, 3, 3)
    maps = randn(1, 2, 8, 8, dtype=torch.complex128)
    yield Blur(kernel, padding="reflect", method="direct"), image
    yield Diagonal(2.5), image
    yield Downsampling(kernel, factor=2, image_size=(7, 8)), image[..., :7, :]
    yield Downsampling(factor=4), image
    yield FilterBank(randn(2, 1, 3, 3), padding="reflect"), image
    yield Inpainting((1, 8, 8), 0.5, seed=1), image
    yield Inpainting(torch.eye(8, dtype=torch.float64)), image
    yield Matrix(randn(5, 64), image_shape=(1, 8, 8)), image
    yield MultiCoilMRI(None, maps), randn(1, 2, 8, 8)
    yield MultiCoilMRI((randn(8, 8) > 0).double(), maps), randn(1, 1, 8, 8, dtype=torch.complex128)
    yield NonuniformFourier(frequencies(3, 7, 2), (8, 8), eps=1e-13), image
    yield NonCartesianMRI(frequencies(6, 20, 2), maps, weights=randn(20), eps=1e-13), randn(1, 2, 8, 8)
    yield NonCartesianMRI(frequencies(90, 2), maps, eps=1e-13), randn(1, 1, 8, 8, dtype=torch.complex128)
    yield SampledProjection(0.5 * randn(2, 6, 5, 2), (8, 8)), image
    yield SampledProjection(randn(2, 6, 5, 2), (8, 8), frame=(10, 12), before=(1, 2), weights=randn(8, 8), factor=0.5), image
    yield Tomography(torch.linspace(0, 170, 6), (8, 8), detectors=9, spacing=1.5, shift=0.25), image
    yield as_physics(Scaling(2.0)), image
    yield as_physics(Module()), image


OPERATORS = list(operators())
every_operator = pytest.mark.parametrize(("operator", "x"), OPERATORS, ids=[f"{i}-{o.name}" for i, (o, _) in enumerate(OPERATORS)])


def test_every_operator_has_a_specimen():
    concrete = {
        kind.__name__
        for kind in vars(physics).values()
        if isinstance(kind, type) and issubclass(kind, physics.LinearPhysics) and kind is not physics.LinearPhysics
    }
    assert concrete <= set(SPECIMENS), f"add to tests/python/specimens.py: {sorted(concrete - set(SPECIMENS))}"


@every_way
@every_operator
def test_an_operator(way, operator, x):
    again = way(operator)
    assert type(again) is type(operator) and again is not operator
    assert torch.equal(again.A(x), operator.A(x)) and torch.equal(again.A_adjoint_A(x), operator.A_adjoint_A(x))


@every_way
def test_sums_products_multiples_and_adjoints(way):
    a, b = Matrix(randn(6, 6)), Matrix(randn(6, 6))
    x = randn(1, 6)
    for whole in (a + b, a - b, a * b, 2.5 * a, -a, (a * b + 3 * a).T, a + a):
        assert torch.equal(way(whole).A(x), whole.A(x))
    z = randn(1, 6, dtype=torch.complex128)
    turned = 1j * Matrix(randn(6, 6, dtype=torch.complex128))
    assert torch.equal(way(turned).A_adjoint(z), turned.A_adjoint(z))


@every_way
def test_a_matrix_free_operator(way):
    sparse = pytest.importorskip("scipy.sparse")
    operator = as_physics(MatrixFree(sparse.linalg.aslinearoperator(sparse.eye(4) * 2.0), image_shape=(2, 2)))
    assert torch.equal(way(operator).A(torch.ones(1, 2, 2)), torch.full((1, 4), 2.0).double())


@pytest.mark.parametrize("way", [WAYS["deepcopy"], WAYS["pickle"], WAYS["torch.save"]])
def test_independence(way):
    mask = torch.ones(4, 4)
    operator = Inpainting(mask)
    again = way(operator)
    mask.zero_()
    assert again.A(torch.ones(1, 1, 4, 4)).sum() == 16
    again.update(mask=2 * torch.ones(4, 4))
    assert operator.mask.sum() == 0


@every_way
def test_updates_are_kept(way):
    operator = Diagonal(torch.ones(3))
    operator.update(weights=torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(way(operator).weights, torch.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("way", [WAYS["deepcopy"], WAYS["torch.save"]])
def test_what_is_shared_stays_shared(way):
    kernel = torch.ones(1, 1, 3, 3)
    noise = physics.gaussian_noise(0.1, seed=1)
    first, second = Blur(kernel, padding="circular"), Blur(kernel, padding="reflect")
    first.set_noise_model(noise), second.set_noise_model(noise)
    whole = first + first
    one, two, both = way([first, second, whole])
    one.filter.zero_()
    assert two.filter.sum() == 0 and kernel.sum() == 9
    assert torch.equal(both.A(torch.ones(1, 1, 4, 4)), torch.zeros(1, 1, 4, 4))
    x = torch.ones(1, 1, 4, 4)
    assert not torch.equal(one.forward(x), two.forward(x) - two.A(x))


@every_way
@pytest.mark.parametrize(
    "noise",
    [
        physics.gaussian_noise(0.5, seed=4),
        physics.poisson_noise(0.1, seed=4, clip=False),
        physics.uniform_noise(0.5, seed=4),
        half,
    ],
    ids=["gaussian", "poisson", "uniform", "callable"],
)
def test_noise_goes_on_where_it_was(way, noise):
    operator = Diagonal(2.0)
    operator.set_noise_model(noise)
    operator.set_sensor_model(torch.abs)
    x = torch.ones(1, 1, 4, 4)
    operator.forward(x)
    again = way(operator)
    assert again.noise_model is not None and again.sensor_model is torch.abs
    if way is not copy.copy or noise is half:  # a shallow copy draws from the same stream
        assert torch.equal(again.forward(x), operator.forward(x))


class Small(Blur):
    """A class of the user's."""

    def __init__(self, width):
        super().__init__(torch.ones(1, 1, width, width), padding="circular")
        self.width = width


@every_way
def test_classes_derived_from_ours_keep_class_and_attributes(way):
    again = way(Small(3))
    assert type(again) is Small and again.width == 3 and again.filter.shape == (1, 1, 3, 3)


@every_way
@pytest.mark.parametrize(
    "fidelity",
    [
        optim.L2(0.5),
        optim.L2(torch.tensor([0.3, 1.0, float("inf"), 2.0])),
        optim.L1(),
        optim.IndicatorLInf(0.1),
        optim.PoissonLikelihood(gain=0.5, background=0.1, denormalize=True),
        optim.Huber(0.3),
        optim.AmplitudeLoss(),
    ],
    ids=repr,
)
def test_a_fidelity(way, fidelity):
    u, y = torch.full((1, 4), 0.7), torch.full((1, 4), 0.2)
    again = way(fidelity)
    assert type(again) is type(fidelity)
    assert torch.equal(again.fn(u, y), fidelity.fn(u, y)) and torch.equal(again.prox(u, y, 0.5), fidelity.prox(u, y, 0.5))


@every_way
@pytest.mark.parametrize(
    "prior",
    [
        optim.ZeroPrior(),
        optim.Tikhonov(),
        optim.L1Prior(),
        optim.Box(-0.5, 0.5),
        optim.Positivity(),
        optim.PnP(denoise, 0.25),
        optim.PnP(denoise),
        optim.TotalVariation(dims=2, lower=0.0, upper=0.5, max_iter=7, warm_start=False),
        optim.WaveletPrior("db2", levels=1),
        optim.WaveletPrior("sym4", levels=2, dims=1, max_iter=3, tol=0.0),
    ],
    ids=repr,
)
def test_a_prior(way, prior):
    x = torch.randn(1, 1, 8, 8)
    again = way(prior)
    assert type(again) is type(prior)
    assert torch.equal(again.prox(x, 0.3), prior.prox(x, 0.3))


@every_way
def test_the_random_shifts_of_a_copy_begin_anew(way):
    x = torch.randn(1, 1, 8, 8)
    prior = optim.WaveletPrior(levels=2, random_shift=True)
    first, second = prior.prox(x, 0.3), prior.prox(x, 0.3)
    again = way(prior)
    assert torch.equal(again.prox(x, 0.3), first) and torch.equal(again.prox(x, 0.3), second)
    assert not torch.equal(first, second)


@every_way
def test_regularisation_by_denoising(way):
    x = torch.randn(1, 1, 4, 4)
    assert torch.equal(way(optim.RED(denoise, 0.5)).grad(x), x - x / 1.5)


@pytest.fixture
def denoiser_file(tmp_path):
    weights = {"in_conv.weight": torch.randn(4, 1, 3, 3), "in_conv.bias": torch.randn(4), "out_conv.weight": torch.randn(1, 4, 3, 3)}
    adjoin.io.write_safetensors(tmp_path / "d.safetensors", weights, {"architecture": "DnCNN", "padding": "circular"})
    return tmp_path / "d.safetensors"


@every_way
def test_a_denoiser_has_its_weights_with_it(way, denoiser_file):
    x = torch.randn(1, 1, 8, 8)
    loaded, network = load_denoiser(denoiser_file), DnCNN(denoiser_file)
    right = network(x, 0.1)
    denoiser_file.unlink()
    assert torch.equal(way(network)(x, 0.1), right) and type(way(network)) is DnCNN
    assert torch.equal(way(loaded)(x, 0.1), right)
    assert torch.equal(way(optim.PnP(loaded, 0.1)).prox(x, 1.0), right)


@every_way
def test_modules_that_hold_them(way):
    class_of = HoldsAll()
    x = torch.rand(1, 1, 8, 8)
    assert torch.equal(way(class_of)(x), class_of(x))


class HoldsAll(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)
        self.blur = Blur(torch.ones(1, 1, 3, 3), padding="circular")
        self.rest = {"fidelity": optim.L2(2.0), "prior": optim.TotalVariation(max_iter=3, warm_start=False)}

    @torch.no_grad()  # the prox of a total variation does not differentiate
    def forward(self, x):
        y = self.blur.A(self.layer(x))
        return self.rest["prior"].prox(self.rest["fidelity"].grad(y, x), 0.1)


# ---- Tensors of operators -----------------------------------------------------------------------------------------


def test_the_state_of_operators_can_be_saved_and_loaded():
    a, b = Blur(torch.randn(1, 1, 3, 3)), Inpainting(torch.rand(6, 6))
    whole = 2 * a
    assert set(a.state_dict()) == {"filter"} and set(whole.state_dict()) == {"0.filter"}
    assert set((b * b + b).state_dict()) == {"0.0.mask", "0.1.mask", "1.mask"}
    other = Blur(torch.zeros(1, 1, 3, 3))
    (2 * other).load_state_dict(whole.state_dict())
    assert torch.equal(other.filter, a.filter)
    with pytest.raises(adjoin.InvalidArgument, match="missing .*filter.*, superfluous .*fliter"):
        a.load_state_dict({"fliter": torch.ones(1, 1, 3, 3)})
    assert set(as_physics(Module()).state_dict()) == {"weight"}


def test_operators_move_to_another_precision():
    maps, mask = torch.randn(1, 2, 4, 4, dtype=torch.complex64), torch.ones(4, 4, dtype=torch.bool)
    operator = MultiCoilMRI(mask, maps)
    assert operator.to(torch.float64) is operator
    assert operator.coil_maps.dtype == torch.complex128 and operator.mask.dtype == torch.bool
    assert (Diagonal(2.0) + Diagonal(torch.ones(2))).to("cpu", dtype=torch.float32).state_dict()["1.weights"].dtype == torch.float32
    module = Module()
    as_physics(module).to(dtype=torch.float32)
    assert module.weight.dtype == torch.float32


# ---- What ranks hold together -------------------------------------------------------------------------------------


def test_stacks_are_copied_with_the_same_ranks(ctx):
    stack, matrix = dense_stack(ctx)
    x = torch.randn(2, 6, dtype=torch.float64)
    right = x @ matrix.T @ matrix
    shallow, deep = copy.copy(stack), copy.deepcopy(stack)
    assert deep.ctx is stack.ctx and shallow.local_physics is stack.local_physics
    for operator in stack.local_physics:
        operator.matrix = 0 * operator.matrix
    assert torch.allclose(deep.A_adjoint_A(x), right)
    assert torch.equal(shallow.A_adjoint_A(x), 0 * x)
    assert deep.num_operators == stack.num_operators and deep.local_indexes == stack.local_indexes


def test_fidelities_and_processors_are_copied_with_the_same_ranks(ctx):
    stack, _ = dense_stack(ctx)
    fidelity = adjoin.DistributedDataFidelity(ctx, optim.L2())
    x = torch.randn(1, 6, dtype=torch.float64)
    y = stack.A(torch.zeros_like(x))
    both = copy.deepcopy({"stack": stack, "fidelity": fidelity})
    assert torch.allclose(both["fidelity"].grad(x, y, both["stack"]), fidelity.grad(x, y, stack))
    layer = torch.nn.Conv2d(1, 1, 3, padding=1, dtype=torch.float64)
    tiles = adjoin.DistributedProcessing(ctx, layer, strategy_kwargs={"patch_size": 4, "overlap": 1})
    image = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    again = copy.deepcopy(tiles)
    assert torch.allclose(again(image), tiles(image))
    with torch.no_grad():
        layer.weight.zero_()
    assert not torch.allclose(again(image), tiles(image))


def test_nothing_that_ranks_hold_together_goes_to_a_file(ctx):
    stack, _ = dense_stack(ctx)
    for thing in (ctx, stack, adjoin.DistributedDataFidelity(ctx, optim.L2())):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(thing)
    assert copy.deepcopy(ctx) is ctx


# ---- Other processes ----------------------------------------------------------------------------------------------


def blurred(operator, queue):
    queue.put(operator.A(torch.ones(1, 1, 64, 64)).sum().item())


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_a_child_process_uses_operators(ctx, method):
    if ctx.world_size > 1:
        pytest.skip("a rank does not fork")
    blur = Blur(torch.ones(1, 1, 9, 9) / 81, padding="circular")
    blur.A(torch.ones(1, 1, 64, 64))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=blurred, args=(blur, queue))
    child.start()
    assert queue.get(timeout=60) == pytest.approx(64 * 64, rel=1e-5)
    child.join(60)
    assert child.exitcode == 0


FORKS = """
import os, torch
torch.set_num_threads(2)
from adjoin.physics import Blur
blur, x = Blur(torch.ones(1, 1, 31, 31), padding="circular"), torch.rand(1, 3, 512, 512)
right = blur.A(x)
child = os.fork()
if child == 0:
    os._exit(0 if torch.allclose(blur.A(x), right) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_of_a_process_with_threads_uses_operators(ctx):
    if ctx.world_size > 1:
        pytest.skip("a rank does not fork")
    assert subprocess.run([sys.executable, "-c", FORKS], timeout=60).returncode == 0


class Views(torch.utils.data.Dataset):
    def __init__(self):
        self.blur = Blur(torch.ones(1, 1, 3, 3), padding="circular")

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.blur.A(torch.full((1, 1, 8, 8), float(i)))[0]


def test_workers_of_a_loader_use_operators(ctx):
    if ctx.world_size > 1:
        pytest.skip("a rank does not fork")
    loader = torch.utils.data.DataLoader(Views(), batch_size=2, num_workers=2, timeout=60)
    assert [batch.mean().item() for batch in loader] == pytest.approx([4.5, 22.5])
