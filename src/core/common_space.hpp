// SPDX-License-Identifier: BSD-3-Clause
// The space of measurements that two vectors have in common, and the items that a rank has of a vector.
#pragma once

#include <cstdint>

#include "adjoin/core/sharded_tensor_list.hpp"

namespace adjoin {

/// The space of a and b. Throws InvalidArgument, naming the operation, where they have different ones or none.
const MeasurementSpace& common_space(const char* operation, const ShardedTensorList& a, const ShardedTensorList& b);

/// Which of the items of a vector in this space its local tensors hold. Throws InvalidArgument for a number of items
/// that it does not have.
ItemShare own_items(const MeasurementSpace& space, std::int64_t items);

}  // namespace adjoin
