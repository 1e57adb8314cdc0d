// SPDX-License-Identifier: BSD-3-Clause
// The bytes of an HDF5 file, every one of which is checked before it is believed. The structures are those of the "HDF5
// File Format Specification", version 3.0.
#pragma once

#include <c10/util/StringUtil.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace adjoin::hdf5 {

/// What is wrong with a file or what is asked of it, after its name.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Parts>
void require(bool condition, const Parts&... what) {
  if (!condition) [[unlikely]] {
    throw Fault(c10::str(what...));
  }
}

/// The address of what is nowhere.
constexpr std::uint64_t nowhere = ~std::uint64_t{0};

/// Bytes of the file, read from front to back. Reading beyond their end throws Fault.
class Block {
 public:
  Block(std::vector<std::uint8_t> bytes, unsigned address_bytes, unsigned length_bytes)
      : bytes_(std::move(bytes)), address_bytes_(address_bytes), length_bytes_(length_bytes) {}

  std::size_t left() const { return bytes_.size() - position_; }
  std::size_t position() const { return position_; }
  std::span<const std::uint8_t> take(std::size_t count);
  void skip(std::size_t count) { take(count); }
  /// A little-endian number of up to 8 bytes.
  std::uint64_t number(unsigned bytes);
  std::uint8_t byte() { return static_cast<std::uint8_t>(number(1)); }
  /// `nowhere` where the file says so.
  std::uint64_t address();
  std::uint64_t length() { return number(length_bytes_); }
  unsigned length_bytes() const { return length_bytes_; }
  /// Up to the next zero, which is taken, too.
  std::string text();
  /// Whether this text lies at a place further on, with a zero behind it.
  bool has_text(std::uint64_t place, std::string_view text) const;
  /// Throws unless these characters come next.
  void signature(std::string_view expected);
  /// The next bytes as a block of their own.
  Block part(std::size_t count);
  /// Throws unless the four bytes that follow are the checksum of all before.
  void checksum();

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t position_ = 0;
  unsigned address_bytes_;
  unsigned length_bytes_;
};

/// Whether damaged checksums are faults. Fuzzers turn it off, to see what comes after them.
inline bool checksums_matter = true;

/// An open file.
class File {
 public:
  /// Throws Fault when there is no HDF5 file.
  explicit File(const std::filesystem::path& path);
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  std::uint64_t size() const { return size_; }
  unsigned address_bytes() const { return address_bytes_; }
  unsigned length_bytes() const { return length_bytes_; }
  /// The address of the root group's object header.
  std::uint64_t root() const { return root_; }
  /// Whether so many bytes lie at an address.
  bool holds(std::uint64_t address, std::uint64_t bytes) const;
  /// A structure. Throws Fault when it is not in the file, and when structures amount to more than eight times the
  /// file, as they do where they refer to each other in circles.
  Block structure(std::uint64_t address, std::uint64_t bytes);
  /// Before structures are read once more.
  void count_structures_anew() { structures_ = 0; }
  /// Values, into memory for so many bytes. Throws Fault when they are not in the file.
  void values(std::uint64_t address, void* out, std::uint64_t bytes) const;

 private:
  void read_superblock(std::uint64_t at);

  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t base_ = 0;
  std::uint64_t root_ = nowhere;
  std::uint64_t structures_ = 0;
  unsigned address_bytes_ = 8;
  unsigned length_bytes_ = 8;
};

}  // namespace adjoin::hdf5
