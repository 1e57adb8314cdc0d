// SPDX-License-Identifier: BSD-3-Clause
// NumPy's .npy files (format versions 1 to 3, either byte order, C or Fortran order).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "adjoin/core/sharded_image.hpp"

namespace adjoin {

/// The array as a contiguous CPU tensor. Types: bool, uint8, int8 to int64, float16 to float64, complex64 and
/// complex128, of either byte order, and as in read_hdf5 uint16 as int32, uint32 and uint64 as int64. Throws
/// InvalidArgument naming the file when it is missing, is not an .npy file, has another type (objects among them, which
/// NumPy reads by running what the file says), numbers that an int64 does not hold, over 64 axes, or is shorter or
/// longer than its header says. Safe for files of strangers: it takes no more than three times the file's size in
/// memory, 1 MB for its header included.
at::Tensor read_npy(const std::filesystem::path& path);

/// Writes `array` in format version 1, C order. Throws InvalidArgument for another dtype, and Error when the file
/// cannot be written.
void write_npy(const std::filesystem::path& path, const at::Tensor& array);

/// The shape of the array in a file. Throws as read_npy does.
std::vector<std::int64_t> npy_sizes(const std::filesystem::path& path);

/// This rank's slab of the array: no process reads more than its own. The array must have the space's sizes and lie in
/// C order; throws InvalidArgument otherwise, and as read_npy does. No message.
ShardedImage read_npy(const std::filesystem::path& path, std::shared_ptr<const ImageSpace> space);

/// Writes this rank's slab into the file, which is made, or given the size of the whole image, by whichever rank comes
/// first, and is complete when all have written. No message. Throws as write_npy does.
void write_npy(const std::filesystem::path& path, const ShardedImage& image);

}  // namespace adjoin
