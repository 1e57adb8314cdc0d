// BART, the Berkeley advanced reconstruction toolbox, where it is installed: its command and its files.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin::example {

/// Runs "bart …"; whether it succeeded.
inline bool bart(const std::string& arguments) {
  return std::system(("bart " + arguments + " > /dev/null 2>&1").c_str()) == 0;  // NOLINT: the user's own command
}

/// The array in NAME.hdr and NAME.cfl, complex, with BART's dimensions in reverse, as the last runs fastest here:
/// (coil, z, y, x).
inline at::Tensor read_cfl(const std::filesystem::path& name) {
  std::ifstream header(name.string() + ".hdr");
  std::string line;
  std::getline(header, line);  // "# Dimensions"
  std::getline(header, line);
  std::istringstream words(line);
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 0; sizes.size() < 4 && words >> size;) {
    sizes.insert(sizes.begin(), size);
  }
  check(sizes.size() == 4, "read_cfl: ", name, " has no header");
  at::Tensor array = at::empty(sizes, at::kComplexFloat);
  std::ifstream data(name.string() + ".cfl", std::ios::binary);
  data.read(static_cast<char*>(array.mutable_data_ptr()), static_cast<std::streamsize>(array.nbytes()));
  check(data.good(), "read_cfl: ", name, " is cut off");
  return array;
}

/// Writes an array of shape (coil, z, y, x).
inline void write_cfl(const std::filesystem::path& name, const at::Tensor& array) {
  const at::Tensor values = array.to(at::kCPU, at::kComplexFloat).contiguous();
  std::ofstream header(name.string() + ".hdr");
  header << "# Dimensions\n";
  for (std::int64_t d = values.dim() - 1; d >= 0; --d) {
    header << values.size(d) << ' ';
  }
  header << '\n';
  std::ofstream data(name.string() + ".cfl", std::ios::binary);
  data.write(static_cast<const char*>(values.const_data_ptr()), static_cast<std::streamsize>(values.nbytes()));
}

}  // namespace adjoin::example
