# SPDX-License-Identifier: BSD-3-Clause
"""The equals of deepinv's operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import deepinv.physics as dp
import torch
from deepinv.physics.forward import ComposedLinearPhysics

from adjoin import _adjoin
from adjoin.lowering.lowered import Lowered, NoEqual, Recipe, StandIn, Watched
from adjoin.operators import as_physics

__all__ = ["recipe"]

_METHODS = (
    "A A_adjoint A_vjp A_adjoint_A A_A_adjoint forward noise sensor forw A_adj U V U_adjoint V_adjoint conv conv_transpose "
    "update_parameters"
).split()


def _tensors(operator: torch.nn.Module, *names: str) -> list[Watched]:
    """Buffers, or parameters in their place, by name."""
    places = operator._buffers, operator._parameters
    return [Watched(place, name) for name in names for place in places]


def _settings(operator: torch.nn.Module, *names: str) -> list[Watched]:
    return [Watched(vars(operator), name) for name in names]


def _needed(operator: Any, *names: str) -> list[torch.Tensor]:
    """The tensors of these names. Raises NoEqual where one is not there yet, or not in a precision that adjoin has."""
    found = [getattr(operator, name) for name in names]
    for tensor in found:
        if not isinstance(tensor, torch.Tensor):
            raise NoEqual()
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype not in _PRECISIONS:
            raise NoEqual()
    return found


_PRECISIONS = {
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.complex64: torch.float32,
    torch.complex128: torch.float64,
}


def _blur(operator: Any) -> StandIn:
    (kernel,) = _needed(operator, "filter")
    sizes = [max(16, 2 * k + 3) for k in kernel.shape[2:]]
    channels = kernel.shape[1] if kernel.shape[1] > 1 else 2
    return StandIn(
        _adjoin.Blur(kernel, str(operator.padding).lower()),
        example=(kernel.shape[0], channels, *sizes),
        dtype=kernel.dtype,
        device=kernel.device,
        sources=[kernel],
    )


def _blur_fft(operator: Any) -> StandIn:
    # It computes with the filter's spectrum, angle and mask, and these stay as they are when the filter changes in place.
    kernel, angle, mask = _needed(operator, "filter", "angle", "mask")
    kernel = kernel.detach().clone()
    size = tuple(operator.img_size)
    spectrum = dp.functional.filter_fft(kernel, size, dims=(-2, -1), real_fft=True)
    difference = torch.linalg.vector_norm(spectrum - angle * mask[..., 0])
    if difference > 1e-5 * torch.linalg.vector_norm(spectrum) or not torch.equal(mask[..., 0], mask[..., 1]):
        raise NoEqual("its spectrum is not that of its filter")
    image = (-1, *size[-2:])
    return StandIn(
        _adjoin.Blur(kernel, "circular"),
        example=(kernel.shape[0], *size),
        dtype=_PRECISIONS[kernel.dtype],
        device=kernel.device,
        sources=[mask, angle],
        image=image,
        measurement=image,
    )


def _downsampling_parts(operator: Any) -> tuple[_adjoin.Downsampling, torch.Tensor | None, list[int], list[int]]:
    """The operator, its filter, and the sizes of its images and measurements."""
    kernel: torch.Tensor | None = None
    if operator.filter is not None:
        (kernel,) = _needed(operator, "filter")
    if operator.imsize is None:
        raise NoEqual("it does not know the size of its images: give img_size")
    channels, height, width = operator.imsize[:3]
    shrinkage = [k - 1 for k in kernel.shape[-2:]] if kernel is not None and operator.padding == "valid" else [0, 0]
    low = [math.ceil((n - less) / operator.factor) for n, less in zip((height, width), shrinkage, strict=True)]
    physics = _adjoin.Downsampling(kernel, operator.factor, str(operator.padding).lower(), [height, width])
    return physics, kernel, [channels, height, width], [channels, *low]


def _downsampling(operator: Any) -> StandIn:
    physics, kernel, image, measurement = _downsampling_parts(operator)
    example = [1 if kernel is None else kernel.shape[0], *image]
    like = operator._device_holder if kernel is None else kernel
    sources = [] if kernel is None else [kernel]
    more = [torch.float64] if kernel is None else []
    return StandIn(physics, example, like.dtype, like.device, sources, image, measurement, more_dtypes=more)


def _upsampling(operator: Any) -> StandIn:
    lowered = _downsampling(operator)
    lowered.physics = lowered.physics.T
    lowered.image, lowered.measurement = lowered.measurement, lowered.image
    lowered.example = [lowered.example[0], *lowered.image]
    return lowered


def _mask(operator: Any) -> StandIn:
    """A multiplication by singular values, where U and V are the identity."""
    (mask,) = _needed(operator, "mask")
    size = operator.img_size
    number = mask.dim() == 0
    if number:
        size = size or (1, 4, 4)
    elif size is None:
        raise NoEqual()
    batch = mask.shape[0] if mask.dim() > len(size) else 1
    exact = mask.dtype in _PRECISIONS and not number
    dtype = _PRECISIONS[mask.dtype] if exact else torch.float32
    more = [] if exact else [torch.float64]
    return StandIn(
        _adjoin.Diagonal(mask),
        example=(batch, *size),
        dtype=dtype,
        device=mask.device,
        sources=[mask],
        more_dtypes=more,
    )


def _mri(operator: Any, *, dynamic: bool = False, coils: bool = False) -> StandIn:
    mask = _needed(operator, "mask")[0]
    maps = _needed(operator, "coil_maps")[0] if coils else None
    three_d = bool(operator.three_d)
    if three_d and dynamic:
        raise NoEqual()
    axes = 3 if three_d or dynamic else 2
    if mask.dim() != 2 + axes or mask.shape[1] != 2 or not torch.equal(mask[:, 0], mask[:, 1]):
        raise NoEqual("its mask is not the same for real and imaginary parts")
    size = list(mask.shape[2:])
    real = _PRECISIONS.get(maps.dtype if maps is not None else mask.dtype, torch.float32)
    if mask.is_floating_point() and mask.dtype != real:
        raise NoEqual("its mask and coil maps are of different precision")
    if maps is None:
        maps = torch.ones([1, 1, *size[-3 if three_d else -2 :]], dtype=torch.complex64, device=mask.device)
        maps = maps.to(real.to_complex())
        sources = [mask]
    else:
        size = [max(a, b) for a, b in zip(size, maps.shape[2:], strict=True)]
        sources = [mask, maps]
    batch = max(mask.shape[0], maps.shape[0])
    return StandIn(
        _adjoin.MultiCoilMRI(mask, maps, three_d=three_d, dynamic=dynamic),
        example=(batch, 2, *size),
        dtype=real,
        device=mask.device,
        sources=sources,
        image=(2, *size),
        measurement=(2, maps.shape[1], *size) if coils else (2, *size),
        measurement_view=() if coils else (2, 1, *size),
    )


def _tomography(operator: Any) -> StandIn:
    if not operator.fan_beam and not operator.adjoint_via_backprop:
        raise NoEqual("its A_adjoint is an approximation: give adjoint_via_backprop=True")
    radon, width = operator.radon, operator.img_width
    (grids,) = _needed(radon, "all_grids")
    views = len(radon.theta)
    if radon.parallel_computation:  # (1, samples, views * lines, 2)
        grid = grids[0].unflatten(1, (views, -1)).transpose(0, 1)
    else:  # (views, 1, samples, lines, 2)
        grid = grids.squeeze(1)
    frame = before = 0
    weights = None
    if radon.circle:
        # In single precision, as deepinv computes it: pixels on the circle's edge are in or out by a rounding error.
        middle = 2 * torch.arange(width, dtype=torch.float)[None] / (width - 1) - 1.0
        weights = (middle.T**2 + middle**2 <= 1).to(grid)
    else:
        diagonal = (2 * torch.ones(1)).sqrt() * width
        frame = width + int((diagonal - width).ceil())
        before = frame // 2 - width // 2
    factor = 1.0 / float(operator.operator_norm) if operator.normalize else 1.0
    return StandIn(
        _adjoin.SampledProjection(grid, [width, width], [frame, frame], [before, before], weights, factor),
        example=(1, 1, width, width),
        dtype=grid.dtype,
        device=grid.device,
        sources=[grids],
        image=(-1, width, width),
        measurement=(-1, grid.shape[2], views),
    )


def _decolorize(operator: Any) -> StandIn:
    response, mask = _needed(operator, "srf", "mask")
    weights = (response / mask * mask).detach()
    channels = response.shape[1]
    return StandIn(
        _adjoin.ChannelMixing(weights.reshape(1, channels)),
        example=(1, channels, 4, 4),
        dtype=response.dtype,
        device=response.device,
        sources=[response, mask],
        image=(channels, -1, -1),
        measurement=(1, -1, -1),
    )


# By exact type: the maker, and the tensors and settings that it depends on.
_EQUALS: dict[type, tuple[Callable[[Any], StandIn], Sequence[str], Sequence[str]]] = {
    dp.Blur: (_blur, ["filter"], ["padding", "use_fft"]),
    dp.BlurFFT: (_blur_fft, ["filter", "angle", "mask"], ["img_size"]),
    dp.Downsampling: (_downsampling, ["filter"], ["padding", "factor", "imsize"]),
    dp.Upsampling: (_upsampling, ["filter"], ["padding", "factor", "imsize"]),
    dp.Inpainting: (_mask, ["mask"], ["img_size"]),
    dp.Demosaicing: (_mask, ["mask"], ["img_size"]),
    dp.Denoising: (_mask, ["mask"], ["img_size"]),
    dp.MRI: (_mri, ["mask"], ["three_d"]),
    dp.DynamicMRI: (lambda p: _mri(p, dynamic=True), ["mask"], ["three_d"]),
    dp.MultiCoilMRI: (lambda p: _mri(p, coils=True), ["mask", "coil_maps"], ["three_d"]),
    dp.Tomography: (_tomography, ["operator_norm"], ["normalize", "adjoint_via_backprop", "img_width", "radon"]),
    dp.Decolorize: (_decolorize, ["srf", "mask"], []),
}


def _composition(operator: Any) -> Recipe | None:
    parts = [(part, recipe(part)) for part in operator.physics_list]
    if not any(own for _, own in parts):
        return None
    lowered = [Lowered(part, own) for part, own in parts if own is not None]
    by_part = {id(one.operator): one.physics for one in lowered}

    def make() -> StandIn:
        if not any(one.is_lowered for one in lowered):
            raise NoEqual("; ".join(one.reason for one in lowered if one.reason))
        product: Any = None
        for part, _ in parts:
            own = by_part.get(id(part)) or as_physics(part, linear=True)
            product = own if product is None else own * product
        example = _first_image(operator, lowered)
        return StandIn(product, example.shape, example.dtype, example.device, more_dtypes=list(_PRECISIONS))

    return Recipe(make, [Watched(vars(operator), "physics_list")], _finish(operator), lowered)


def _first_image(operator: Any, parts: Sequence[Lowered]) -> torch.Tensor:
    """An image that the composition takes: of the size of a part that knows one which the others take, too."""
    for part in parts:
        try:
            stand_in = part.recipe.make()
        except NoEqual:
            continue
        for dtype in (stand_in.dtype, *stand_in.more_dtypes):
            image = torch.zeros(list(stand_in.example), dtype=dtype, device=stand_in.device)
            try:
                with torch.no_grad():
                    operator.A_adjoint(operator.A(image))
            except Exception:  # whatever the parts raise where they do not fit
                continue
            return image
    raise NoEqual("no image was found to compare it on")


def _finish(operator: Any) -> Callable[..., torch.Tensor]:
    return lambda y, **kwargs: operator.sensor(operator.noise(y, **kwargs))


def recipe(operator: Any) -> Recipe | None:
    """How an operator of deepinv's is lowered; None where it has no equal, or where a method of its own replaces its
    class's."""
    if any(name in vars(operator) for name in _METHODS if name not in _ATTRIBUTES):
        return None
    if type(operator) is ComposedLinearPhysics:
        return _composition(operator)
    if type(operator) not in _EQUALS:
        return None
    make, tensors, settings = _EQUALS[type(operator)]
    watched = [*_tensors(operator, *tensors), *_settings(operator, *settings)]
    if isinstance(operator, dp.Tomography):
        watched += _tensors(operator.radon, "all_grids")
    return Recipe(lambda: make(operator), watched, _finish(operator))


# Attributes that are no methods.
_ATTRIBUTES = ("forw", "A_adj", "conv", "conv_transpose")
