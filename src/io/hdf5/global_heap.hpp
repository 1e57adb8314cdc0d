// SPDX-License-Identifier: BSD-3-Clause
// The lists and texts of varying length of an HDF5 file.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "io/hdf5/file.hpp"

namespace adjoin::hdf5 {

/// Where a list lies in the file, and how many elements it has.
struct List {
  std::uint64_t address = 0;
  std::uint64_t count = 0;
};

class GlobalHeap {
 public:
  explicit GlobalHeap(File& file) : file_(file) {}

  /// Bytes of a reference to a list, in an entry.
  std::size_t reference_bytes() const { return 8 + file_.address_bytes(); }
  /// The list of elements of so many bytes that an entry refers to. Throws Fault where the heap holds fewer.
  List find(const std::uint8_t* reference, std::uint64_t element_bytes);

 private:
  struct Object {
    std::uint64_t index;
    std::uint64_t address;
    std::uint64_t bytes;
  };

  const std::vector<Object>& collection(std::uint64_t address);

  File& file_;
  std::unordered_map<std::uint64_t, std::vector<Object>> collections_;
};

}  // namespace adjoin::hdf5
