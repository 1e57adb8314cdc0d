// The elementwise maps that fidelities and priors share, for real and complex tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <string>

#include "adjoin/core/errors.hpp"

namespace adjoin {

/// Throws InvalidArgument unless `value` is positive and finite.
inline void check_step(const std::string& owner, const char* argument, double value) {
  check(value > 0.0 && std::isfinite(value), owner, ": ", argument, " must be positive and finite, got ", value);
}

/// x with every modulus lessened by `threshold`, at most to zero: the prox of threshold · ‖·‖₁.
at::Tensor soft_threshold(const at::Tensor& x, double threshold);
/// x with every modulus brought down to at most `radius`: the projection on the l∞ ball.
at::Tensor shrink_to_ball(const at::Tensor& x, double radius);

}  // namespace adjoin
