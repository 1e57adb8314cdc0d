// BART's .cfl files: single-precision complex arrays, with their sizes in a .hdr file beside them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace adjoin {

/// The array as a complex64 CPU tensor with the axes in BART's order (readout, phase 1, phase 2, coils, maps, …), those
/// of size 1 at the end left out. `path` with or without its extension. Throws InvalidArgument naming the file when one
/// of the two is missing, the header has no sizes or over 64, or the data are shorter or longer than it says. Safe for
/// files of strangers: it takes no more memory than twice the data's size.
at::Tensor read_cfl(const std::filesystem::path& path);

/// Writes `array`, axes in BART's order, as complex64. Throws Error when a file cannot be written.
void write_cfl(const std::filesystem::path& path, const at::Tensor& array);

}  // namespace adjoin
