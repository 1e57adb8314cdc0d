// SPDX-License-Identifier: BSD-3-Clause
// What a file claims to hold, checked before memory is taken for it.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "adjoin/core/errors.hpp"

namespace adjoin {

/// More axes than any format's own writers allow.
constexpr std::size_t most_axes = 64;
/// What deflate packs into one byte at most: 258 bytes in two bits.
constexpr std::int64_t most_inflated = 1032;

/// The bytes of an array, or nothing where no tensor can have these sizes: more than 64 axes, a negative one, or more
/// bytes than an int64 counts even when empty axes count as one entry.
inline std::optional<std::int64_t> claimed_bytes(c10::IntArrayRef sizes, c10::ScalarType dtype) {
  auto bytes = static_cast<std::int64_t>(c10::elementSize(dtype));
  bool empty = false;
  for (const std::int64_t size : sizes) {
    if (size < 0 || sizes.size() > most_axes ||
        __builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes)) {
      return {};
    }
    empty = empty || size == 0;
  }
  return empty ? 0 : bytes;
}

/// The length of a file in bytes. Throws InvalidArgument, naming `reader`, when there is no such file, or it is a
/// folder, a pipe or a device.
inline std::int64_t file_size(const char* reader, const std::filesystem::path& path) {
  std::error_code error;
  check(std::filesystem::is_regular_file(path, error), reader, ": cannot open ", path, ", which is no file");
  const auto size = std::filesystem::file_size(path, error);
  check(!error, reader, ": cannot open ", path, ": ", error.message());
  return static_cast<std::int64_t>(size);
}

}  // namespace adjoin
