// SPDX-License-Identifier: BSD-3-Clause
// Checks of every method, and the formulas of L2, L1 and the ball of errors.
#include "adjoin/optim/data_fidelity.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/fused.hpp"
#include "optim/elementwise.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

namespace {

// y in the dtype of u, in which every method works and gives its results.
at::Tensor matched(const DataFidelity& fidelity, const at::Tensor& u, const at::Tensor& y) {
  check(u.defined() && y.defined(), fidelity.name(), ": u and y must be tensors, got an undefined one");
  check(u.sizes() == y.sizes(), fidelity.name(), ": u must have the shape of y, ", y.sizes(), ", got ", u.sizes());
  if (u.scalar_type() == y.scalar_type() && u.is_floating_point()) [[likely]] {
    return y;
  }
  check(u.is_floating_point() || u.is_complex(), fidelity.name(),
        ": u must be a floating-point or complex tensor, got ", u.scalar_type());
  check(u.is_complex() || !y.is_complex(), fidelity.name(), ": y must be real where u is, got ", y.scalar_type());
  return y.to(u.scalar_type());
}

at::Tensor total(const at::Tensor& values) { return values.sum(at::kDouble); }

}  // namespace

// ---- Base --------------------------------------------------------------------------------------------------------

at::Tensor DataFidelity::fn(const at::Tensor& u, const at::Tensor& y) const { return fn_impl(u, matched(*this, u, y)); }

at::Tensor DataFidelity::grad(const at::Tensor& u, const at::Tensor& y) const {
  return grad_impl(u, matched(*this, u, y));
}

ValueAndGradient DataFidelity::fn_and_grad(const at::Tensor& u, const at::Tensor& y) const {
  const c10::NoGradGuard no_grad;
  return fn_and_grad_impl(u, matched(*this, u, y));
}

at::Tensor DataFidelity::prox(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  const at::Tensor own_y = matched(*this, u, y);
  check_step(name(), "gamma", gamma);
  return prox_impl(u, own_y, gamma);
}

at::Tensor DataFidelity::prox_conjugate(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  check_step(name(), "gamma", gamma);
  return at::sub(u, prox(u / gamma, y, 1.0 / gamma), gamma);
}

at::Tensor DataFidelity::grad_impl(const at::Tensor& /*u*/, const at::Tensor& /*y*/) const {
  throw InvalidArgument(name() + ": has no gradient, use its prox");
}

ValueAndGradient DataFidelity::fn_and_grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  return {.value = fn_impl(u, y).item<double>(), .grad = grad_impl(u, y)};
}

// ---- L2 ----------------------------------------------------------------------------------------------------------

L2::L2(double sigma) : sigma_(sigma), scale_(1.0 / (sigma * sigma)) {
  check_step("L2", "sigma", sigma);
  check(scale_ > 0.0 && std::isfinite(scale_), "L2: 1 / sigma² must be a number that a double holds, got sigma ",
        sigma);
}

L2::L2(const at::Tensor& sigma) : sigma_(std::numeric_limits<double>::quiet_NaN()), scale_(0.0) {
  const c10::NoGradGuard no_grad;
  check(sigma.defined() && sigma.is_floating_point(), "L2: sigma must be a number or a real tensor, got ",
        sigma.defined() ? c10::toString(sigma.scalar_type()) : "an undefined one");
  check(!is_differentiated(sigma), "L2: sigma must not require gradients or carry a tangent: fidelities are ",
        "differentiated with respect to images and measurements alone");
  check(sigma.numel() > 0 && (sigma > 0).all().item<bool>(), "L2: all entries of sigma must be positive");
  sigmas_ = sigma.clone();
  weights_ = sigmas_.to(at::kDouble).pow(-2.0);
  scale_ = weights_.max().item<double>();
  check(std::isfinite(scale_) && scale_ > 0.0, "L2: 1 / sigma² must be a number that a double holds, got ", scale_);
  weights_ = weights_.to(sigma.scalar_type());
}

