// Gradients in the space of what they are gradients of.
#pragma once

#include <ATen/ATen.h>

namespace adjoin {

/// A gradient with respect to a real tensor is real.
inline at::Tensor like_input(const at::Tensor& gradient, bool is_real) {
  return is_real && gradient.is_complex() ? at::real(gradient) : gradient;
}

}  // namespace adjoin
