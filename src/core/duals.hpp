// SPDX-License-Identifier: BSD-3-Clause
// Lists of which some tensors carry tangents, in two.
#pragma once

#include <ATen/ATen.h>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

inline TensorList primals_of(const TensorList& list) {
  TensorList primals;
  for (const at::Tensor& entry : list) {
    primals.push_back(primal_of(entry));
  }
  return primals;
}

/// Zeros for what carries none.
inline TensorList tangents_of(const TensorList& list) {
  TensorList tangents;
  for (const at::Tensor& entry : list) {
    tangents.push_back(is_dual(entry) ? tangent_of(entry) : at::zeros_like(entry));
  }
  return tangents;
}

}  // namespace adjoin
