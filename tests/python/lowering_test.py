# SPDX-License-Identifier: BSD-3-Clause
"""Operators of deepinv whose work adjoin's operators do: results, gradients and changes are those of deepinv."""

import contextlib
import copy
import math
import random
import warnings

import pytest
import torch

deepinv = pytest.importorskip("deepinv")

from deepinv import physics as dp  # noqa: E402

import adjoin.deepinv as face  # noqa: E402
from adjoin.lowering import lower  # noqa: E402

# deepinv 0.4.1 refuses, in its own words, masks with one plane for all planes of the coil maps.
MASKS_OF_ONE_PLANE = deepinv.__version__ != "0.4.1"
PADDINGS = ["valid", "circular", "replicate", "reflect", "zeros", "constant"]


def filters(rng, dtype, batch, channels, largest):
    sizes = [rng.randint(3, largest), rng.randint(3, largest)]  # shorter ones break deepinv's adjoint
    return torch.randn(rng.choice([1, batch]), rng.choice([1, channels]), *sizes, dtype=dtype)


def blur(rng, dtype):
    batch, channels, size = rng.randint(1, 2), rng.randint(1, 3), (rng.randint(8, 20), rng.randint(8, 20))
    kernel = filters(rng, dtype, batch, channels, 8)
    operator = dp.Blur(filter=kernel, padding=rng.choice(PADDINGS), use_fft=rng.random() < 0.3)
    return operator, (batch, channels, *size), ["filter"]


def blur_3d(rng, dtype):
    kernel = torch.randn(1, 1, *(rng.randint(3, 4) for _ in range(3)), dtype=dtype)
    return dp.Blur(filter=kernel, padding=rng.choice(["valid", "circular"])), (1, 2, 5, 7, 6), ["filter"]


def blur_fft(rng, dtype):
    batch, channels, size = rng.randint(1, 2), rng.randint(1, 3), (rng.randint(8, 20), rng.randint(8, 20))
    kernel = torch.randn(1, rng.choice([1, channels]), rng.randint(1, 8), rng.randint(1, 8), dtype=dtype)
    return dp.BlurFFT(img_size=(channels, *size), filter=kernel), (batch, channels, *size), []


def resampled(rng, dtype, kind):
    factor, channels = rng.randint(1, 4), rng.randint(1, 3)
    size = (channels, factor * rng.randint(6, 9), factor * rng.randint(6, 9))
    kernel = rng.choice([None, "tensor", "gaussian", "bilinear", "bicubic", "sinc"]) if factor > 1 else "tensor"
    kernel = torch.randn(1, rng.choice([1, channels]), 3, 5, dtype=dtype) if kernel == "tensor" else kernel
    paddings = ["circular", "replicate", "reflect", "constant"] + (["valid"] if kind is dp.Downsampling else [])
    padding = rng.choice(paddings) if not isinstance(kernel, str) else "circular"
    operator = kind(img_size=size, filter=kernel, factor=factor, padding=padding)
    if operator.filter is not None:
        operator.filter = operator.filter.to(dtype)
    names = [] if operator.filter is None else ["filter"]
    return operator, (rng.randint(1, 2), *size), names


def downsampling(rng, dtype):
    return resampled(rng, dtype, dp.Downsampling)


