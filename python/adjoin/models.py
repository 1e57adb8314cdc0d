"""Learned denoisers."""

from __future__ import annotations

import os

import torch

from adjoin import _adjoin
from adjoin._adjoin import Denoiser

__all__ = ["Denoiser", "load_denoiser"]


def load_denoiser(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Denoiser:
    """The denoiser (DnCNN, FFDNet or DRUNet) in a .safetensors file: a callable of an image (B, C, …) and the standard
    deviation of its noise."""
    return _adjoin.load_denoiser(os.fspath(path), torch.device(device))
