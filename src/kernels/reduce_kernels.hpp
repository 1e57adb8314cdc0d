// SPDX-License-Identifier: BSD-3-Clause
// Elementwise reductions and copies of arrays in host memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "adjoin/core/reduce_op.hpp"

namespace adjoin {

/// How results are written: through the caches, or past them. The second spares fetching what is overwritten, but the
/// result is not in the caches when it is read. It asks for an address that a cache line begins at; others are written
/// through the caches.
enum class Store : std::uint8_t { cached, streamed };

/// output[i] ← sources[0][i] op sources[1][i] op …, in this order, for `numel` elements of `dtype`. `output` may be one
/// of the sources, and otherwise overlaps none. Half and bfloat16 are combined in single precision. Minima and maxima
/// among which is NaN are NaN.
void reduce_arrays(at::ScalarType dtype, ReduceOp op, void* output, std::span<const void* const> sources,
                   std::size_t numel, Store store = Store::cached);

/// Copies `bytes` bytes between places that do not overlap.
void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes, Store store = Store::cached);

}  // namespace adjoin
