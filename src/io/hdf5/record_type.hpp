// SPDX-License-Identifier: BSD-3-Clause
// Entries of HDF5 datasets that have several members: compounds, in one another, of numbers, arrays, and lists and
// texts of varying length.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/hdf5/number_type.hpp"

namespace adjoin::hdf5 {

struct Member {
  /// With the names of the compounds around it: "head.idx.slice". Empty where entries are no compounds.
  std::string name;
  /// In the entry.
  std::uint64_t offset = 0;
  /// Of its numbers; texts have characters of 8 bits.
  NumberType type;
  /// How many numbers there are, unless their number varies from entry to entry: then they lie in the global heap.
  std::uint64_t count = 1;
  bool varies = false;
};

struct RecordType {
  /// Of an entry.
  std::uint64_t bytes = 0;
  std::vector<Member> members;

  /// Throws Fault where there is none of this name.
  const Member& member(std::string_view name) const;
};

/// Of a datatype message. Throws Fault for members of other types.
RecordType read_record_type(Block message);

}  // namespace adjoin::hdf5
