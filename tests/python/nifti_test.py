# SPDX-License-Identifier: BSD-3-Clause
"""NIfTI files, as nibabel reads them."""

import gzip

import nibabel
import numpy
import pytest
import torch

from adjoin.errors import InvalidArgument
from adjoin.io import write_nifti


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "uint8", "int16", "int32"])
def test_a_volume_has_its_values_axes_and_places(tmp_path, dtype):
    volume = torch.arange(24).reshape(2, 3, 4).to(getattr(torch, dtype))  # (z, y, x)
    write_nifti(tmp_path / "a.nii", volume, voxel_size=(3.0, 2.0, 0.5))
    file = nibabel.load(tmp_path / "a.nii")
    assert file.get_data_dtype() == numpy.dtype(dtype) and file.header.get_xyzt_units()[0] == "mm"
    assert numpy.array_equal(numpy.asanyarray(file.dataobj), volume.permute(2, 1, 0).numpy())
    assert file.header.get_zooms() == (0.5, 2.0, 3.0)
    middle = file.affine @ [1.5, 1.0, 0.5, 1.0]
    assert numpy.allclose(middle, [0, 0, 0, 1]) and numpy.allclose(numpy.diag(file.affine), [0.5, 2.0, 3.0, 1.0])


def test_a_compressed_volume_is_the_same(tmp_path):
    volume = torch.arange(24 * 10_000, dtype=torch.float32).reshape(20, 30, 400)
    write_nifti(tmp_path / "a.nii", volume)
    write_nifti(tmp_path / "a.nii.gz", volume)
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes()) == (tmp_path / "a.nii").read_bytes()
    assert numpy.array_equal(nibabel.load(tmp_path / "a.nii.gz").get_fdata(), volume.permute(2, 1, 0).numpy())
    with pytest.raises(Exception, match="cannot write"):
        write_nifti(tmp_path / "no" / "a.nii.gz", volume)


def test_a_slice_is_a_volume_of_one(tmp_path):
    affine = [[0.0, -1.0, 0.0, 7.0], [1.0, 0.0, 0.0, -3.0], [0.0, 0.0, 2.0, 1.0]]
    write_nifti(tmp_path / "a.nii", numpy.ones((3, 4), numpy.float32), affine=affine)
    file = nibabel.load(tmp_path / "a.nii")
    assert file.shape == (4, 3, 1) and numpy.allclose(file.affine[:3], affine)


def test_bad_arguments_are_named(tmp_path):
    for arguments, words in (
        ((torch.ones(4),), "image must be"),
        ((torch.ones(2, 2, dtype=torch.bool),), "image must be"),
        ((torch.ones(0, 2),), "sizes must be"),
        ((torch.ones(1, 40000),), "sizes must be"),
        ((torch.ones(2, 2), (1.0, 0.0, 1.0)), "voxel_size must be positive"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            write_nifti(tmp_path / "a.nii", *arguments)
    with pytest.raises(Exception, match="cannot write"):
        write_nifti(tmp_path / "no" / "a.nii", torch.ones(2, 2))
