// SPDX-License-Identifier: BSD-3-Clause
// The quality of an image beside the true one, in decibels.
#pragma once

#include <ATen/core/Tensor.h>

namespace adjoin {

/// Peak signal-to-noise ratio in decibels, 10 log10(peak² / mean |a − b|²); infinite for equal images. Throws
/// InvalidArgument unless a and b have one shape.
double psnr(const at::Tensor& a, const at::Tensor& b, double peak = 1.0);
/// The peak signal-to-noise ratio of images whose squared difference is `mean_square` in the mean, as psnr() has it.
double psnr_of(double mean_square, double peak);

}  // namespace adjoin
