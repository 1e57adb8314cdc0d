"""deepinv's classes for distributed computing, done by adjoin.

The classes are deepinv's ``Physics``, ``LinearPhysics``, ``DataFidelity`` and ``Denoiser``, so that its optimisers,
priors and training take them. Their names, arguments and defaults are those of ``deepinv.distributed`` 0.4.1:
``reduce_op`` is "sum" by default, and None stands for the operators' results by themselves.

:func:`install` puts them in the place of ``deepinv.distributed``, for programs that cannot change an import.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from deepinv.models.base import Denoiser
from deepinv.optim.data_fidelity import L2, DataFidelity
from deepinv.physics import LinearPhysics, Physics, StackedLinearPhysics, StackedPhysics
from deepinv.utils.tensorlist import TensorList

from adjoin.context import DistributedContext
from adjoin.distributed.data_fidelity import FidelityCalls
from adjoin.distributed.distribute import fidelity_of, stack_of
from adjoin.distributed.processing import DistributedProcessing as _Tiles
from adjoin.distributed.stacked_physics import Factory, LinearCalls, StackedCalls
from adjoin.errors import InvalidArgument

__all__ = [
    "DistributedContext",
    "DistributedDataFidelity",
    "DistributedProcessing",
    "DistributedStackedLinearPhysics",
    "DistributedStackedPhysics",
    "distribute",
    "install",
    "uninstall",
]

Measurements = Sequence[torch.Tensor]  # or a TensorList


def _records(*tensors: torch.Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


class DistributedStackedPhysics(StackedCalls, Physics):
    """A stack of operators, each owned by one rank: see :class:`adjoin.DistributedStackedPhysics`."""

    list_type: ClassVar[type[Any]] = TensorList

    def __init__(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        dtype: torch.dtype | None = None,
        gather_strategy: str = "concatenated",
        parameters: Sequence[torch.Tensor] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_up(
            ctx,
            num_operators,
            factory,
            factory_kwargs=factory_kwargs,
            reduction="sum",
            dtype=dtype or torch.float32,
            gather_strategy=gather_strategy,
            parameters=parameters,
        )

    def _strict_dtype(self, dtype: torch.dtype | None) -> torch.dtype | None:
        return None

    def A(self, x: torch.Tensor, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """Measurements without noise: a TensorList of all, or with ``gather=False`` the list of this rank's."""
        return self._measure("A", x, gather, reduce_op, kwargs)

    def forward(self, x: torch.Tensor, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """Measurements with noise and sensor response."""
        return self._measure("forward", x, gather, reduce_op, kwargs)


class DistributedStackedLinearPhysics(LinearCalls, DistributedStackedPhysics, LinearPhysics):
    """A stack of linear operators, each owned by one rank: see :class:`adjoin.DistributedStackedLinearPhysics`."""

    reduce_op_none: ClassVar[str | None] = "none"

    def __init__(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        reduction: str = "sum",
        dtype: torch.dtype | None = None,
        gather_strategy: str = "concatenated",
        **kwargs: Any,
    ) -> None:
        if reduction != "sum":
            warnings.warn("reduction is not used: pass reduce_op to each call", UserWarning, stacklevel=2)
        super().__init__(
            ctx,
            num_operators,
            factory,
            factory_kwargs=factory_kwargs,
            dtype=dtype,
            gather_strategy=gather_strategy,
            **kwargs,
        )

    def A_adjoint(self, y: Measurements, gather: bool = True, reduce_op: str | None = "sum", **kwargs: Any) -> Any:
        """Σ A_iᵀ y_i; with ``gather=False`` this rank's part."""
        return self._adjoint(y, gather, reduce_op, kwargs)

    def A_vjp(
        self, x: torch.Tensor, v: Measurements, gather: bool = True, reduce_op: str | None = "sum", **kwargs: Any
    ) -> Any:
        """Σ J_i(x)ᵀ v_i."""
        return self._vjp(x, v, gather, reduce_op, kwargs)

    def A_adjoint_A(self, x: torch.Tensor, gather: bool = True, reduce_op: str | None = "sum", **kwargs: Any) -> Any:
        """Σ A_iᵀ A_i x."""
        return self._normal(x, gather, reduce_op, kwargs)

    def A_A_adjoint(self, y: Measurements, gather: bool = True, **kwargs: Any) -> Any:
        """[A_1 Aᵀ y, …, A_n Aᵀ y]."""
        return self.A(self.A_adjoint(y, **kwargs), gather=gather, **kwargs)

    def A_dagger(
        self,
        y: Measurements,
        solver: str = "CG",
        max_iter: int | None = None,
        tol: float | None = None,
        verbose: bool = False,
        *,
        local_only: bool = True,
        gather: bool = True,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Pseudoinverse: the mean of the operators' own (``local_only``), or the least-squares solution."""
        if not local_only and _records(*y):
            return LinearPhysics.A_dagger(self, y, solver, max_iter, tol, verbose and self.ctx.rank == 0, **kwargs)
        iterations = self.max_iter if max_iter is None else max_iter
        accuracy = self.tol if tol is None else tol
        return self._stack.A_dagger(y, solver, iterations, accuracy, verbose, None, local_only, gather, kwargs)

    def prox_l2(
        self,
        z: Any,
        y: Measurements,
        gamma: float,
        solver: str = "CG",
        max_iter: int | None = None,
        tol: float | None = None,
        verbose: bool = False,
        **kwargs: Any,
    ) -> torch.Tensor:
        """argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖²."""
        if z is None or isinstance(z, (int, float)):
            z = torch.full_like(self.A_adjoint(y), z or 0.0)
        if _records(z, *y) or isinstance(gamma, torch.Tensor) and gamma.numel() > 1 or "init" in kwargs:
            return LinearPhysics.prox_l2(self, z, y, gamma, solver, max_iter, tol, verbose, **kwargs)
        iterations = self.max_iter if max_iter is None else max_iter
        accuracy = self.tol if tol is None else tol
        return self._stack.prox_l2(z, y, float(gamma), solver, iterations, accuracy, verbose, None, kwargs)

    def compute_sqnorm(
        self,
        x0: torch.Tensor,
        *,
        max_iter: int = 50,
        tol: float = 1e-3,
        verbose: bool = True,
        local_only: bool = True,
        gather: bool = True,
        rng: torch.Generator | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """‖A‖²: an upper bound (``local_only``), or the value."""
        value = self._stack.compute_sqnorm(x0, max_iter, tol, False, local_only, gather, kwargs)
        if verbose and self.ctx.rank == 0:
            print(f"squared norm of A: {'at most ' if local_only else ''}{value:.2f}")
        return self._sqnorm(x0, value)


class DistributedProcessing(Denoiser):
    """A denoiser in tiles, each processed by one rank: see :class:`adjoin.DistributedProcessing`."""

    def __init__(
        self,
        ctx: DistributedContext,
        processor: Callable[..., torch.Tensor],
        *,
        strategy: Any = None,
        strategy_kwargs: dict[str, Any] | None = None,
        max_batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.ctx = ctx
        self.processor = processor
        self.max_batch_size = max_batch_size
        self.strategy = "overlap_tiling" if strategy is None else strategy
        self.strategy_kwargs = dict(strategy_kwargs or {})
        options = {name: value for name, value in self.strategy_kwargs.items() if value is not None}
        self._cut = options
        self._tiles = _Tiles(
            ctx,
            processor,
            strategy=self._model_strategy if self._needs_the_models(options) else self.strategy,
            strategy_kwargs=options,
            max_batch_size=max_batch_size if max_batch_size and max_batch_size > 0 else None,
        )
        self._shape: torch.Size | None = None

    def _needs_the_models(self, options: dict[str, Any]) -> bool:
        """Whether the tiles are such as only deepinv's own code makes."""
        patch, overlap = options.get("patch_size", 256), options.get("overlap", 32)
        numbers = isinstance(patch, int) and isinstance(overlap, int)
        return self.strategy == "overlap_tiling" and numbers and overlap >= patch

    def _model_strategy(self, img_size: list[int]) -> Any:
        from deepinv.distributed.strategies import create_strategy

        return create_strategy(self.strategy, img_size, **self._cut)

    def _check(self, shape: torch.Size) -> None:
        """Raises ValueError where the image is as long as a patch, as deepinv does."""
        if self.strategy != "overlap_tiling" or shape == self._shape:
            return
        dims = self._cut.get("tiling_dims", tuple(range(2 - len(shape), 0)))
        dims = (dims,) if isinstance(dims, int) else dims
        patch = self._cut.get("patch_size", 256)
        sizes = (patch,) * len(dims) if isinstance(patch, int) else patch
        for dim, size in zip(dims, sizes, strict=True):
            if shape[dim] == size:
                raise InvalidArgument(f"patch_size: must be less than the image's size {shape[dim]} along {dim}")
        self._shape = shape

    def forward(self, x: torch.Tensor, *args: Any, gather: bool = True, **kwargs: Any) -> torch.Tensor:
        """The processed image, of the shape of ``x`` (B, C, …)."""
        self._check(x.shape)
        return self._tiles(x, *args, gather=gather, **kwargs)

    @property
    def num_patches(self) -> int:
        return self._tiles.num_patches

    @property
    def local_indices(self) -> list[int]:
        return self._tiles.local_indices


class DistributedDataFidelity(FidelityCalls, DataFidelity):
    """Σ d_i(A_i x, y_i) over ranks: see :class:`adjoin.DistributedDataFidelity`."""

    def __init__(
        self,
        ctx: DistributedContext,
        data_fidelity: Any,
        num_operators: int | None = None,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        reduction: str = "sum",
    ) -> None:
        super().__init__()
        self._set_up(ctx, data_fidelity, num_operators, factory_kwargs, reduction)

    def fn(self, x: torch.Tensor, y: Any, physics: Any, gather: bool = True, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Σ d_i(A_i x, y_i)."""
        return self._sum("fn", x, y, physics, gather, args, kwargs)

    forward = fn

    def grad(
        self, x: torch.Tensor, y: Any, physics: Any, gather: bool = True, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Σ J_i(x)ᵀ ∇d_i(A_i x, y_i)."""
        return self._sum("grad", x, y, physics, gather, args, kwargs)

    def prox(self, x: torch.Tensor, y: Any, physics: Any, *args: Any, gamma: Any = 1.0, **kwargs: Any) -> torch.Tensor:
        """argmin_v γ f(v) + 1/2 ‖v − x‖², exact for L2, else by gradient descent."""
        if isinstance(self.single_fidelity, L2) and self.reduction_mode == "sum":
            return physics.prox_l2(x, y, gamma / self.single_fidelity.sigma2)
        return super().prox(x, y, physics, *args, gamma=gamma, **kwargs)


def _type_of(thing: Any) -> str:
    items = thing if isinstance(thing, list) and thing else [thing]
    if isinstance(thing, StackedPhysics):
        return "linear_physics" if isinstance(thing, StackedLinearPhysics) else "physics"
    if isinstance(thing, list) and isinstance(items[0], Physics):
        return "linear_physics" if all(isinstance(item, LinearPhysics) for item in items) else "physics"
    if isinstance(items[0], DataFidelity):
        return "data_fidelity"
    if isinstance(thing, Denoiser):
        return "denoiser"
    if callable(thing):
        raise InvalidArgument("type_object: must be given for callables")
    raise InvalidArgument(f"object: cannot tell what to make of a {type(thing).__name__}")


def distribute(
    object: Any,
    ctx: DistributedContext,
    *,
    num_operators: int | None = None,
    type_object: str | None = "auto",
    dtype: torch.dtype | None = torch.float32,
    gather_strategy: str = "concatenated",
    tiling_strategy: Any = "overlap_tiling",
    tiling_dims: int | tuple[int, ...] | None = None,
    patch_size: int | tuple[int, ...] = 256,
    overlap: int | tuple[int, ...] = 64,
    max_batch_size: int | None = None,
    **kwargs: Any,
) -> Any:
    """The distributed form of an object of deepinv's; see :func:`adjoin.distribute`."""
    kind = _type_of(object) if type_object in (None, "auto") else type_object
    if kind in ("physics", "linear_physics"):
        stack = DistributedStackedLinearPhysics if kind == "linear_physics" else DistributedStackedPhysics
        return stack_of(stack, object, ctx, num_operators, dtype=dtype, gather_strategy=gather_strategy, **kwargs)
    if kind == "denoiser":
        options = {"patch_size": patch_size, "overlap": overlap, "tiling_dims": tiling_dims}
        return DistributedProcessing(
            ctx, object, strategy=tiling_strategy, strategy_kwargs=options, max_batch_size=max_batch_size
        )
    if kind == "data_fidelity":
        return fidelity_of(DistributedDataFidelity, object, ctx, num_operators, **kwargs)
    raise InvalidArgument(f"type_object: unknown value {type_object!r}")


_NAMES = (
    "DistributedContext",
    "DistributedDataFidelity",
    "DistributedProcessing",
    "DistributedStackedLinearPhysics",
    "DistributedStackedPhysics",
    "distribute",
)
_originals: dict[tuple[str, str], Any] = {}


def install() -> None:
    """Puts these classes in the place of those of ``deepinv.distributed``, for this process."""
    for module_name in ("deepinv.distributed", "deepinv.distributed.distrib_framework", "deepinv.distributed.distribute"):
        module = importlib.import_module(module_name)
        for name in _NAMES:
            if hasattr(module, name):
                _originals.setdefault((module_name, name), getattr(module, name))
                setattr(module, name, globals()[name])


def uninstall() -> None:
    """Undoes :func:`install`."""
    for (module_name, name), original in _originals.items():
        setattr(importlib.import_module(module_name), name, original)
    _originals.clear()
