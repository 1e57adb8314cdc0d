// NumPy's .npy files (format versions 1 to 3, little endian, C or Fortran order).
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace adjoin {

/// The array as a contiguous CPU tensor. Types: bool, uint8, int8 to int64, float16 to float64, complex64 and
/// complex128. Throws InvalidArgument naming the file when it is missing, is not an .npy file, has another type, or is
/// shorter or longer than its header says.
at::Tensor read_npy(const std::filesystem::path& path);

/// Writes `array` in format version 1, C order. Throws InvalidArgument for another dtype, and Error when the file
/// cannot be written.
void write_npy(const std::filesystem::path& path, const at::Tensor& array);

}  // namespace adjoin
