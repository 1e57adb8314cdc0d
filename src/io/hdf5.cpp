// SPDX-License-Identifier: BSD-3-Clause
// Arrays out of each layout of a dataset, after a count of what a file may claim.
#include "adjoin/io/hdf5.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "io/claims.hpp"
#include "io/hdf5/chunks.hpp"
#include "io/hdf5/filters.hpp"
#include "io/hdf5/group.hpp"
#include "io/hdf5/library.hpp"

namespace adjoin {

namespace {

using hdf5::Chunk;
using hdf5::Dataset;
using hdf5::File;
using hdf5::Layout;
using hdf5::require;

/// Bytes that a file of any size may make of values that it does not hold, such as a fill value.
constexpr std::uint64_t most_filled = 16 << 20;
/// Values of more than this, and of more than four times the file, are counted before memory is taken for them.
constexpr std::uint64_t usual = 32 << 20;

std::vector<std::int64_t> sizes_of(const Dataset& data) {
  std::vector<std::int64_t> sizes(data.sizes.begin(), data.sizes.end());
  require(claimed_bytes(sizes, data.type.dtype).has_value(), "claims more values than a tensor can have");
  return sizes;
}

/// A tensor of fill values.
at::Tensor filled(const Dataset& data) {
  const at::Tensor array = at::zeros(sizes_of(data), data.type.dtype);
  if (data.fill && !data.fill->empty()) {
    const at::Tensor one = at::empty({}, data.type.dtype);
    hdf5::convert(data.type, data.fill->data(), 1, one.mutable_data_ptr());
    array.fill_(one);
  }
  return array;
}

void check_fill(const Dataset& data, std::uint64_t missing_bytes) {
  require(missing_bytes == 0 || data.fill, "has values that were never written, and no fill value");
  require(missing_bytes <= most_filled, "claims more values than the file holds");
}

at::Tensor read_contiguous(const File& file, const Dataset& data, std::uint64_t bytes) {
  const std::uint64_t address = data.layout.address;
  if (address == hdf5::nowhere) {
    check_fill(data, bytes);
    return filled(data);
  }
  require(file.holds(address, bytes), "is damaged or cut short: it claims more values than the file holds");
  const at::Tensor array = at::empty(sizes_of(data), data.type.dtype);
  auto* out = static_cast<char*>(array.mutable_data_ptr());
  if (data.type.is_native()) {
    file.values(address, out, bytes);
    return array;
  }
  const std::uint64_t entry = data.entry_bytes;
  const std::uint64_t entries = bytes / entry;
  constexpr std::uint64_t at_once = 1 << 16;
  std::vector<std::uint8_t> values(std::min(entries, at_once) * entry);
  for (std::uint64_t done = 0; done < entries; done += at_once) {
    const std::uint64_t count = std::min(at_once, entries - done);
    file.values(address + done * entry, values.data(), count * entry);
    hdf5::convert(data.type, values.data(), count, out + done * static_cast<std::uint64_t>(array.element_size()));
  }
  return array;
}

at::Tensor read_compact(const Dataset& data, std::uint64_t bytes) {
  require(data.layout.compact.size() >= bytes, "is damaged: it claims more values than it holds");
  const at::Tensor array = at::empty(sizes_of(data), data.type.dtype);
  hdf5::convert(data.type, data.layout.compact.data(), bytes / data.entry_bytes, array.mutable_data_ptr());
  return array;
}

/// Converts what a chunk and the dataset share, row by row along the last axis.
void scatter(const Dataset& data, const Chunk& chunk, const std::vector<std::uint8_t>& values,
             const at::Tensor& array) {
  const std::size_t axes = data.sizes.size();
  const std::vector<std::uint64_t>& shape = data.layout.chunk;
  std::vector<std::uint64_t> begin(axes);
  std::vector<std::uint64_t> count(axes);
  for (std::size_t axis = 0; axis < axes; ++axis) {
    begin[axis] = chunk.place[axis] * shape[axis];
    count[axis] = std::min(shape[axis], data.sizes[axis] - begin[axis]);
  }
  auto* out = static_cast<char*>(array.mutable_data_ptr());
  const auto entry_out = static_cast<std::uint64_t>(array.element_size());
  for (std::vector<std::uint64_t> row(axes);;) {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    for (std::size_t axis = 0; axis < axes; ++axis) {
      from = from * shape[axis] + row[axis];
      to = to * data.sizes[axis] + begin[axis] + row[axis];
    }
    hdf5::convert(data.type, values.data() + from * data.entry_bytes, count[axes - 1], out + to * entry_out);
    std::size_t axis = axes - 1;
    while (axis-- > 0 && ++row[axis] == count[axis]) {
      row[axis] = 0;
    }
    if (axis == static_cast<std::size_t>(-1)) {
      return;
    }
  }
}

at::Tensor read_chunks(File& file, const Dataset& data, std::uint64_t bytes) {
  require(!data.sizes.empty(), "is damaged: a single number has chunks");
  const std::uint64_t whole = hdf5::chunk_bytes(data);
  // Values take no more memory than what is stored can be unpacked to, and some that are filled in.
  std::uint64_t count = 0;
  std::uint64_t stored = 0;
  hdf5::for_each_chunk(file, data, [&](const Chunk& chunk) {
    const bool packed = !data.filters.empty();
    require(packed ? whole / most_inflated <= chunk.bytes : whole == chunk.bytes,
            "is damaged: a chunk is larger than what is stored of it");
    count += 1;
    stored += chunk.bytes;
  });
  std::uint64_t possible = 1;
  for (std::size_t axis = 0; axis < data.sizes.size(); ++axis) {
    possible *= (data.sizes[axis] - 1) / data.layout.chunk[axis] + 1;
  }
  const bool complete = count >= possible;
  const std::uint64_t present = data.filters.empty() ? stored : stored * most_inflated;
  check_fill(data, complete || bytes <= present ? 0 : bytes - present);
  require(complete || data.fill, "has values that were never written, and no fill value");
  std::vector<std::uint8_t> packed;
  std::vector<std::uint8_t> values;
  if (bytes > 4 * file.size() + usual) {
    hdf5::for_each_chunk(file, data, [&](const Chunk& chunk) { hdf5::read_chunk(file, data, chunk, packed, values); });
  }
  const at::Tensor array = filled(data);
  hdf5::for_each_chunk(file, data, [&](const Chunk& chunk) {
    hdf5::read_chunk(file, data, chunk, packed, values);
    scatter(data, chunk, values, array);
  });
  return array;
}

at::Tensor read_checked(const std::filesystem::path& path, const std::string& dataset) {
  File file(path);
  const Dataset data = hdf5::read_dataset(hdf5::read_object_header(file, hdf5::find_object(file, dataset)));
  const std::vector<std::int64_t> sizes = sizes_of(data);
  if (std::ranges::find(sizes, 0) != sizes.end()) {
    return at::empty(sizes, data.type.dtype);
  }
  std::uint64_t bytes = data.entry_bytes;
  for (const std::int64_t size : sizes) {
    bytes *= static_cast<std::uint64_t>(size);
  }
  switch (data.layout.kind) {
    case Layout::Kind::Compact:
      return read_compact(data, bytes);
    case Layout::Kind::Contiguous:
      return read_contiguous(file, data, bytes);
    case Layout::Kind::Chunked:
      break;
  }
  return read_chunks(file, data, bytes);
}

}  // namespace

at::Tensor read_hdf5(const std::filesystem::path& path, const std::string& dataset, const Hdf5Options& options) {
  file_size("read_hdf5", path);
  try {
    return options.trusted ? hdf5::read_by_library(path, dataset) : read_checked(path, dataset);
  } catch (const hdf5::Fault& fault) {
    throw InvalidArgument(c10::str("read_hdf5: dataset '", dataset, "' of ", path, " ", fault.what()));
  }
}

}  // namespace adjoin
