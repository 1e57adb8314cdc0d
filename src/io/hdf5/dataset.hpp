// SPDX-License-Identifier: BSD-3-Clause
// What an HDF5 file says of a dataset.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/hdf5/file.hpp"
#include "io/hdf5/number_type.hpp"
#include "io/hdf5/object_header.hpp"
#include "io/hdf5/record_type.hpp"

namespace adjoin::hdf5 {

/// One step of what was done to every chunk, in the order in which it was done.
enum class Filter : std::uint16_t { Deflate = 1, Shuffle = 2, Fletcher32 = 3 };

/// Where the chunks are listed.
enum class ChunkIndex : std::uint8_t { Tree, Single, Implicit, FixedArray, ExtensibleArray, Records };

struct Layout {
  enum class Kind : std::uint8_t { Compact, Contiguous, Chunked };

  Kind kind = Kind::Contiguous;
  /// Of contiguous values, or of the index of chunks; `nowhere` if nothing was ever written.
  std::uint64_t address = nowhere;
  std::vector<std::uint8_t> compact = {};

  // Of chunks.
  std::vector<std::uint64_t> chunk = {};
  ChunkIndex index = ChunkIndex::Tree;
  /// Chunks that reach beyond the dataset are not filtered.
  bool whole_chunks_filtered_only = false;
  /// A single chunk's, where it is filtered.
  std::uint64_t single_bytes = 0;
  std::uint64_t single_mask = 0;
};

struct Dataset {
  /// Of numbers, or of records.
  NumberType type;
  RecordType record;
  std::uint64_t entry_bytes = 0;
  std::vector<std::uint64_t> sizes;
  /// `nowhere` where an axis may grow without end.
  std::vector<std::uint64_t> most_sizes;
  Layout layout;
  std::vector<Filter> filters;
  /// One entry, as it is stored; empty for zero. Nothing where missing values are undefined.
  std::optional<std::vector<std::uint8_t>> fill;
};

/// Reads the messages of an object. Throws Fault when it is no dataset of numbers in this file.
Dataset read_dataset(const std::vector<Message>& messages);

/// Reads the messages of a dataset of records. Throws Fault when it is none in this file.
Dataset read_record_dataset(const std::vector<Message>& messages);

}  // namespace adjoin::hdf5
