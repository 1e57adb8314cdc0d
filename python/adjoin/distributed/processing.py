# SPDX-License-Identifier: BSD-3-Clause
"""Denoisers and other functions of images, tile by tile, the tiles spread over the ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from adjoin import _adjoin
from adjoin.context import DistributedContext
from adjoin.copies import WithRanks
from adjoin.distributed.strategies import StrategyAdapter
from adjoin.errors import InvalidArgument
from adjoin.operators import parameters_of

__all__ = ["DistributedProcessing"]

_OPTIONS = {"tiling_dims", "patch_size", "overlap", "stride", "pad_mode", "num_splits"}


def _sizes(value: int | Sequence[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)


class _Call:
    """A processor with the positional arguments of the call; C++ holds this and not the object that holds it."""

    def __init__(
        self, processor: Callable[..., torch.Tensor], checkpointed: Callable[[], bool], options: dict[str, Any]
    ) -> None:
        self.processor = processor
        self.arguments: tuple[Any, ...] = ()
        self.checkpointed = checkpointed
        self.options = options

    def __call__(self, tiles: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        if torch.is_grad_enabled() and self.checkpointed():
            result: torch.Tensor = checkpoint(self.processor, tiles, *self.arguments, **self.options, **kwargs)
            return result
        return self.processor(tiles, *self.arguments, **kwargs)


class DistributedProcessing(WithRanks):
    """Applies a processor to an image in tiles, each processed by one rank.

    With ``overlap_tiling`` and an overlap of at least the radius of the processor's receptive field, the result is that
    of the processor on the whole image, except perhaps at the image's border. Differentiates with respect to the image
    and, when the processor is a torch module, its parameters, whose gradients are summed over the ranks once in a
    backward pass.

    :param ctx: the ranks.
    :param processor: a callable ``processor(tiles, *args, **kwargs)`` of tensors (N, C, …) that keeps shape and dtype.
    :param strategy: "overlap_tiling", "basic", a :class:`DistributedSignalStrategy`, or a callable that makes one for an
        image's shape.
    :param strategy_kwargs: ``patch_size``, ``overlap``, ``stride``, ``tiling_dims`` (numbers, or one for each tiled
        dimension), ``pad_mode`` ("reflect", "replicate", "circular", "constant", "none") and, for "basic",
        ``num_splits``.
    :param max_batch_size: how many tiles the processor gets at once; None: one on the CPU, else all.
    :param checkpoint_batches: whether what the processor needs for its derivatives is computed again in the backward
        pass instead of being kept: "always", "never", or "auto", where a rank has more than one batch of tiles.
    :param checkpoint_use_reentrant, checkpoint_preserve_rng_state: as of ``torch.utils.checkpoint.checkpoint``.
    :raises adjoin.RankFailure: from every call, on every rank, where a rank failed, and
        :class:`adjoin.CallDisagreement` where ranks make different calls.

    >>> with DistributedContext(device_mode="cpu") as ctx:
    ...     double = DistributedProcessing(ctx, lambda x: 2 * x, strategy_kwargs={"patch_size": 4, "overlap": 1})
    ...     double(torch.ones(1, 1, 8, 8)).sum()
    tensor(128.)
    """

    _made_anew = ("_call", "_tiles")

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
    ) -> None:
        if checkpoint_batches not in ("auto", "always", "never"):
            raise InvalidArgument(
                f"checkpoint_batches: must be 'auto', 'always' or 'never', got {checkpoint_batches!r}"
            )
        self.ctx = ctx
        self.processor = processor
        self.max_batch_size = max_batch_size
        self.checkpoint_batches = checkpoint_batches
        self._checkpoint_options = {
            "use_reentrant": checkpoint_use_reentrant,
            "preserve_rng_state": checkpoint_preserve_rng_state,
        }
        self._strategy = strategy
        self._options = dict(strategy_kwargs or {})
        named = strategy is None or isinstance(strategy, str)
        unknown = sorted(set(self._options) - _OPTIONS) if named else []
        if unknown:
            raise InvalidArgument(
                f"strategy_kwargs: unknown {', '.join(unknown)}; it takes {', '.join(sorted(_OPTIONS))}"
            )
        if isinstance(processor, torch.nn.Module):
            processor.to(ctx.device)
        self._connect()

    def _connect(self) -> None:
        self._call = _Call(self.processor, self._checkpointed, self._checkpoint_options)
        options, strategy = self._options, self._strategy
        named = strategy is None or isinstance(strategy, str)
        self._tiles = _adjoin.DistributedProcessing(
            self.ctx._impl,
            self._call,
            strategy=strategy if isinstance(strategy, str) else "overlap_tiling",
            tiling_dims=_sizes(options.get("tiling_dims")),
            patch_size=_sizes(options.get("patch_size", 256)),
            overlap=_sizes(options.get("overlap", 32)),
            stride=_sizes(options.get("stride")),
            pad_mode=options.get("pad_mode", "reflect"),
            num_splits=_sizes(options.get("num_splits")),
            max_batch_size=self.max_batch_size,
            custom=None if named else self._custom(strategy),
        )
        self._tiles.set_parameters(parameters_of([self.processor]))

    def _checkpointed(self) -> bool:
        """Whether the processor's intermediate results are to be dropped, asked while it works on an image's tiles."""
        if self.checkpoint_batches != "auto":
            return self.checkpoint_batches == "always"
        tiles = len(self._tiles.local_indices)
        at_once = self.max_batch_size or (1 if self.ctx.device.type == "cpu" else tiles)
        return tiles > at_once

    @staticmethod
    def _custom(strategy: Any) -> Callable[[list[int]], StrategyAdapter]:
        def make(img_size: list[int]) -> StrategyAdapter:
            made = strategy(img_size) if callable(strategy) else strategy
            return StrategyAdapter(made)

        return make

    def __call__(self, x: torch.Tensor, *args: Any, gather: bool = True, **kwargs: Any) -> torch.Tensor:
        """The processed image, of the shape of ``x`` (B, C, …), on every rank, by one message; with ``gather=False``
        this rank's tiles in an image that is zero elsewhere, without any. Further arguments go to the processor.

        :return: the image, or this rank's part of it.
        """
        self._call.arguments = args
        try:
            return self._tiles(x, gather, kwargs)
        finally:
            self._call.arguments = ()

    forward = __call__

    @property
    def num_patches(self) -> int:
        """Number of tiles of the latest image."""
        return self._tiles.num_patches

    @property
    def local_indices(self) -> list[int]:
        """The tiles of this rank, of the latest image."""
        return self._tiles.local_indices

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.processor).__name__}, {self.ctx!r})"
