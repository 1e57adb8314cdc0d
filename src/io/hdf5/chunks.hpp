// SPDX-License-Identifier: BSD-3-Clause
// The chunks of an HDF5 dataset.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "io/hdf5/dataset.hpp"

namespace adjoin::hdf5 {

/// A chunk that was written.
struct Chunk {
  std::uint64_t address;
  std::uint64_t bytes;  // in the file
  /// Bit i: filter i was left out.
  std::uint64_t mask;
  /// Which of the chunks it is, along each axis.
  std::vector<std::uint64_t> place;
};

/// Bytes of a chunk's values. Throws Fault when no memory has so many.
std::uint64_t chunk_bytes(const Dataset& data);

/// Hands out every chunk that was written and that the dataset, as large as it is now, includes. They are not kept: a
/// list of chunks of one byte would be larger than the file.
void for_each_chunk(File& file, const Dataset& data, const std::function<void(const Chunk&)>& visit);

}  // namespace adjoin::hdf5
