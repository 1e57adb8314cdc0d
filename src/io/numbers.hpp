// SPDX-License-Identifier: BSD-3-Clause
// Numbers of files as numbers of tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace adjoin {

/// Makes every byte of a contiguous bool tensor 0 or 1, as torch expects them.
void keep_truth_values(const at::Tensor& array);

/// Unsigned numbers that were read as signed ones of their size: uint16 as int32, uint32 and uint64 as int64. Throws
/// InvalidArgument, naming `reader` and the file, when an int64 does not hold one.
at::Tensor from_unsigned(const char* reader, const std::filesystem::path& path, const at::Tensor& array);

}  // namespace adjoin
