# SPDX-License-Identifier: BSD-3-Clause
"""distribute(): the distributed form of what deepinv has for one process."""

from __future__ import annotations

from typing import Any

import torch
from deepinv.models.base import Denoiser
from deepinv.optim.data_fidelity import DataFidelity, StackedPhysicsDataFidelity
from deepinv.optim.optimizers import BaseOptim
from deepinv.physics import LinearPhysics, Physics, StackedLinearPhysics, StackedPhysics

from adjoin.deepinv.context import DistributedContext
from adjoin.deepinv.data_fidelity import DistributedDataFidelity
from adjoin.deepinv.parameters import DistributedReplicatedParameters, replicated
from adjoin.deepinv.physics import DistributedStackedLinearPhysics, DistributedStackedPhysics
from adjoin.deepinv.processing import DistributedProcessing
from adjoin.distributed.distribute import fidelity_of, stack_of
from adjoin.errors import InvalidArgument

__all__ = ["distribute", "distribute_model"]


def _type_of(thing: Any) -> str:
    """What ``type_object="auto"`` means."""
    items = list(thing) if isinstance(thing, (list, tuple)) else []
    first = items[0] if items else thing
    if isinstance(thing, StackedPhysics):
        return "linear_physics" if isinstance(thing, StackedLinearPhysics) else "physics"
    if items and isinstance(first, Physics):
        return "linear_physics" if all(isinstance(item, LinearPhysics) for item in items) else "physics"
    if isinstance(first, (DataFidelity, StackedPhysicsDataFidelity)):
        return "data_fidelity"
    if isinstance(thing, Denoiser):
        return "denoiser"
    if isinstance(first, torch.nn.Parameter):
        return "parameters"
    if isinstance(thing, BaseOptim):
        return "module"
    if isinstance(thing, torch.nn.Module):
        raise InvalidArgument(
            "type_object: Cannot auto-detect generic torch.nn.Module: give 'denoiser' for a module that maps images to "
            "images; of models only a BaseOptim built with unfold=True is distributed"
        )
    if callable(thing):
        raise InvalidArgument("type_object: must be given for callables")
    raise InvalidArgument(f"object: cannot tell what to make of a {type(thing).__name__}")


def distribute_model(model: BaseOptim, ctx: DistributedContext, *, average: bool = True, **options: Any) -> BaseOptim:
    """Distributes what an unfolded algorithm is made of, in place: its fidelities, the denoisers of its priors in tiles,
    and its trained parameters, whose gradients become the mean over the ranks (``average``) or the sum. ``options`` are
    those of :func:`distribute` for denoisers. Returns ``model``."""
    if not isinstance(model, BaseOptim):
        raise TypeError(
            "type_object='module' only supports deepinv's BaseOptim models built with unfold=True, "
            f"got a {type(model).__name__}"
        )
    if not model.unfold:
        raise TypeError("object: is a BaseOptim built with unfold=False; distribute its physics and denoisers instead")
    model.to(ctx.device)
    if model.data_fidelity is not None:
        model.data_fidelity = torch.nn.ModuleList(
            fidelity if isinstance(fidelity, DistributedDataFidelity) else distribute(fidelity, ctx)
            for fidelity in model.data_fidelity
        )
    for prior in model.prior or ():
        denoiser = getattr(prior, "denoiser", None)
        if isinstance(denoiser, Denoiser) and not isinstance(denoiser, DistributedProcessing):
            prior.denoiser = distribute(denoiser, ctx, type_object="denoiser", **options)
    trained = [
        parameter
        for value in getattr(model, "params_algo", {}).values()
        if isinstance(value, torch.nn.ParameterList)
        for parameter in value
    ]
    if trained:
        model._deepinv_dist_sync = DistributedReplicatedParameters(ctx, trained, average)
    return model


def distribute(
    object: Any,
    ctx: DistributedContext,
    *,
    num_operators: int | None = None,
    type_object: str | None = "auto",
    dtype: torch.dtype | None = torch.float32,
    gather_strategy: str = "concatenated",
    tiling_strategy: Any = None,
    tiling_dims: int | tuple[int, ...] | None = None,
    patch_size: int | tuple[int, ...] = 256,
    overlap: int | tuple[int, ...] = 64,
    max_batch_size: int | None = None,
    checkpoint_batches: str = "auto",
    checkpoint_use_reentrant: bool = False,
    checkpoint_preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """The distributed form of an object of deepinv's.

    :param object: a list of operators, a StackedPhysics, a denoiser, a data fidelity or a list of them, a parameter or a
        list of them, an unfolded BaseOptim (which is changed in place), or a factory of operators, fidelities or a
        function of images, with ``type_object`` given.
    :param type_object: "physics", "linear_physics", "denoiser", "data_fidelity", "parameters", "module" or "auto".
    :param num_operators: needed with a factory.
    :param tiling_strategy, tiling_dims, patch_size, overlap, max_batch_size: how a denoiser's images are cut into tiles.
    :param checkpoint_batches: whether the activations of a denoiser's tiles are computed again in the backward pass
        instead of being kept: "always", "never", or "auto", where a rank has more than one batch of tiles.
    :param checkpoint_use_reentrant, checkpoint_preserve_rng_state: as of ``torch.utils.checkpoint.checkpoint``.
    :param kwargs: for the class that results.
    """
    kind = _type_of(object) if type_object in (None, "auto") else type_object
    if kind in ("physics", "linear_physics"):
        stack = DistributedStackedLinearPhysics if kind == "linear_physics" else DistributedStackedPhysics
        return stack_of(stack, object, ctx, num_operators, dtype=dtype, gather_strategy=gather_strategy, **kwargs)
    if kind == "data_fidelity":
        return fidelity_of(DistributedDataFidelity, object, ctx, num_operators, **kwargs)
    if kind == "parameters":
        return replicated(object, ctx, **kwargs)
    cut = {
        "tiling_strategy": tiling_strategy,
        "tiling_dims": tiling_dims,
        "patch_size": patch_size,
        "overlap": overlap,
        "max_batch_size": max_batch_size,
        "checkpoint_batches": checkpoint_batches,
        "checkpoint_use_reentrant": checkpoint_use_reentrant,
        "checkpoint_preserve_rng_state": checkpoint_preserve_rng_state,
    }
    if kind == "module":
        return distribute_model(object, ctx, dtype=dtype, **cut, **kwargs)
    if kind == "denoiser":
        options = {name: cut.pop(name) for name in ("patch_size", "overlap", "tiling_dims")}
        strategy = cut.pop("tiling_strategy")
        return DistributedProcessing(
            ctx, object, dtype=dtype, strategy=strategy, strategy_kwargs=options, **cut, **kwargs
        )
    raise InvalidArgument(f"type_object: unknown value {type_object!r}")
