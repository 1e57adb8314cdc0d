// SPDX-License-Identifier: BSD-3-Clause
// The names in an HDF5 file.
#pragma once

#include <cstdint>
#include <string>

#include "io/hdf5/file.hpp"

namespace adjoin::hdf5 {

/// The address of the object header that a path such as "/scan/data" leads to, through soft links, too. Throws Fault
/// where there is none, and where a link leads to another file.
std::uint64_t find_object(File& file, const std::string& path);

}  // namespace adjoin::hdf5
