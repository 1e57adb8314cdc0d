// SPDX-License-Identifier: BSD-3-Clause
// The checksums of HDF5.
#pragma once

#include <cstdint>
#include <span>

namespace adjoin::hdf5 {

/// Of structures: lookup3, by B. Jenkins (2006), with initial value 0.
std::uint32_t checksum(std::span<const std::uint8_t> bytes);

/// Whether a chunk's checksum is right: Fletcher's, of 16-bit words, the first byte the higher one.
bool is_fletcher32(std::span<const std::uint8_t> bytes, std::uint32_t stored);

}  // namespace adjoin::hdf5
