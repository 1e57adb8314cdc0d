// SPDX-License-Identifier: BSD-3-Clause
// PNG pictures of each colour type to begin with, with checksums that are mended after a change.
#include <ATen/ATen.h>
#include <png.h>
#include <zlib.h>

#include <array>
#include <cstdint>

#include "adjoin/io/image.hpp"
#include "target.hpp"

namespace adjoin::fuzz {

namespace {

const std::string signature = "\x89PNG\r\n\x1a\n";

std::string big_endian(std::uint32_t number) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) {
    bytes += static_cast<char>(number >> shift);
  }
  return bytes;
}

std::string checksum(const std::string& kind_and_data) {
  return big_endian(static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(kind_and_data.data()), static_cast<uInt>(kind_and_data.size()))));
}

std::string chunk(const std::string& kind, const std::string& data) {
  return big_endian(static_cast<std::uint32_t>(data.size())) + kind + data + checksum(kind + data);
}

std::string deflated(const std::string& data) {
  std::string bytes(compressBound(data.size()), '\0');
  uLongf length = bytes.size();
  compress(reinterpret_cast<Bytef*>(bytes.data()), &length, reinterpret_cast<const Bytef*>(data.data()), data.size());
  return bytes.substr(0, length);
}

/// A picture of libpng's colour type; `rows` are its filtered rows.
std::string picture(std::uint32_t width, std::uint32_t height, int depth, int colour, int interlaced,
                    const std::string& rows, const std::string& more = {}) {
  std::string head = big_endian(width) + big_endian(height);
  for (const int field : {depth, colour, 0, 0, interlaced}) {
    head += static_cast<char>(field);
  }
  return signature + chunk("IHDR", head) + more + chunk("IDAT", deflated(rows)) + chunk("IEND", {});
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> files;
  for (const std::int64_t channels : {1, 3}) {
    files.push_back(written([&](const auto& path) { write_png(path, at::rand({channels, 5, 7})); }));
  }
  const std::string rows(400, '\1');
  const std::string palette = chunk("PLTE", "abcdefghi") + chunk("tRNS", "xyz");
  for (const int depth : {1, 2, 4, 8}) {
    files.push_back(picture(5, 6, depth, PNG_COLOR_TYPE_PALETTE, 0, std::string(200, '\0'), palette));
    files.push_back(picture(9, 4, depth, PNG_COLOR_TYPE_GRAY, 1, rows, chunk("tRNS", std::string(2, '\0'))));
  }
  for (const int colour : {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGBA}) {
    files.push_back(picture(4, 5, 16, colour, 0, rows, chunk("gAMA", big_endian(45455))));
    files.push_back(picture(4, 5, 8, colour, 1, rows, chunk("tEXt", std::string("Title\0x", 7))));
  }
  // Pixels that the files do not hold.
  files.push_back(picture(65535, 65535, 8, PNG_COLOR_TYPE_RGB, 0, {}));
  files.push_back(picture(16384, 16384, 8, PNG_COLOR_TYPE_RGB, 0, {}));
  files.push_back(picture(1'000'000, 1'000'000, 1, PNG_COLOR_TYPE_GRAY, 1, {}));
  files.push_back(picture(1000, 90, 1, PNG_COLOR_TYPE_GRAY, 0, std::string(100, '\0')));
  files.push_back(picture(16000, 30, 8, PNG_COLOR_TYPE_RGB, 0, {}, chunk("tEXt", std::string(2000, 'x'))));
  return files;
}

void load(const std::filesystem::path& path) { read_png(path); }

void repair(std::string& bytes) {
  for (std::size_t at = signature.size(); at + 12 <= bytes.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      length = length * 256 + static_cast<unsigned char>(bytes[at + i]);
    }
    if (length > bytes.size() - at - 12) {
      return;
    }
    bytes.replace(at + 8 + length, 4, checksum(bytes.substr(at + 4, length + 4)));
    at += length + 12;
  }
}

}  // namespace adjoin::fuzz
