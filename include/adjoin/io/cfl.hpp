// SPDX-License-Identifier: BSD-3-Clause
// BART's .cfl files: single-precision complex arrays, with their sizes in a .hdr file beside them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace adjoin {

/// A part of an array: entries of one of its axes, in BART's order (3: coils).
struct CflPart {
  std::int64_t axis = 3;
  std::vector<std::int64_t> indices = {};
};

/// The sizes of the array in BART's order, those of 1 at the end left out. Throws as read_cfl.
std::vector<std::int64_t> cfl_sizes(const std::filesystem::path& path);

/// The array as a complex64 CPU tensor with the axes in BART's order (readout, phase 1, phase 2, coils, maps, …), those
/// of size 1 at the end left out. `path` with or without its extension. Of a part, whose axis keeps its place, no other
/// data is read. Throws InvalidArgument naming the file when one of the two is missing, the header has no sizes or over
/// 64, or the data are shorter or longer than it says, and for indices that the axis does not have. Safe for files of
/// strangers: it takes no more memory than twice the data's size.
at::Tensor read_cfl(const std::filesystem::path& path, const std::optional<CflPart>& part = {});

/// Writes `array`, axes in BART's order, as complex64. Throws Error when a file cannot be written.
void write_cfl(const std::filesystem::path& path, const at::Tensor& array);

}  // namespace adjoin
