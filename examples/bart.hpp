// SPDX-License-Identifier: BSD-3-Clause
// BART, the Berkeley advanced reconstruction toolbox, where it is installed: its command and its files.
#pragma once

#include <ATen/ATen.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "adjoin/io/cfl.hpp"

namespace adjoin::example {

/// Runs "bart …"; whether it succeeded.
inline bool bart(const std::string& arguments) {
  return std::system(("bart " + arguments + " > /dev/null 2>&1").c_str()) == 0;  // NOLINT: the user's own command
}

/// The array of BART's files, with its axes in reverse: (coil, z, y, x).
inline at::Tensor read_reversed(const std::filesystem::path& name) {
  at::Tensor array = read_cfl(name);
  while (array.dim() < 4) {
    array = array.unsqueeze(-1);
  }
  return array.permute({3, 2, 1, 0});
}

/// Writes (coil, z, y, x) for BART.
inline void write_reversed(const std::filesystem::path& name, const at::Tensor& array) {
  write_cfl(name, array.permute({3, 2, 1, 0}));
}

}  // namespace adjoin::example
