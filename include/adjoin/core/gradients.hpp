// SPDX-License-Identifier: BSD-3-Clause
// Whether autograd is watching.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_make_dual.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// Whether autograd knows anything of the tensor: most tensors are told apart by this, at the price of a comparison.
inline bool has_history(const at::Tensor& tensor) {
  return tensor.defined() && tensor.unsafeGetTensorImpl()->autograd_meta() != nullptr;
}

/// Whether the tensor carries a tangent, for derivatives in forward mode.
inline bool is_dual(const at::Tensor& tensor) {
  return has_history(tensor) && tensor.unsafeGetTensorImpl()->_fw_grad(/*level=*/0, tensor).defined();
}
/// Of a dual tensor the value and the tangent; and such a tensor.
inline at::Tensor primal_of(const at::Tensor& dual) { return is_dual(dual) ? dual._fw_primal(0) : dual; }
inline at::Tensor tangent_of(const at::Tensor& dual) { return dual._fw_grad(0); }
inline at::Tensor with_tangent(const at::Tensor& primal, const at::Tensor& tangent) {
  return at::_make_dual(primal, tangent, 0);
}

/// Whether derivatives with respect to the tensor are asked for, backwards or forwards, recorded now or later.
inline bool is_differentiated(const at::Tensor& tensor) {
  return has_history(tensor) && (tensor.requires_grad() || is_dual(tensor));
}

/// Whether autograd follows operations on the tensor, backwards or forwards, or on any tensor of the list.
inline bool records_gradients(const at::Tensor& tensor) {
  return has_history(tensor) && ((tensor.requires_grad() && c10::GradMode::is_enabled()) || is_dual(tensor));
}
inline bool records_gradients(const TensorList& tensors) {
  return std::ranges::any_of(tensors, [](const at::Tensor& t) { return records_gradients(t); });
}

}  // namespace adjoin
