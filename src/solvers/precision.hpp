// SPDX-License-Identifier: BSD-3-Clause
// Precision and range of the numbers that a vector holds.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <limits>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/core/vector_space.hpp"

namespace adjoin {

inline double precision(const at::Tensor& a) {
  switch (c10::toRealValueType(a.scalar_type())) {
    case at::kDouble:
      return std::numeric_limits<double>::epsilon();
    case at::kHalf:
      return static_cast<double>(std::numeric_limits<at::Half>::epsilon());
    case at::kBFloat16:
      return static_cast<double>(std::numeric_limits<at::BFloat16>::epsilon());
    default:
      return static_cast<double>(std::numeric_limits<float>::epsilon());
  }
}

/// The smallest positive number of the dtype that has all its digits.
inline double smallest_normal(const at::Tensor& a) {
  switch (c10::toRealValueType(a.scalar_type())) {
    case at::kDouble:
      return std::numeric_limits<double>::min();
    case at::kHalf:
      return static_cast<double>(std::numeric_limits<at::Half>::min());
    default:
      return static_cast<double>(std::numeric_limits<float>::min());
  }
}

/// The largest of the entries' own, and the coarsest of their precisions.
inline double smallest_normal(const TensorList& a) {
  double largest = std::numeric_limits<double>::min();
  for (const at::Tensor& entry : a) {
    largest = std::max(largest, smallest_normal(entry));
  }
  return largest;
}
inline double smallest_normal(const ShardedTensorList& a) { return smallest_normal(a.local); }
inline double precision(const TensorList& a) {
  double worst = std::numeric_limits<double>::epsilon();
  for (const at::Tensor& entry : a) {
    worst = std::max(worst, precision(entry));
  }
  return worst;
}
inline double precision(const ShardedTensorList& a) { return precision(a.local); }
inline double precision(const ShardedImage& a) { return precision(a.local); }
inline double smallest_normal(const ShardedImage& a) { return smallest_normal(a.local); }

}  // namespace adjoin
