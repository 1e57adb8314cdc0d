// SPDX-License-Identifier: BSD-3-Clause
// BART files to begin with, header and numbers joined.
#include "adjoin/io/cfl.hpp"

#include <ATen/ATen.h>

#include "target.hpp"

namespace adjoin::fuzz {

namespace {

// A header and the data are one file here, with a zero byte between them.
std::string both(const std::string& header, const std::string& data) { return header + '\0' + data; }

}  // namespace

std::vector<std::string> seeds() {
  const std::string data(48, '\x81');
  return {both("# Dimensions\n3 2 1 1 1 1 1 1 1 1 1 1 1 1 1 1 \n", data),
          both("# Dimensions\n6\n# Command\nphantom -k\n", data),
          both("# Creator\nBART\n# Dimensions\n1 6 ", data),
          both("# Dimensions\n4611686018427387904 4\n", data),
          both("# Dimensions\n0 9223372036854775807\n", ""),
          both("# Dimensions\n9223372036854775807\n", ""),
          both("# Dimensions\n-6 -1\n", data)};
}

void load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const std::size_t middle = std::min(bytes.find('\0'), bytes.size());
  std::filesystem::path part = path;
  std::ofstream(part += ".hdr", std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(middle));
  const std::size_t start = std::min(middle + 1, bytes.size());
  std::ofstream(path.string() + ".cfl", std::ios::binary)
      .write(bytes.data() + start, static_cast<std::streamsize>(bytes.size() - start));
  read_cfl(path.string() + ".cfl");
}

void repair(std::string& /*bytes*/) {}

}  // namespace adjoin::fuzz
