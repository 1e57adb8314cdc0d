# SPDX-License-Identifier: BSD-3-Clause
"""Pictures, arrays and weights in files, as tensors on the CPU, and reports of what a run found."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from adjoin import _adjoin
from adjoin._adjoin import MrdFile, MrdScan, Report, psnr
from adjoin.arguments import TensorLike

__all__ = [
    "MrdFile",
    "MrdScan",
    "Report",
    "psnr",
    "read_cfl",
    "read_hdf5",
    "read_npy",
    "read_png",
    "read_safetensors",
    "write_cfl",
    "write_nifti",
    "write_npy",
    "write_png",
    "write_safetensors",
]

Path = str | os.PathLike[str]


def read_png(path: Path) -> torch.Tensor:
    """The picture, float (1, C, H, W) in [0, 1]; C is 1 for grey and 3 for colour.

    :param path: the file's name.
    :return: float (1, C, H, W) in [0, 1].
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file.
    """
    return _adjoin.read_png(os.fspath(path))


def write_png(path: Path, image: TensorLike) -> None:
    """Writes (C, H, W) or (1, C, H, W), C 1 or 3, with 8 bits; values are clamped to [0, 1].

    :param path: the file's name.
    :param image: the picture.
    :raises adjoin.Error: naming the file, where it cannot be written.
    :raises adjoin.InvalidArgument: for another shape or dtype.
    """
    _adjoin.write_png(os.fspath(path), image)


def read_npy(path: Path) -> torch.Tensor:
    """The array of a NumPy file, of either byte order; uint16 becomes int32, uint32 and uint64 int64.

    :param path: the file's name.
    :return: a tensor on the CPU.
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file.
    """
    return _adjoin.read_npy(os.fspath(path))


def write_npy(path: Path, array: TensorLike) -> None:
    """Writes a NumPy file.

    :param path: the file's name.
    :param array: the array.
    :raises adjoin.Error: naming the file, where it cannot be written.
    :raises adjoin.InvalidArgument: for another shape or dtype.
    """
    _adjoin.write_npy(os.fspath(path), array)


def read_cfl(path: Path, indices: Sequence[int] | None = None, axis: int = 3) -> torch.Tensor:
    """The array of BART's files ``path``.cfl and .hdr, complex64, axes in BART's order, those of size 1 at the end left
    out.

    :param path: the files' name without .cfl or .hdr.
    :param indices: reads these entries of an axis alone, in this order, such as a rank's own coils.
    :param axis: which axis, by default that of the coils.
    :return: a tensor on the CPU.
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file.
    :raises adjoin.InvalidArgument: for indices that the axis does not have.
    """
    return _adjoin.read_cfl(os.fspath(path), axis, None if indices is None else list(indices))


def write_cfl(path: Path, array: TensorLike) -> None:
    """Writes BART's files ``path``.cfl and .hdr.

    :param path: the files' name without .cfl or .hdr.
    :param array: at most 16 axes, in BART's order.
    :raises adjoin.Error: naming the file, where it cannot be written.
    :raises adjoin.InvalidArgument: for another shape or dtype.
    """
    _adjoin.write_cfl(os.fspath(path), array)


def write_nifti(
    path: Path,
    image: TensorLike,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    affine: Sequence[Sequence[float]] | None = None,
) -> None:
    """Writes an image (D, H, W) or (H, W) as NIfTI-1, .nii, or .nii.gz for a compressed one,
    floating point, complex, uint8, int16 or int32.

    ``voxel_size`` in millimetres along (D, H, W). ``affine``, three rows of four, leads from the indices (x, y, z) of a
    pixel, x that of the last axis, to its place in the scanner; by default along the axes, with the middle at 0.

    :param path: the file's name.
    :param image: (D, H, W) or (H, W).
    :param voxel_size: millimetres along (D, H, W).
    :param affine: three rows of four numbers.
    :raises adjoin.Error: naming the file, where it cannot be written.
    :raises adjoin.InvalidArgument: for another shape or dtype.
    """
    _adjoin.write_nifti(os.fspath(path), image, voxel_size, affine)


def read_hdf5(path: Path, dataset: str, trusted: bool = False) -> torch.Tensor:
    """A dataset of numbers of an HDF5 file, complex and truth values as h5py writes them among them; uint16 becomes
    int32, uint32 and uint64 int64, float16 float32. What leads to other files (external links and storage, virtual
    datasets) and filters other than gzip, shuffle and fletcher32 raise unless ``trusted``, which reads by the HDF5
    library: for files that you trust. It is loaded then, from where the system has it or ``ADJOIN_HDF5`` names it.

    :param path: the file's name.
    :param dataset: its place in the file, such as "/Experiments/data".
    :param trusted: whether to read by the HDF5 library, as a file may ask that is known to be harmless.
    :return: a tensor on the CPU.
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file; where there is no HDF5 library.
    """
    return _adjoin.read_hdf5(os.fspath(path), dataset, trusted)


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The named tensors and the metadata of a .safetensors file.

    :param path: the file's name.
    :return: (tensors, metadata), both by name.
    :raises adjoin.Error: naming the file, where it cannot be read or is no such file.
    """
    return _adjoin.read_safetensors(os.fspath(path))


def write_safetensors(path: Path, tensors: dict[str, TensorLike], metadata: dict[str, str] | None = None) -> None:
    """Writes named tensors and metadata.

    :param path: the file's name.
    :param tensors: by name.
    :param metadata: texts by name.
    :raises adjoin.Error: naming the file, where it cannot be written.
    :raises adjoin.InvalidArgument: for another shape or dtype.
    """
    _adjoin.write_safetensors(os.fspath(path), tensors, metadata or {})
