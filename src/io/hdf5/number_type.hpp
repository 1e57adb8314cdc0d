// SPDX-License-Identifier: BSD-3-Clause
// Numbers of HDF5 files as numbers of tensors.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>

#include "io/hdf5/file.hpp"

namespace adjoin::hdf5 {

/// How the numbers of a dataset are stored, and what they become.
struct NumberType {
  enum class Kind : std::uint8_t { Integer, Float, Half, BrainFloat, Truth };

  Kind kind = Kind::Integer;
  c10::ScalarType dtype = c10::kFloat;
  unsigned bytes = 0;  // of a number; a complex one has two
  bool big_endian = false;
  bool is_signed = false;
  unsigned first_bit = 0;  // of an integer, and how many it has
  unsigned bits = 0;

  bool is_complex() const { return c10::isComplexType(dtype); }
  /// Bytes of an entry in the file.
  std::uint64_t entry_bytes() const { return is_complex() ? 2 * bytes : bytes; }
  /// Whether the file's bytes are the tensor's.
  bool is_native() const;
};

/// What every datatype begins with.
struct TypeHeader {
  unsigned kind;
  unsigned version;
  std::uint64_t fields;
  std::uint64_t bytes;
};

/// The header of the datatype that comes next. Throws Fault for a version that is not known.
TypeHeader read_type_header(Block& message);
/// The name of a member or a value, which is padded to 8 bytes before version 3.
std::string read_name(Block& message, unsigned version);
/// The rest of an integer or a floating-point number, whose kinds are 0 and 1. Throws Fault for another type.
NumberType read_number(const TypeHeader& header, Block& message);

/// Of a datatype message. Throws Fault for a type that no tensor has.
NumberType read_number_type(Block message);

/// Writes `entries` numbers of the file as those of a tensor. Throws Fault for one that an int64 does not hold.
void convert(const NumberType& type, const std::uint8_t* in, std::uint64_t entries, void* out);

}  // namespace adjoin::hdf5