def upsampling(rng, dtype):
    operator, size, names = resampled(rng, dtype, dp.Upsampling)
    return operator, (*size[:2], *(n // operator.factor for n in size[2:])), names


def inpainting(rng, dtype):
    size = (rng.randint(1, 3), rng.randint(3, 9), rng.randint(3, 9))
    masks = [0.5, (torch.rand(size) > 0.4).to(dtype), torch.randn(1, 1, *size[1:], dtype=dtype), torch.rand(2, *size) > 0.3]
    operator = dp.Inpainting(img_size=size, mask=rng.choice(masks))
    floating = operator.mask.is_floating_point()
    if floating:
        operator.mask = operator.mask.to(dtype)
    return operator, (2, *size), ["mask"] if floating else []


def demosaicing(rng, dtype):
    size = (2 * rng.randint(2, 5), 2 * rng.randint(2, 5))
    operator = dp.Demosaicing(img_size=size)
    operator.mask = operator.mask.to(dtype)
    return operator, (2, 3, *size), ["mask"]


def denoising(rng, dtype):
    return dp.Denoising(), (1, rng.randint(1, 3), 6, 5), []


def decolorize(rng, dtype):
    operator = dp.Decolorize(channels=3, srf=rng.choice(["rec601", "flat"]))
    return operator.to(dtype), (2, 3, 6, 5), []


def mri(rng, dtype):
    size = (rng.randint(4, 12), rng.randint(4, 12))
    batch = rng.randint(1, 2)
    mask = (torch.rand(rng.choice([(), (1,), (batch, 1)]) + size) > 0.5).to(dtype)
    return dp.MRI(mask=mask), (batch, 2, *size), ["mask"]


def mri_3d(rng, dtype):
    size = (rng.randint(2, 5), rng.randint(4, 8), rng.randint(4, 8))
    return dp.MRI(mask=(torch.rand(1, 1, *size) > 0.5).to(dtype), three_d=True), (1, 2, *size), ["mask"]


def dynamic_mri(rng, dtype):
    size = (rng.randint(2, 4), rng.randint(4, 8), rng.randint(4, 8))
    return dp.DynamicMRI(mask=(torch.rand(size) > 0.5).to(dtype)), (rng.randint(1, 2), 2, *size), []


def multi_coil_mri(rng, dtype):
    batch, coils = rng.randint(1, 2), rng.randint(1, 4)
    size = tuple(rng.randint(4, 12) for _ in range(rng.choice([2, 2, 3])))
    maps = torch.randn(rng.choice([1, batch]), coils, *size, dtype=dtype.to_complex())
    mask = (torch.rand((1, 1, *size)) > 0.5).to(dtype)
    if len(size) == 3 and rng.random() < 0.5 and MASKS_OF_ONE_PLANE:
        mask = mask[:, :, :1]  # the same in every plane
    operator = dp.MultiCoilMRI(mask=mask, coil_maps=maps, three_d=len(size) == 3)
    return operator, (batch, 2, *size), ["mask", "coil_maps"]


def tomography(rng, dtype):
    width = rng.randint(8, 24)
    angles = torch.rand(rng.randint(1, 5), dtype=dtype) * 180
    operator = dp.Tomography(
        angles=rng.choice([angles, torch.tensor([0.0, 45.0, 90.0], dtype=dtype), 4]), img_width=width,
        circle=rng.random() < 0.4, normalize=False, parallel_computation=rng.random() < 0.6, dtype=dtype,
    )  # fmt: skip
    if rng.random() < 0.3:
        operator.register_buffer("operator_norm", torch.tensor(3.7, dtype=dtype))
        operator.normalize = True
    return operator, (rng.randint(1, 2), rng.randint(1, 2), width, width), []


def fan_beam(rng, dtype):
    width = rng.randint(8, 16)
    operator = dp.Tomography(
        angles=torch.tensor([0.0, 33.0], dtype=dtype), img_width=width, fan_beam=True, normalize=False, dtype=dtype,
        fan_parameters={"n_detector_pixels": rng.randint(10, 30), "detector_spacing": 1.0},
    )  # fmt: skip
    return operator, (1, 1, width, width), []


def composition(rng, dtype):
    size = (1, 8, 12)
    first = dp.Blur(filter=torch.randn(1, 1, 3, 3, dtype=dtype), padding="circular")
    second = rng.choice([dp.Downsampling(img_size=size, filter=None, factor=2), dp.Inpainting(size, mask=torch.ones(size, dtype=dtype))])
    return second * first, (2, *size), []


MAKERS = [blur, blur, blur_3d, blur_fft, downsampling, upsampling, inpainting, demosaicing, denoising, decolorize, mri, mri_3d,
          dynamic_mri, multi_coil_mri, multi_coil_mri, tomography, tomography, fan_beam, composition]  # fmt: skip


@contextlib.contextmanager
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def configuration(seed):
    """An operator of deepinv's, an image, and the names of what can be trained: all random."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    dtype = rng.choice([torch.float32, torch.float64])
    with quiet():
        operator, size, names = MAKERS[seed % len(MAKERS)](rng, dtype)
    return operator, torch.randn(size, dtype=dtype), names


def assert_equal(ours, theirs, dtype):
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    difference, norm = torch.linalg.vector_norm(ours - theirs), torch.linalg.vector_norm(theirs)
    assert difference <= (1e-5 if dtype == torch.float32 else 1e-10) * max(float(norm), 1e-3)


@pytest.mark.parametrize("part", range(10))
def test_lowered_operators_equal_deepinvs(ctx, part):
    """300 random configurations: forward, adjoint, normal operator, and gradients of the image."""
    lowered = 0
    for seed in range(30 * part, 30 * (part + 1)):
        operator, x, _ = configuration(seed)
        with quiet():
            stack = face.distribute([operator], ctx)
            lowered += stack.num_lowered
            theirs = operator.A(x)
            assert_equal(stack.A(x)[0], theirs, x.dtype)
            y = torch.randn_like(theirs)
            assert_equal(stack.A_adjoint([y]), operator.A_adjoint(y), x.dtype)
            assert_equal(stack.A_adjoint_A(x), operator.A_adjoint_A(x), x.dtype)
            images = [x.clone().requires_grad_() for _ in range(2)]
            (stack.A(images[0])[0] * y).sum().backward()
            (operator.A(images[1]) * y).sum().backward()
            assert_equal(images[0].grad, images[1].grad, x.dtype)
    assert lowered >= 24  # but for kernels larger than the image


@pytest.mark.parametrize("part", range(6))
def test_gradients_of_trained_parameters_are_deepinvs(ctx, part):
    for seed in range(50 * part, 50 * (part + 1)):
        operator, x, names = configuration(seed)
        for name in names:
            with quiet():
                parameter = torch.nn.Parameter(getattr(operator, name).detach().clone())
                setattr(operator, name, parameter)
                stack = face.distribute([operator], ctx)
                y = torch.randn_like(operator.A(x).detach())
                (stack.A(x)[0] * y).sum().backward()
                ours, parameter.grad = parameter.grad, None
                (operator.A(x) * y).sum().backward()
            assert_equal(ours, parameter.grad, x.dtype)


@pytest.mark.parametrize("maker", [blur, inpainting, mri, multi_coil_mri, tomography, downsampling], ids=lambda m: m.__name__)
def test_changes_after_the_first_call_are_followed(ctx, maker):
    for seed in range(5):
        rng = random.Random(seed)
        torch.manual_seed(seed)
        with quiet():
            operator, size, names = maker(rng, torch.float64)
            x = torch.randn(size, dtype=torch.float64)
            stack = face.distribute([operator], ctx)

        def agree():
            with quiet():
                y = operator.A(x)
                assert_equal(stack.A(x)[0], y, x.dtype)
                assert_equal(stack.A_adjoint([y]), operator.A_adjoint(y), x.dtype)
                assert_equal(stack.A_adjoint_A(x), operator.A_adjoint_A(x), x.dtype)

        agree()
        for name in names:
            tensor = getattr(operator, name)
            with quiet():
                operator.update_parameters(**{name: tensor.flip(-1)})
            agree()
            setattr(operator, name, getattr(operator, name) * 2)
            agree()
            getattr(operator, name).mul_(0.5)
            agree()
        if isinstance(operator, dp.Tomography):
            operator.radon.all_grids.mul_(0.9)
            operator._auto_grad_adjoint_fn = None
            agree()


def test_parameters_of_a_call_stay_as_in_deepinv(ctx):
    operator = dp.Blur(filter=torch.rand(1, 1, 3, 3), padding="circular")
    stack, x, new = face.distribute([operator], ctx), torch.rand(1, 1, 8, 8), torch.rand(1, 1, 5, 5)
    once = stack.A(x, filter=new)[0]
    if 0 in stack.local_indexes:
        assert operator.filter is new
    assert torch.allclose(stack.A(x)[0], once, atol=1e-5)


def test_noise_and_random_states_are_deepinvs(ctx):
    def measured(distributed):
        rng = torch.Generator().manual_seed(3)
        operator = dp.Inpainting((1, 6, 6), mask=torch.eye(6)[None], noise_model=dp.GaussianNoise(0.1, rng=rng))
        operator.sensor_model = torch.tanh
        x = torch.ones(1, 1, 6, 6)
        return face.distribute([operator], ctx)(x)[0] if distributed else operator(x)

    state = torch.get_rng_state()
    assert torch.allclose(measured(True), measured(False), atol=1e-6)
    assert torch.equal(state, torch.get_rng_state())


def test_what_has_no_equal_is_left_alone(ctx):
    class Mine(dp.Blur):
        def A(self, x, **kwargs):
            return 2 * super().A(x, **kwargs)

    kernel = torch.rand(1, 1, 3, 3)
    assert lower(Mine(filter=kernel)) is None
    patched = dp.Blur(filter=kernel)
    patched.A = lambda x, **kwargs: x
    assert lower(patched) is None
    with pytest.warns(UserWarning, match="Tomography as it is: its A_adjoint is an approximation") as seen:
        for _ in range(2):
            one = lower(dp.Tomography(angles=3, img_width=8, normalize=False, adjoint_via_backprop=False))
            assert not one.is_lowered
    assert len(seen) == 1
    assert not lower(dp.Blur()).is_lowered  # yet: it has no filter
    unequal = dp.MRI(mask=torch.rand(2, 4, 4))
    x = torch.rand(1, 2, 4, 4)
    with quiet():
        stack = face.distribute([unequal], ctx)
    assert stack.num_lowered == 0 and torch.equal(stack.A(x)[0], unequal.A(x))


def test_half_precision_and_bad_input_are_deepinvs(ctx):
    operator = dp.Blur(filter=torch.rand(1, 1, 3, 3), padding="circular")
    stack = face.distribute([operator], ctx)
    operator.to(torch.bfloat16)
    x = torch.rand(1, 1, 8, 8, dtype=torch.bfloat16)
    assert torch.equal(stack.A(x)[0], operator.A(x)) and stack.A(x)[0].dtype == torch.bfloat16
    operator.to(torch.float32)
    with pytest.raises(Exception):  # noqa: B017  whatever deepinv raises, or what tells the other ranks of it
        stack.A(torch.rand(8, 8))
    assert torch.allclose(stack.A(torch.ones(1, 1, 8, 8))[0], operator.A(torch.ones(1, 1, 8, 8)))


def test_lowering_is_shown_and_can_be_switched_off(ctx):
    operators = [dp.Blur(filter=torch.rand(1, 1, 3, 3), padding="circular") for _ in range(8)]
    assert "8 operators, 8 lowered" in repr(face.distribute(operators, ctx))
    plain = face.distribute(operators, ctx, lower=False)
    assert "8 operators, 0 lowered" in repr(plain)
    x = torch.rand(1, 1, 16, 16)
    for a, b in zip(plain.A(x), face.distribute(operators, ctx).A(x), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    # All ranks count alike, also where some own no operator.
    assert face.distribute(operators[:1], ctx).num_lowered == 1


def test_a_filter_that_comes_later_is_lowered_then(ctx):
    operator = dp.Blur(padding="circular")
    stack = face.distribute([operator], ctx)
    operator.filter = torch.rand(1, 1, 3, 3)
    x = torch.rand(1, 1, 9, 9)
    assert torch.allclose(stack.A(x)[0], operator.A(x), atol=1e-6)
    assert all(one.is_lowered for one in stack._lowered)
    assert math.isclose(float(stack.compute_sqnorm(x, verbose=False)), float(torch.fft.fft2(operator.filter, s=(9, 9)).abs().max() ** 2), rel_tol=1e-4)


def test_functions_of_torch_func_reach_deepinvs_own_code(ctx):
    operator = dp.Blur(filter=torch.rand(1, 1, 3, 3), padding="circular")
    own = lower(operator)
    x, v = torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)
    _, tangent = torch.func.jvp(own.physics.A, (x,), (v,))
    assert torch.allclose(tangent, operator.A(v), atol=1e-6)
    assert torch.allclose(torch.vmap(own.physics.A)(torch.stack([x, v])), torch.stack([operator.A(x), operator.A(v)]), atol=1e-6)


@pytest.mark.parametrize("seed", range(len(MAKERS)))
def test_tangents_are_deepinvs(seed):
    operator, x, _ = configuration(seed)
    with quiet():
        physics = lower(operator).physics
        v, y = torch.randn_like(x), operator.A(x)
        w = torch.randn_like(y)
    with torch.autograd.forward_ad.dual_level():
        for call, point, direction, expected in (
            (physics.A, x, v, operator.A(v)),
            (physics.A_adjoint, y, w, operator.A_adjoint(w)),
            (physics.A_adjoint_A, x, v, operator.A_adjoint_A(v)),
        ):
            result = call(torch.autograd.forward_ad.make_dual(point, direction))
            assert_equal(torch.autograd.forward_ad.unpack_dual(result).tangent, expected, x.dtype)


def test_second_derivatives_are_those_of_the_quadratic(ctx):
    for seed in range(len(MAKERS)):
        operator, x, _ = configuration(seed)
        with quiet():
            stack = face.distribute([operator], ctx)
            v, x = torch.randn_like(x), x.requires_grad_()
            (gradient,) = torch.autograd.grad(stack.A(x)[0].square().sum(), x, create_graph=True)
            (product,) = torch.autograd.grad((gradient * v).sum(), x)
            assert_equal(product, 2 * operator.A_adjoint_A(v), x.dtype)


def test_deep_copies_of_stacks_are_lowered_and_have_their_own_operators(ctx):
    operators = [dp.Blur(filter=torch.rand(1, 1, 3, 3), padding="circular") for _ in range(3)]
    stack, x = face.distribute(operators, ctx), torch.rand(1, 1, 8, 8)
    copied = copy.deepcopy(stack)
    assert "3 operators, 3 lowered" in repr(copied)
    before = [y.clone() for y in stack.A(x)]
    for operator in stack.local_physics:
        operator.filter.mul_(2)
    for now, copys, once in zip(stack.A(x), copied.A(x), before, strict=True):
        assert torch.allclose(now, 2 * once) and torch.allclose(copys, once)
    unlowered = copy.deepcopy(face.distribute(operators, ctx, lower=False))
    assert unlowered.num_lowered == 0 and len(unlowered.A(x)) == 3
