# SPDX-License-Identifier: BSD-3-Clause
"""Denoisers in tiles, as deepinv's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from deepinv.distributed.strategies import create_strategy
from deepinv.models.base import Denoiser

from adjoin.deepinv.context import DistributedContext
from adjoin.deepinv.versions import current
from adjoin.distributed.processing import DistributedProcessing as _Tiles
from adjoin.errors import InvalidArgument

__all__ = ["DistributedProcessing"]


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
        checkpoint_batches: str = "auto",
        checkpoint_use_reentrant: bool = False,
        checkpoint_preserve_rng_state: bool = True,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.ctx = ctx
        self.processor = processor
        self.max_batch_size = max_batch_size
        self.checkpoint_batches = checkpoint_batches
        self.checkpoint_use_reentrant = checkpoint_use_reentrant
        self.checkpoint_preserve_rng_state = checkpoint_preserve_rng_state
        self.strategy = current().strategy if strategy is None else strategy
        self.strategy_kwargs = dict(strategy_kwargs or {})
        options = {name: value for name, value in self.strategy_kwargs.items() if value is not None}
        self._cut = options
        self._named = self.strategy in (None, "overlap_tiling")
        self._tiles = _Tiles(
            ctx,
            processor,
            strategy=self._model_strategy if self._needs_the_models(options) else self.strategy,
            strategy_kwargs=options,
            max_batch_size=max_batch_size if max_batch_size and max_batch_size > 0 else None,
            checkpoint_batches=checkpoint_batches,
            checkpoint_use_reentrant=checkpoint_use_reentrant,
            checkpoint_preserve_rng_state=checkpoint_preserve_rng_state,
        )
        self._shape: torch.Size | None = None

    def _needs_the_models(self, options: dict[str, Any]) -> bool:
        """Whether the tiles are such as only deepinv's own code makes."""
        patch, overlap = options.get("patch_size", 256), options.get("overlap", 32)
        numbers = isinstance(patch, int) and isinstance(overlap, int)
        return self._named and numbers and overlap >= patch

    def _model_strategy(self, img_size: list[int]) -> Any:
        return create_strategy(*current().strategy_arguments, img_size, **self._cut)

    def _check(self, shape: torch.Size) -> None:
        """Raises ValueError where the image is as long as a patch, as deepinv does."""
        if not self._named or shape == self._shape:
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
