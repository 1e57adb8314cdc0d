#include "optim/elementwise.hpp"

#include <ATen/ATen.h>

#include <limits>

namespace adjoin {

at::Tensor soft_threshold(const at::Tensor& x, double threshold) {
  if (!x.is_complex()) {
    return at::softshrink(x, threshold);
  }
  const at::Tensor modulus = at::abs(x);
  return x * ((modulus - threshold).clamp_min(0.0) / modulus.clamp_min(std::numeric_limits<float>::min()));
}

at::Tensor shrink_to_ball(const at::Tensor& x, double radius) {
  if (!x.is_complex()) {
    return at::clamp(x, -radius, radius);
  }
  return x * (radius / at::abs(x).clamp_min(std::numeric_limits<float>::min())).clamp_max(1.0);
}

}  // namespace adjoin
