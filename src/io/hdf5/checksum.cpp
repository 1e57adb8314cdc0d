// SPDX-License-Identifier: BSD-3-Clause
// Jenkins' lookup3 hash of a file's structures, and Fletcher's sum of a chunk.
#include "io/hdf5/checksum.hpp"

#include <array>
#include <bit>

namespace adjoin::hdf5 {

std::uint32_t checksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size());
  std::uint32_t b = a;
  std::uint32_t c = a;
  if (bytes.empty()) {
    return c;
  }
  const auto add_next = [&](std::size_t count) {
    std::array<std::uint32_t, 3> words{};
    for (std::size_t i = 0; i < count; ++i) {
      words[i / 4] |= std::uint32_t{bytes[i]} << (8 * (i % 4));
    }
    a += words[0];
    b += words[1];
    c += words[2];
    bytes = bytes.subspan(count);
  };
  const auto mix = [](std::uint32_t& x, std::uint32_t& y, std::uint32_t& z, int turn) {
    x -= z;
    x ^= std::rotl(z, turn);
    z += y;
  };
  while (bytes.size() > 12) {
    add_next(12);
    mix(a, b, c, 4);
    mix(b, c, a, 6);
    mix(c, a, b, 8);
    mix(a, b, c, 16);
    mix(b, c, a, 19);
    mix(c, a, b, 4);
  }
  add_next(bytes.size());
  const auto finish = [](std::uint32_t& x, std::uint32_t y, int turn) {
    x ^= y;
    x -= std::rotl(y, turn);
  };
  finish(c, b, 14);
  finish(a, c, 11);
  finish(b, a, 25);
  finish(c, b, 16);
  finish(a, c, 4);
  finish(b, a, 14);
  finish(c, b, 24);
  return c;
}

bool is_fletcher32(std::span<const std::uint8_t> bytes, std::uint32_t stored) {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const std::uint64_t low = i + 1 < bytes.size() ? bytes[i + 1] : 0;
    first = (first + (std::uint64_t{bytes[i]} << 8 | low)) % 65535;
    second = (second + first) % 65535;
  }
  // The library's sums may be 65535 where these are 0, and before version 1.6.3 it swapped the bytes of both.
  const auto are = [&](std::uint32_t a, std::uint32_t b) { return a % 65535 == first && b % 65535 == second; };
  const auto swapped = [](std::uint32_t sum) { return (sum & 0xFF) << 8 | sum >> 8; };
  const std::uint32_t low = stored & 0xFFFF;
  const std::uint32_t high = stored >> 16;
  return are(low, high) || are(swapped(low), swapped(high));
}

}  // namespace adjoin::hdf5
