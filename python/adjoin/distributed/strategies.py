# SPDX-License-Identifier: BSD-3-Clause
"""Ways to cut an image into patches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

__all__ = ["DistributedSignalStrategy"]


class DistributedSignalStrategy(ABC):
    """A way of your own to cut images of one shape into patches; the same patches must come out on every rank.

    :param img_size: the whole shape, (B, C, …).
    :raises ValueError: for tiles that do not fit, by the strategy.
    """

    def __init__(self, img_size: Sequence[int]) -> None:
        self.img_size = torch.Size(img_size)

    @abstractmethod
    def get_num_patches(self) -> int:
        """Number of patches.

        :return: a number.
        """

    @abstractmethod
    def get_local_patches(self, x: torch.Tensor, local_indices: list[int]) -> list[tuple[int, torch.Tensor]]:
        """Pairs of index and patch, the batch dimension first, for these patches of ``x``.

        :param x: an image (B, C, …).
        :param local_indices: the numbers of the patches.
        :return: a list of pairs.
        """

    @abstractmethod
    def reduce_patches(self, out_tensor: torch.Tensor, local_pairs: list[tuple[int, torch.Tensor]]) -> None:
        """Writes processed patches to their places in ``out_tensor``, zero elsewhere: the sum over all ranks is the
        processed image.

        :param out_tensor: the image, which is written into.
        :param local_pairs: pairs of index and processed patch.
        """


class StrategyAdapter:
    """A strategy as C++ calls it."""

    def __init__(self, strategy: DistributedSignalStrategy) -> None:
        self.strategy = strategy
        self.num_patches = strategy.get_num_patches()

    def split(self, x: torch.Tensor, indices: list[int]) -> list[torch.Tensor]:
        return [patch for _, patch in self.strategy.get_local_patches(x, indices)]

    def merge(self, out: torch.Tensor, indices: list[int], patches: list[torch.Tensor]) -> None:
        self.strategy.reduce_patches(out, list(zip(indices, patches, strict=True)))
