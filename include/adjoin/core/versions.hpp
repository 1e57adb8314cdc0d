// SPDX-License-Identifier: BSD-3-Clause
// Tensors that something is derived from, and how often they have changed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace adjoin {

/// How often the memory of `tensor`, which is no inference tensor, was changed in place by operations of torch. Changes
/// that torch does not count (through `.data`, or through an array of another library that shares the memory) are not
/// seen.
inline std::int64_t version_of(const at::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->version_counter().current_version();
}

/// To be told of a change that torch has not made: autograd, and what is derived from the tensor, notice it then.
inline void count_change(const at::Tensor& tensor) {
  if (!tensor.is_inference()) {
    tensor.unsafeGetTensorImpl()->bump_version();
  }
}

/// `tensor`, to be kept and watched: with the memory and the version of the argument, which is cut off from autograd
/// unless it requires gradients or carries a tangent. Changes of inference tensors are not counted, so these are
/// copied.
at::Tensor watched(const at::Tensor& tensor);

}  // namespace adjoin
