// The space of measurements that two vectors have in common.
#pragma once

#include "adjoin/core/sharded_tensor_list.hpp"

namespace adjoin {

/// The space of a and b. Throws InvalidArgument, naming the operation, where they have different ones or none.
const MeasurementSpace& common_space(const char* operation, const ShardedTensorList& a, const ShardedTensorList& b);

}  // namespace adjoin
