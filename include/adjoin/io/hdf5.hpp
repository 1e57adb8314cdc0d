// SPDX-License-Identifier: BSD-3-Clause
// Arrays in HDF5 files.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace adjoin {

struct Hdf5Options {
  /// Read by the HDF5 library with all that it can do: external links, external storage and virtual datasets, which
  /// name any file that this process can read, and every filter that is installed. For files that you trust: the
  /// library may crash or never return on a damaged one. It is loaded at the first call, by the names that Linux gives
  /// it or the one that the environment variable ADJOIN_HDF5 says; where there is none, read_hdf5 throws Error.
  bool trusted = false;
};

/// The dataset of this name, such as "/Experiments/scan/data", as a contiguous CPU tensor, decompressed. Numbers only:
/// float32, float64, int8 to int64 and uint8 keep their type; float16 and bfloat16 become float32, uint16 int32, uint32
/// and uint64 int64; enumerations FALSE and TRUE, as h5py writes truth values, become bool, and compounds of two equal
/// floats r and i (or re and im, real and imag, real and imaginary), as h5py writes complex numbers, complex64 or
/// complex128. Values that were never written are the dataset's fill value.
///
/// Files are read here and not by the HDF5 library, so that those of strangers are safe; memory is taken for what a
/// file holds, unpacked, and for 16 MiB of values that were never written. Layouts: contiguous, compact, and chunked
/// with any index, by the filters deflate (gzip), shuffle and fletcher32.
///
/// Throws InvalidArgument naming file and dataset when the file is missing or no HDF5 file, when it has no such
/// dataset, and when the dataset has no dataspace, or values that were never written and no fill value, claims more
/// than the file holds, lies in other files, is of another type or filter, holds numbers that an int64 does not, or is
/// damaged.
at::Tensor read_hdf5(const std::filesystem::path& path, const std::string& dataset, const Hdf5Options& options = {});

}  // namespace adjoin
