// SPDX-License-Identifier: BSD-3-Clause
// Inflating, unshuffling and checking, in the opposite order of writing.
#include "io/hdf5/filters.hpp"

#include <zlib.h>

#include <algorithm>

#include "io/hdf5/checksum.hpp"

namespace adjoin::hdf5 {

namespace {

/// Whether what is stored, in zlib's format, makes so many bytes.
bool inflates_to(std::vector<std::uint8_t>& stored, std::uint64_t bytes) {
  z_stream stream{};
  require(inflateInit(&stream) == Z_OK, "cannot be decompressed: there is no memory");
  std::vector<std::uint8_t> out(1 << 16);
  std::uint64_t made = 0;
  int result = Z_OK;
  for (std::size_t read = 0; result == Z_OK && made <= bytes;) {
    const std::size_t in = std::min<std::size_t>(stored.size() - read, 1 << 30);
    stream.next_in = stored.data() + read;
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    result = inflate(&stream, Z_NO_FLUSH);
    read += in - stream.avail_in;
    made += out.size() - stream.avail_out;
  }
  inflateEnd(&stream);
  return result == Z_STREAM_END && made == bytes;
}

/// So many bytes of zlib's format. Where they are far more than what is stored, they are counted before memory is
/// taken.
void inflate_into(std::vector<std::uint8_t>& stored, std::uint64_t bytes, std::vector<std::uint8_t>& values) {
  constexpr std::uint64_t usual = 16 << 20;
  require(bytes <= 4 * stored.size() + usual || inflates_to(stored, bytes),
          "is damaged: a chunk cannot be decompressed");
  values.resize(bytes);
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
  const std::uint64_t whole = chunk_bytes(data);
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
        std::uint32_t sum = 0;
        for (std::size_t i = 4; i-- > 0;) {
          sum = sum << 8U | stored[bytes + i];
        }
        stored.resize(bytes);
        require(is_fletcher32(stored, sum) || !checksums_matter, "is damaged: a chunk has a wrong checksum");
        break;
      }
      case Filter::Shuffle:
        unshuffle(stored, data.entry_bytes, values);
        stored.swap(values);
        break;
      case Filter::Deflate:
        inflate_into(stored, unpacked, values);
        stored.swap(values);
        break;
    }
  }
  require(stored.size() == whole, "is damaged: a chunk has ", stored.size(), " bytes in place of ", whole);
  stored.swap(values);
}

}  // namespace adjoin::hdf5
