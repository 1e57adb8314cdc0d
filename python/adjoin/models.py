# SPDX-License-Identifier: BSD-3-Clause
"""Learned denoisers: callables of an image (B, C, …) and the standard deviation of its noise, a number or, but for
:class:`Denoiser`, a tensor of one an item."""

from __future__ import annotations

import os

import torch

from adjoin import _adjoin
from adjoin._adjoin import Denoiser

__all__ = ["Denoiser", "DnCNN", "DRUNet", "FFDNet", "load_denoiser"]

Path = str | os.PathLike[str]


def load_denoiser(path: Path, device: torch.device | str = "cpu") -> Denoiser:
    """The denoiser (DnCNN, FFDNet or DRUNet) in a .safetensors file, as the file itself says which.

    :param path: the file's name.
    :param device: where it computes.
    :return: a callable of an image and a noise level.
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file.
    """
    return _adjoin.load_denoiser(os.fspath(path), torch.device(device))


class DnCNN(_adjoin.DnCNN):
    """DnCNN from a .safetensors file; ``radius``: how far a pixel of the input reaches, the overlap that tiles need.

    :param path: the file's name.
    :param device: where it computes.
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        super().__init__(os.fspath(path), torch.device(device))


class DRUNet(_adjoin.DRUNet):
    """DRUNet from a .safetensors file, for images of ``channels`` channels.

    :param path: the file's name.
    :param device: where it computes.
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        super().__init__(os.fspath(path), torch.device(device))


class FFDNet(_adjoin.FFDNet):
    """FFDNet from a .safetensors file, for images of ``channels`` channels; ``radius`` as of :class:`DnCNN`.

    :param path: the file's name.
    :param device: where it computes.
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        super().__init__(os.fspath(path), torch.device(device))
