// SPDX-License-Identifier: BSD-3-Clause
// Images of which only the layout matters.
#pragma once

#include <ATen/ATen.h>

namespace adjoin {

/// A tensor of these sizes with the memory of one element.
inline at::Tensor shape_of_image(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::zeros({1}, options.requires_grad(false)).expand(sizes);
}

}  // namespace adjoin
