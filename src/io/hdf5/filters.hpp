// SPDX-License-Identifier: BSD-3-Clause
// What was done to the chunks of an HDF5 dataset, undone.
#pragma once

#include <cstdint>
#include <vector>

#include "io/hdf5/chunks.hpp"

namespace adjoin::hdf5 {

/// The values of a chunk, `chunk_bytes` of them; `stored` is for what is read and unpacked on the way. Both are memory
/// that serves the next chunk, too.
void read_chunk(const File& file, const Dataset& data, const Chunk& chunk, std::vector<std::uint8_t>& stored,
                std::vector<std::uint8_t>& values);

}  // namespace adjoin::hdf5
