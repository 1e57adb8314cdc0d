// SPDX-License-Identifier: BSD-3-Clause
// The entries of an HDF5 dataset of records.
#pragma once

#include <cstdint>
#include <functional>

#include "io/hdf5/dataset.hpp"

namespace adjoin::hdf5 {

/// Calls `visit` with each entry of a dataset of one axis, or of none, in the order of the file. Throws Fault where the
/// dataset claims more than the file holds.
void for_each_record(File& file, const Dataset& data,
                     const std::function<void(std::uint64_t index, const std::uint8_t* entry)>& visit);

}  // namespace adjoin::hdf5
