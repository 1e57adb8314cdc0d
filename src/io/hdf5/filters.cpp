#include "io/hdf5/filters.hpp"

#include <zlib.h>

#include <algorithm>

#include "io/hdf5/checksum.hpp"

namespace adjoin::hdf5 {

namespace {

/// Exactly as many bytes as `values` has, of zlib's format.
void inflate_into(std::vector<std::uint8_t>& stored, std::vector<std::uint8_t>& values) {
  uLongf length = values.size();
  const int result = uncompress(values.data(), &length, stored.data(), stored.size());
  require(result == Z_OK && length == values.size(), "is damaged: a chunk cannot be decompressed");
}

/// Puts the bytes of numbers together, of which the first ones lie first, then the second ones, and so on.
void unshuffle(const std::vector<std::uint8_t>& in, std::uint64_t entry, std::vector<std::uint8_t>& out) {
  const std::uint64_t entries = in.size() / entry;
  out.resize(in.size());
  for (std::uint64_t b = 0; b < entry; ++b) {
    for (std::uint64_t i = 0; i < entries; ++i) {
      out[i * entry + b] = in[b * entries + i];
    }
  }
  std::copy(in.begin() + static_cast<std::ptrdiff_t>(entries * entry), in.end(),
            out.begin() + static_cast<std::ptrdiff_t>(entries * entry));
}

}  // namespace

void read_chunk(const File& file, const Dataset& data, const Chunk& chunk, std::vector<std::uint8_t>& stored,
                std::vector<std::uint8_t>& values) {
  const std::uint64_t whole = values.size();
  stored.resize(chunk.bytes);
  file.values(chunk.address, stored.data(), stored.size());
  bool reaches_beyond = false;
  for (std::size_t axis = 0; axis < data.sizes.size(); ++axis) {
    reaches_beyond = reaches_beyond || (chunk.place[axis] + 1) * data.layout.chunk[axis] > data.sizes[axis];
  }
  std::vector<Filter> applied;
  std::uint64_t unpacked = whole;  // with the checksums that were there before it was compressed
  bool compressed = false;
  for (std::size_t i = 0; i < data.filters.size() && !(data.layout.whole_chunks_filtered_only && reaches_beyond); ++i) {
    if (i >= 32 || (chunk.mask >> i & 1U) == 0) {
      const Filter filter = data.filters[i];
      require(!compressed || filter != Filter::Deflate, "is compressed twice, which trusted allows");
      compressed = compressed || filter == Filter::Deflate;
      unpacked += filter == Filter::Fletcher32 && !compressed ? 4 : 0;
      applied.push_back(filter);
    }
  }
  for (; !applied.empty(); applied.pop_back()) {
    switch (applied.back()) {
      case Filter::Fletcher32: {
        require(stored.size() >= 4, "is damaged: a chunk has no checksum");
        const std::size_t bytes = stored.size() - 4;
        const std::uint32_t sum = static_cast<std::uint32_t>(stored[bytes]) | stored[bytes + 1] << 8 |
                                  stored[bytes + 2] << 16 | static_cast<std::uint32_t>(stored[bytes + 3]) << 24;
        stored.resize(bytes);
        require(is_fletcher32(stored, sum) || !checksums_matter, "is damaged: a chunk has a wrong checksum");
        break;
      }
      case Filter::Shuffle:
        unshuffle(stored, data.type.entry_bytes(), values);
        stored.swap(values);
        break;
      case Filter::Deflate:
        values.resize(unpacked);
        inflate_into(stored, values);
        stored.swap(values);
        break;
    }
  }
  require(stored.size() == whole, "is damaged: a chunk has ", stored.size(), " bytes in place of ", whole);
  stored.swap(values);
}

}  // namespace adjoin::hdf5
