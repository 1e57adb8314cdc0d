// SPDX-License-Identifier: BSD-3-Clause
// The peak signal-to-noise ratio in decibels.
#include "adjoin/core/psnr.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"

namespace adjoin {

double psnr(const at::Tensor& a, const at::Tensor& b, double peak) {
  check(a.sizes() == b.sizes(), "psnr: images must have one shape, got ", a.sizes(), " and ", b.sizes());
  return psnr_of(adjoin::squared_norm(a - b)[0].real() / static_cast<double>(a.numel()), peak);
}

double psnr_of(double mean_square, double peak) {
  return mean_square == 0.0 ? std::numeric_limits<double>::infinity() : 10.0 * std::log10(peak * peak / mean_square);
}

}  // namespace adjoin
