// SPDX-License-Identifier: BSD-3-Clause
// What the header of an ISMRMRD file says of its images.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace adjoin::mrd {

/// Of k-space, or of the scanner's own images.
struct Space {
  std::array<std::int64_t, 3> size = {};     // (D, H, W)
  std::array<double, 3> field_of_view = {};  // millimetres
};

struct Encoding {
  std::string trajectory;
  Space encoded;
  Space shown;
  /// Numbers of the steps of phase encoding (D, H) at the origin of k-space.
  std::array<std::int64_t, 2> centre = {};
};

/// Throws hdf5::Fault where it is no such header.
std::vector<Encoding> read_header(const std::string& xml);

}  // namespace adjoin::mrd
