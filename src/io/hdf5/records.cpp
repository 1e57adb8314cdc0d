// SPDX-License-Identifier: BSD-3-Clause
// Records visited chunk by chunk, so that few are in memory at a time.
#include "io/hdf5/records.hpp"

#include <algorithm>
#include <vector>

#include "io/hdf5/chunks.hpp"
#include "io/hdf5/filters.hpp"

namespace adjoin::hdf5 {

namespace {

/// Bytes of entries that may come out of a file of any size by decompression.
constexpr std::uint64_t most_unpacked = 16 << 20;

}  // namespace

void for_each_record(File& file, const Dataset& data,
                     const std::function<void(std::uint64_t index, const std::uint8_t* entry)>& visit) {
  require(data.sizes.size() <= 1, "must have one axis");
  const std::uint64_t count = data.sizes.empty() ? 1 : data.sizes[0];
  require(count <= (most_unpacked + 4 * file.size()) / data.entry_bytes, "claims more entries than the file holds");
  if (count == 0) {
    return;
  }
  std::uint64_t visited = 0;
  const auto visit_all = [&](const std::uint8_t* values, std::uint64_t first, std::uint64_t entries) {
    for (std::uint64_t i = 0; i < entries; ++i) {
      visit(first + i, values + i * data.entry_bytes);
    }
    visited += entries;
  };
  std::vector<std::uint8_t> values;
  switch (data.layout.kind) {
    case Layout::Kind::Compact:
      require(data.layout.compact.size() >= count * data.entry_bytes, "is damaged: it claims more than it holds");
      visit_all(data.layout.compact.data(), 0, count);
      break;
    case Layout::Kind::Contiguous: {
      require(data.layout.address != nowhere, "has entries that were never written");
      const std::uint64_t at_once = std::max<std::uint64_t>(1, (1 << 20) / data.entry_bytes);
      for (std::uint64_t first = 0; first < count; first += at_once) {
        const std::uint64_t entries = std::min(at_once, count - first);
        require(file.holds(data.layout.address, count * data.entry_bytes), "is damaged or cut short");
        values.resize(entries * data.entry_bytes);
        file.values(data.layout.address + first * data.entry_bytes, values.data(), values.size());
        visit_all(values.data(), first, entries);
      }
      break;
    }
    case Layout::Kind::Chunked: {
      require(!data.sizes.empty(), "is damaged: a single entry has chunks");
      require(chunk_bytes(data) <= most_unpacked + 4 * file.size(), "is damaged: its chunks are larger than the file");
      std::vector<std::uint8_t> stored;
      for_each_chunk(file, data, [&](const Chunk& chunk) {
        const std::uint64_t first = chunk.place[0] * data.layout.chunk[0];
        const std::uint64_t entries = std::min(data.layout.chunk[0], count - first);
        require(visited + entries <= count, "is damaged: a chunk is listed twice");
        read_chunk(file, data, chunk, stored, values);
        visit_all(values.data(), first, entries);
      });
      break;
    }
  }
  require(visited == count, "has entries that were never written");
}

}  // namespace adjoin::hdf5
