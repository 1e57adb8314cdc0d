// SPDX-License-Identifier: BSD-3-Clause
// NIfTI-1 files, which viewers and analysis programs of medical images read.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <filesystem>
#include <optional>

namespace adjoin {

struct NiftiOptions {
  /// Millimetres between pixels along the axes of the image, (D, H, W); of a slice the first is its thickness.
  std::array<double, 3> voxel_size = {1.0, 1.0, 1.0};
  /// Rows of the matrix that leads from the indices (x, y, z) of a pixel, x that of the last axis, and 1 to its place
  /// in the scanner in millimetres. By default the voxel size on the diagonal, and the image's middle at 0.
  std::optional<std::array<std::array<double, 4>, 3>> affine = {};
};

/// Writes an image (D, H, W) or (H, W) as .nii, or compressed where the name ends in .nii.gz: floating point or complex
/// of single or double precision, uint8, int16 or int32. https://nifti.nimh.nih.gov/nifti-1. Throws InvalidArgument for
/// another tensor or a voxel size that is not positive, and Error when the file cannot be written.
void write_nifti(const std::filesystem::path& path, const at::Tensor& image, const NiftiOptions& options = {});

}  // namespace adjoin
