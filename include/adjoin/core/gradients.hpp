// Whether autograd is watching.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// Whether autograd records operations on the tensor, or on any tensor of the list.
inline bool records_gradients(const at::Tensor& tensor) {
  return tensor.defined() && tensor.requires_grad() && c10::GradMode::is_enabled();
}
inline bool records_gradients(const TensorList& tensors) {
  return c10::GradMode::is_enabled() &&
         std::ranges::any_of(tensors, [](const at::Tensor& t) { return t.defined() && t.requires_grad(); });
}

}  // namespace adjoin
