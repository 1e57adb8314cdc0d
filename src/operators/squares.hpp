// SPDX-License-Identifier: BSD-3-Clause
// Normal operators by factors that are computed once, such as |H|² of a blur or MᵀM of a matrix.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <limits>

namespace adjoin {

/// Whether the largest of such factors is far enough from the ends of its dtype's range for all that count to keep
/// their digits. The squares of an operator of 10⁻³⁰ are zero in single precision: A and then Aᵀ, which go in two
/// steps, give the right image all the same.
inline bool keep_digits(double largest, at::ScalarType dtype) {
  const bool single = c10::toRealValueType(dtype) == at::kFloat;
  return largest > (single ? 0x1p-100 : 0x1p-900) && largest < (single ? 0x1p100 : 0x1p900);
}
inline bool keep_digits(const at::Tensor& squares) {
  // The largest size, without an array of sizes.
  const at::Tensor largest = at::linalg_vector_norm(squares.detach(), std::numeric_limits<double>::infinity());
  return keep_digits(largest.item<double>(), squares.scalar_type());
}

}  // namespace adjoin
