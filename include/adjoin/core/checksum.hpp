// SPDX-License-Identifier: BSD-3-Clause
// Numbers by which copies of one tensor are compared without sending them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace adjoin {

/// Of shape, dtype and every bit of the elements, whatever strides and device; equal for equal tensors, and hardly ever
/// for others. 0 for an undefined tensor.
std::uint64_t checksum(const at::Tensor& tensor);

/// A weighted sum of a few elements, spread over the tensor, of their sizes and, less, their signs: not below 0,
/// without cancellation, so that tensors which agree to a relative error ε in every element agree in it to 2 ε. Dense
/// tensors on the CPU; NaN where an element is, and for all others.
double sample_sum(const at::Tensor& tensor);

}  // namespace adjoin
