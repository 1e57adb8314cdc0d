// SPDX-License-Identifier: BSD-3-Clause
// The trees and heaps of an HDF5 file. All are walked as a whole: what is looked for is found however they are sorted.
#pragma once

#include <cstdint>
#include <functional>

#include "io/hdf5/file.hpp"

namespace adjoin::hdf5 {

enum class TreeKind : std::uint8_t { Group = 0, Chunks = 1 };

/// A tree of version 1: calls `leaf` with each key (of `key_bytes`) and the address of what it stands for.
void walk_tree(File& file, std::uint64_t address, TreeKind kind, std::size_t key_bytes,
               const std::function<void(Block key, std::uint64_t address)>& leaf);

/// A tree of version 2 whose records have this type: calls `record` with each.
void walk_records(File& file, std::uint64_t address, unsigned type, const std::function<void(Block record)>& record);

/// A fractal heap, in which groups of many links keep them.
class FractalHeap {
 public:
  FractalHeap(File& file, std::uint64_t address);

  std::size_t id_bytes() const { return id_bytes_; }
  /// The object of an id.
  Block object(Block id);

 private:
  Block object_in(std::uint64_t block, unsigned rows, std::uint64_t begin, std::uint64_t offset, std::uint64_t bytes,
                  int depth);
  std::uint64_t row_block_size(unsigned row) const { return row == 0 ? first_size_ : first_size_ << (row - 1); }

  File& file_;
  std::size_t id_bytes_;
  unsigned offset_bytes_ = 0;
  unsigned length_bytes_ = 0;
  unsigned width_ = 0;
  std::uint64_t first_size_ = 0;
  std::uint64_t most_direct_ = 0;
  std::uint64_t root_ = nowhere;
  unsigned root_rows_ = 0;
};

}  // namespace adjoin::hdf5
