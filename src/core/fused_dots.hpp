// SPDX-License-Identifier: BSD-3-Clause
// Several inner products in one pass over memory.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/complex.h>

#include <span>

#include "adjoin/core/vector_space.hpp"

namespace adjoin {

/// Adds ⟨a, b⟩ of each pair, of tensors of one shape, to `sums`.
void add_fused_dots(std::span<const VectorPair<at::Tensor>> pairs, std::span<c10::complex<double>> sums);

}  // namespace adjoin