Recipe L2::recipe() const {
  Params arguments;
  if (sigmas_.defined()) {
    arguments.set("sigma", sigmas_);
  } else {
    arguments.set("sigma", sigma_);
  }
  return {.maker = name(), .arguments = std::move(arguments)};
}

// The weights in the precision and on the device of u.
at::Tensor L2::weights_for(const at::Tensor& u) const {
  check(weights_fit(weights_, u), "L2: sigma must broadcast to the measurements, ", u.sizes(), ", got ",
        weights_.sizes());
  return adjoin::weights_for(weights_, u);
}

at::Tensor L2::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  return weights_.defined() ? squared_sum((u - y) * weights_for(u).sqrt()) * 0.5 : squared_sum(u - y) * (0.5 * scale_);
}

at::Tensor L2::grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  const at::Tensor residual = u - y;
  if (weights_.defined()) {
    return records_gradients(residual) ? residual * weights_for(u) : residual.mul_(weights_for(u));
  }
  return scale_ == 1.0 ? residual : residual * scale_;
}

ValueAndGradient L2::fn_and_grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  at::Tensor residual = u - y;
  if (weights_.defined()) {
    at::Tensor grad = residual * weights_for(u);
    return {.value = 0.5 * adjoin::dot(residual, grad)[0].real(), .grad = std::move(grad)};
  }
  const double value = 0.5 * scale_ * adjoin::squared_norm(residual)[0].real();
  if (scale_ != 1.0) {
    residual.mul_(scale_);
  }
  return {.value = value, .grad = std::move(residual)};
}

at::Tensor L2::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  if (weights_.defined()) {
    const at::Tensor kept = (1.0 + gamma * weights_for(u)).reciprocal();
    return u * kept + y * (1.0 - kept);
  }
  const double kept = 1.0 / (1.0 + gamma * scale_);
  return at::add(u * kept, y, 1.0 - kept);
}

// ---- L1 ----------------------------------------------------------------------------------------------------------

at::Tensor L1::fn_impl(const at::Tensor& u, const at::Tensor& y) const { return total(at::abs(u - y)); }

at::Tensor L1::grad_impl(const at::Tensor& u, const at::Tensor& y) const { return unit(u - y); }

at::Tensor L1::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  return u - shrink_to_ball(u - y, gamma);
}

// ---- IndicatorLInf -----------------------------------------------------------------------------------------------

IndicatorLInf::IndicatorLInf(double radius) : radius_(radius) {
  check(radius >= 0.0 && std::isfinite(radius), "IndicatorLInf: radius must be finite and at least 0, got ", radius);
}

at::Tensor IndicatorLInf::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  if (u.numel() == 0) {
    return indicator(0.0, u);
  }
  const at::Tensor size = (at::abs(u) + at::abs(y)).clamp_max(std::numeric_limits<float>::max());
  const at::Tensor distance = at::abs(u - y) - 8.0 * precision(u) * size;
  return indicator(distance.max().item<double>() - radius_, u);
}

at::Tensor IndicatorLInf::prox_impl(const at::Tensor& u, const at::Tensor& y, double /*gamma*/) const {
  return y + shrink_to_ball(u - y, radius_);
}

// ---- Huber -------------------------------------------------------------------------------------------------------

Huber::Huber(double delta) : delta_(delta) { check_step("Huber", "delta", delta); }

// With q = min(r, δ), both branches are q (r − q/2).
at::Tensor Huber::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  const at::Tensor r = at::abs(u - y).to(at::kDouble);
  const at::Tensor q = r.clamp_max(delta_);
  return total(q * (r - 0.5 * q));
}

at::Tensor Huber::grad_impl(const at::Tensor& u, const at::Tensor& y) const { return shrink_to_ball(u - y, delta_); }

at::Tensor Huber::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  // The residual r becomes r/(1 + γ) in the quadratic part, and loses γδ in modulus in the linear one.
  return u - shrink_to_ball((u - y) * (1.0 - 1.0 / (1.0 + gamma)), gamma * delta_);
}

}  // namespace adjoin
