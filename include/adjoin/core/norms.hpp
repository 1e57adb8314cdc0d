// SPDX-License-Identifier: BSD-3-Clause
// Norms of vectors whose squares overflow or underflow.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// One real number an item.
using Reals = std::vector<double>;

/// ‖a‖ of each item (see vector_space.hpp), also where its square is more or less than a double holds. Of a
/// ShardedTensorList by one small reduction, or two where squares do not do.
Reals norms(const at::Tensor& a, std::int64_t items = 1);
Reals norms(const TensorList& a, std::int64_t items = 1);
Reals norms(const ShardedTensorList& a, std::int64_t items = 1);

}  // namespace adjoin
