// SPDX-License-Identifier: BSD-3-Clause
// NumPy files of each version and type to begin with.
#include "adjoin/io/npy.hpp"

#include <ATen/ATen.h>

#include "target.hpp"

namespace adjoin::fuzz {

namespace {

/// A file with this header, of version 1, or 2 where it is long.
std::string with_header(std::string header, const std::string& data) {
  header += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += header.size() < 65536 ? std::string("\1\0", 2) : std::string("\2\0", 2);
  for (std::size_t i = 0; i < (header.size() < 65536 ? 2U : 4U); ++i) {
    bytes += static_cast<char>(header.size() >> (8 * i));
  }
  return bytes + header + data;
}

std::string of_type(const std::string& type, const std::string& shape, const std::string& data,
                    const char* fortran = "False") {
  return with_header("{'descr': '" + type + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }", data);
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> files;
  for (const auto dtype : {at::kBool, at::kByte, at::kShort, at::kFloat, at::kComplexDouble}) {
    files.push_back(written([&](const auto& path) { write_npy(path, at::arange(6).reshape({2, 3}).to(dtype)); }));
  }
  const std::string data(48, '\x81');
  for (const char* type : {"<u2", ">u2", ">u4", ">i8", ">f4", "=f2"}) {
    files.push_back(of_type(type, "(2, 3)", data.substr(0, 6 * static_cast<std::size_t>(type[2] - '0'))));
  }
  files.push_back(of_type(">c16", "(3,)", data, "True"));
  files.push_back(of_type("<u8", "(3, 2)", data, "True"));
  files.push_back(of_type("|b1", "(6, 8)", data));
  files.push_back(of_type("|O", "(6,)", data));
  files.push_back(of_type("<f8", "()", data.substr(0, 8)));
  // Claims that have no tensor, or none of this size.
  std::string axes;
  for (int i = 0; i < 300'000; ++i) {
    axes += "1,";
  }
  files.push_back(of_type("|u1", "(" + axes + ")", "x"));
  files.push_back(of_type("<f4", "(4611686018427387904, 4)", data));
  files.push_back(of_type("<f4", "(0, 4611686018427387904, 4611686018427387904)", ""));
  files.push_back(of_type("<f4", "(9223372036854775807,)", ""));
  files.push_back(std::string("\x93NUMPY\2\0\xFF\xFF\xFF\xFF{", 13));
  return files;
}

void load(const std::filesystem::path& path) { read_npy(path); }

void repair(std::string& /*bytes*/) {}

}  // namespace adjoin::fuzz
