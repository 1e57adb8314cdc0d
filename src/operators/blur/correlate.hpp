// SPDX-License-Identifier: BSD-3-Clause
// The direct form of a convolution of batches.
#pragma once

#include <ATen/core/Tensor.h>

namespace adjoin::blur {

/// y_i = Σ_m x_{i+m} w_m for every channel of every item: x (B, C, spatial), weights (b, c, spatial) with b 1 or B and
/// c 1 or C, of the precision of x. Differentiable, on any device.
at::Tensor correlate(const at::Tensor& x, const at::Tensor& weights);

}  // namespace adjoin::blur
