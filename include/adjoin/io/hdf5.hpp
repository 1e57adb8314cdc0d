// Arrays in HDF5 files.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace adjoin {

/// The dataset of this name, such as "/Experiments/scan/data", as a contiguous CPU tensor, decompressed. Numbers only:
/// float32, float64, int8 to int64 and uint8 keep their type; float16 becomes float32, uint16 int32, and uint32 int64.
/// Throws InvalidArgument naming file and dataset when the file is missing or no HDF5 file, when it has no such
/// dataset, and when the dataset is of another type or damaged.
at::Tensor read_hdf5(const std::filesystem::path& path, const std::string& dataset);

}  // namespace adjoin
