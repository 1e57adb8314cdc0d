// SPDX-License-Identifier: BSD-3-Clause
// The elementwise maps that fidelities and priors share, for real and complex tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <string>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"

namespace adjoin {

/// Throws InvalidArgument unless `value` is positive and finite.
inline void check_step(const std::string& owner, const char* argument, double value) {
  check(value > 0.0 && std::isfinite(value), owner, ": ", argument, " must be positive and finite, got ", value);
}

/// Throws InvalidArgument where autograd follows x, for a method, `owner`, that does not differentiate.
inline void refuse_gradients(const char* owner, const at::Tensor& x) {
  check(!records_gradients(x), owner,
        ": x must not require gradients or carry a tangent, since this method does not differentiate: call it under "
        "no_grad, or with x.detach()");
}

/// x with every modulus lessened by `threshold`, at most to zero: the prox of threshold · ‖·‖₁.
at::Tensor soft_threshold(const at::Tensor& x, double threshold);
/// x with every modulus brought down to at most `radius`: the projection on the l∞ ball.
at::Tensor shrink_to_ball(const at::Tensor& x, double radius);
/// x / |x|, 0 where x = 0, and NaN where x is.
at::Tensor unit(const at::Tensor& x);

/// ‖x‖² as a scalar tensor of dtype double, formed in double precision. Differentiable as often as asked.
at::Tensor squared_sum(const at::Tensor& x);

/// By how much the farthest entry of a real x lies outside the bounds, at most 0 within; NaN where x holds NaN.
double excess_of_box(const at::Tensor& x, double lower, double upper);

/// What an indicator is where its constraint is exceeded by `excess`, the largest of all entries: 0 for at most 0,
/// infinite above, NaN for NaN; a scalar tensor of dtype double on the device of x.
at::Tensor indicator(double excess, const at::Tensor& x);

}  // namespace adjoin
