// SPDX-License-Identifier: BSD-3-Clause
// HDF5 files by the HDF5 library, which trusts them, and is loaded when it is first asked for.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace adjoin::hdf5 {

/// A dataset of numbers, wherever it lies and however it is compressed. Throws Fault, and Error where
/// there is no HDF5 library.
at::Tensor read_by_library(const std::filesystem::path& path, const std::string& dataset);

}  // namespace adjoin::hdf5
