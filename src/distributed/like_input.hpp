// SPDX-License-Identifier: BSD-3-Clause
// Gradients in the space of what they are gradients of.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// A gradient with respect to a real tensor is real.
inline at::Tensor like_input(const at::Tensor& gradient, bool is_real) {
  return is_real && gradient.is_complex() ? at::real(gradient) : gradient;
}

/// Which of the tensors are real.
inline std::vector<bool> which_are_real(const TensorList& list) {
  std::vector<bool> real;
  for (const at::Tensor& entry : list) {
    real.push_back(!entry.is_complex());
  }
  return real;
}

/// The gradients, times `weight`, with respect to tensors of which some are real.
inline TensorList like_inputs(TensorList gradients, double weight, const std::vector<bool>& are_real) {
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    gradients[i] = like_input(weight == 1.0 ? gradients[i] : gradients[i] * weight, are_real[i]);
  }
  return gradients;
}

}  // namespace adjoin
