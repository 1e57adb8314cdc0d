// SPDX-License-Identifier: BSD-3-Clause
// PNG pictures as tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace adjoin {

/// The picture as a float tensor of shape (1, C, H, W) with values in [0, 1]; C is 1 for grey and 3 for colour
/// pictures. Transparency is dropped, palettes are expanded, 16-bit samples keep their precision. Throws
/// InvalidArgument naming the file when it is missing, is not a PNG, is damaged, or claims more pixels than a file of
/// its size can hold. Safe for files of strangers; one that really holds many pixels of one colour takes up to 8256
/// numbers a byte.
at::Tensor read_png(const std::filesystem::path& path);

/// The bytes of an 8-bit PNG of `image`, of shape (C, H, W) or (1, C, H, W), real, C 1 or 3; values are clamped to
/// [0, 1]. Throws InvalidArgument for another shape.
std::string encode_png(const at::Tensor& image);

/// Writes them to a file. Throws Error when it cannot be written.
void write_png(const std::filesystem::path& path, const at::Tensor& image);

}  // namespace adjoin
