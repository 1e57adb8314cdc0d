// SPDX-License-Identifier: BSD-3-Clause
// What transforms are compared by: ATen's, to the precision of their dtype.
#pragma once

#include <ATen/ATen.h>

namespace adjoin::fft {

/// The normalisation of ATen's transforms: none.
constexpr std::int64_t unnormalised = 0;

inline double tolerance_of(at::ScalarType dtype) { return at::toRealValueType(dtype) == at::kFloat ? 1e-5 : 1e-13; }

inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

}  // namespace adjoin::fft
