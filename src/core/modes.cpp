// SPDX-License-Identifier: BSD-3-Clause
// Half precision brought to single where torch computes too coarsely in it.
#include "adjoin/core/modes.hpp"

#include <ATen/ATen.h>

namespace adjoin {

at::Tensor at_least_single(const at::Tensor& tensor) {
  const bool half = tensor.defined() && (tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16);
  return half ? tensor.to(at::kFloat) : tensor;
}

TensorList at_least_single(const TensorList& tensors) {
  TensorList result = tensors;
  for (at::Tensor& tensor : result) {
    tensor = at_least_single(tensor);
  }
  return result;
}

}  // namespace adjoin
