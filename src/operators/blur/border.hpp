// SPDX-License-Identifier: BSD-3-Clause
// The border that a convolution finds beyond an image, and its adjoint.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>

#include "adjoin/operators/blur/blur.hpp"

namespace adjoin::blur {

/// x with a border around its trailing axes: that of `padding`, or zeros.
at::Tensor pad(const at::Tensor& x, at::IntArrayRef before, at::IntArrayRef after, Padding padding = Padding::Constant);
/// The adjoint of padding one axis: what lies in the border is added to where it was taken from. Overwrites z.
at::Tensor fold(const at::Tensor& z, std::int64_t axis, std::int64_t before, std::int64_t after, Padding padding);

}  // namespace adjoin::blur
