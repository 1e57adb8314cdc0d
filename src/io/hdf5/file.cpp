// SPDX-License-Identifier: BSD-3-Clause
// Reads within the bounds of the file, and its superblock, wherever that lies.
#include "io/hdf5/file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/hdf5/checksum.hpp"

namespace adjoin::hdf5 {

std::span<const std::uint8_t> Block::take(std::size_t count) {
  require(count <= left(), "is damaged: one of its structures is cut short");
  position_ += count;
  return std::span(bytes_).subspan(position_ - count, count);
}

std::uint64_t Block::number(unsigned bytes) {
  std::uint64_t value = 0;
  const auto taken = take(bytes);
  for (std::size_t i = bytes; i-- > 0;) {
    value = value << 8 | taken[i];
  }
  return value;
}

std::uint64_t Block::address() {
  const std::uint64_t value = number(address_bytes_);
  const bool all_ones = value == nowhere >> (64 - 8 * address_bytes_);
  return all_ones ? nowhere : value;
}

std::string Block::text() {
  const auto rest = std::span(bytes_).subspan(position_);
  const auto end = std::ranges::find(rest, 0);
  require(end != rest.end(), "is damaged: a name has no end");
  std::string value(rest.begin(), end);
  skip(value.size() + 1);
  return value;
}

bool Block::has_text(std::uint64_t place, std::string_view text) const {
  require(place < left(), "is damaged: one of its structures is cut short");
  const auto rest = std::span(bytes_).subspan(position_ + place);
  return rest.size() > text.size() && rest[text.size()] == 0 && std::memcmp(rest.data(), text.data(), text.size()) == 0;
}

void Block::signature(std::string_view expected) {
  const auto found = take(expected.size());
  require(std::ranges::equal(found, expected, {}, [](std::uint8_t byte) { return static_cast<char>(byte); }),
          "is damaged: a structure '", std::string(expected), "' is not where it should be");
}

Block Block::part(std::size_t count) {
  const auto taken = take(count);
  return {{taken.begin(), taken.end()}, address_bytes_, length_bytes_};
}

void Block::checksum() {
  const std::uint32_t right = hdf5::checksum(std::span(bytes_).first(position_));
  require(number(4) == right || !checksums_matter, "is damaged: a structure has a wrong checksum");
}

File::File(const std::filesystem::path& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  require(descriptor_ >= 0, "cannot be opened");
  try {
    size_ = std::filesystem::file_size(path);
    // The superblock may follow a block of the user's, whose size is a power of two from 512 on.
    constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
    for (std::uint64_t at = 0; at + 64 <= size_; at = std::max<std::uint64_t>(512, 2 * at)) {
      std::string begin(signature.size(), '\0');
      values(at, begin.data(), begin.size());
      if (begin == signature) {
        read_superblock(at);
        return;
      }
    }
    throw Fault("is no HDF5 file");
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

File::~File() { close(descriptor_); }

void File::read_superblock(std::uint64_t at) {
  Block block = structure(at, std::min<std::uint64_t>(128, size_ - at));
  block.skip(8);
  const unsigned version = block.byte();
  require(version <= 3, "is of a later version of HDF5, with a superblock of version ", version);
  const auto read_sizes = [&] {
    address_bytes_ = block.byte();
    length_bytes_ = block.byte();
    for (const unsigned bytes : {address_bytes_, length_bytes_}) {
      require(bytes == 2 || bytes == 4 || bytes == 8, "is damaged: its addresses have ", bytes, " bytes");
    }
  };
  if (version <= 1) {
    block.skip(4);
    read_sizes();
    block.skip(version == 0 ? 9 : 13);
  } else {
    read_sizes();
    block.skip(1);
  }
  const auto address = [&] { return block.number(address_bytes_); };
  base_ = address();
  require(base_ <= size_, "is damaged: it begins beyond its end");
  address();  // of free space, or of the superblock's extension
  address();  // of the end
  if (version <= 1) {
    address();  // of a driver's information
    address();  // the offset of the root's name
  }
  root_ = address();
  if (version >= 2) {
    block.checksum();
  }
}

bool File::holds(std::uint64_t address, std::uint64_t bytes) const {
  return address <= size_ - base_ && bytes <= size_ - base_ - address;
}

Block File::structure(std::uint64_t address, std::uint64_t bytes) {
  require(holds(address, bytes), "is damaged or cut short: a structure should lie at ", address, ", beyond its end");
  structures_ += bytes;
  require(structures_ <= 8 * size_ + 65536, "is damaged: its structures refer to each other in circles");
  std::vector<std::uint8_t> content(bytes);
  values(address, content.data(), bytes);
  return {std::move(content), address_bytes_, length_bytes_};
}

void File::values(std::uint64_t address, void* out, std::uint64_t bytes) const {
  require(holds(address, bytes), "is damaged or cut short: values should lie at ", address, ", beyond its end");
  for (std::uint64_t done = 0; done < bytes;) {
    const ssize_t count =
        pread(descriptor_, static_cast<char*>(out) + done, bytes - done, static_cast<off_t>(base_ + address + done));
    require(count > 0 || (count < 0 && errno == EINTR), "could not be read to its end");
    done += static_cast<std::uint64_t>(std::max<ssize_t>(count, 0));
  }
}

}  // namespace adjoin::hdf5
