// Elementwise reductions of arrays in host memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>

#include "adjoin/comm/communicator.hpp"

namespace adjoin {

/// output[i] ← sources[0][begin + i] op sources[1][begin + i] op …, in this order, for `numel` elements of `dtype`.
/// `output` may be the same elements of one of the first two sources, and otherwise overlaps none. Half and bfloat16
/// are combined in single precision.
void reduce_arrays(at::ScalarType dtype, ReduceOp op, void* output, std::span<const void* const> sources,
                   std::size_t begin, std::size_t numel);

}  // namespace adjoin
