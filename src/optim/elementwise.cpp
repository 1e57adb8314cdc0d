// SPDX-License-Identifier: BSD-3-Clause
// Soft thresholds, balls, boxes and unit vectors, by the modulus where numbers are complex.
#include "optim/elementwise.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/vector_space.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

at::Tensor soft_threshold(const at::Tensor& x, double threshold) {
  if (!x.is_complex()) {
    return at::softshrink(x, threshold);
  }
  const at::Tensor modulus = at::abs(x);
  return x * ((modulus - threshold).clamp_min(0.0) / modulus.clamp_min(smallest_normal(x)));
}

at::Tensor shrink_to_ball(const at::Tensor& x, double radius) {
  if (!x.is_complex()) {
    return at::clamp(x, -radius, radius);
  }
  return x * (radius / at::abs(x).clamp_min(smallest_normal(x))).clamp_max(1.0);
}

at::Tensor unit(const at::Tensor& x) {
  const at::Tensor sign = at::sgn(x);
  return x.is_complex() ? sign : sign.masked_fill_(x.isnan(), std::numeric_limits<double>::quiet_NaN());
}

at::Tensor squared_sum(const at::Tensor& x) {
  if (!records_gradients(x)) {
    return at::full({}, adjoin::squared_norm(x)[0].real(), x.options().dtype(at::kDouble));
  }
  return (x.is_complex() ? at::view_as_real(x.resolve_conj()) : x).to(at::kDouble).square().sum();
}

double excess_of_box(const at::Tensor& x, double lower, double upper) {
  if (x.numel() == 0) {
    return 0.0;
  }
  const auto [least, largest] = at::aminmax(x);
  const auto beyond = [](double distance) { return std::isnan(distance) ? distance : std::max(distance, 0.0); };
  const double low = least.item<double>();
  const double high = largest.item<double>();
  // An infinite bound that is met is no excess, though ∞ − ∞ is NaN.
  return (low >= lower ? 0.0 : beyond(lower - low)) + (high <= upper ? 0.0 : beyond(high - upper));
}

at::Tensor indicator(double excess, const at::Tensor& x) {
  const double value = excess > 0.0 ? std::numeric_limits<double>::infinity() : excess <= 0.0 ? 0.0 : excess;
  return at::full({}, value, x.options().dtype(at::kDouble).requires_grad(false));
}

}  // namespace adjoin
