#include "adjoin/optim/data_fidelity.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "optim/elementwise.hpp"

namespace adjoin {

namespace {

void check_pair(const DataFidelity& fidelity, const at::Tensor& u, const at::Tensor& y) {
  check(u.defined() && y.defined(), fidelity.name(), ": u and y must be tensors, got an undefined one");
  check(u.sizes() == y.sizes(), fidelity.name(), ": u must have the shape of y, ", y.sizes(), ", got ", u.sizes());
}

void check_real(const DataFidelity& fidelity, const at::Tensor& u, const at::Tensor& y) {
  check(!u.is_complex() && !y.is_complex(), fidelity.name(), ": u and y must be real, got ", u.scalar_type(), " and ",
        y.scalar_type());
}

at::Tensor total(const at::Tensor& values) { return values.sum(at::kDouble); }

}  // namespace

// ---- Base --------------------------------------------------------------------------------------------------------

at::Tensor DataFidelity::fn(const at::Tensor& u, const at::Tensor& y) const {
  check_pair(*this, u, y);
  return fn_impl(u, y);
}

at::Tensor DataFidelity::grad(const at::Tensor& u, const at::Tensor& y) const {
  check_pair(*this, u, y);
  return grad_impl(u, y);
}

ValueAndGradient DataFidelity::fn_and_grad(const at::Tensor& u, const at::Tensor& y) const {
  check_pair(*this, u, y);
  const c10::NoGradGuard no_grad;
  return fn_and_grad_impl(u, y);
}

at::Tensor DataFidelity::prox(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  check_pair(*this, u, y);
  check_step(name(), "gamma", gamma);
  return prox_impl(u, y, gamma);
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

L2::L2(double sigma) : sigma_(sigma), scale_(1.0 / (sigma * sigma)) { check_step("L2", "sigma", sigma); }

at::Tensor L2::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  const at::Tensor residual = u - y;
  const at::Tensor flat = residual.is_complex() ? at::view_as_real(residual.resolve_conj()) : residual;
  return total(flat.square()) * (0.5 * scale_);
}

at::Tensor L2::grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  const at::Tensor residual = u - y;
  return scale_ == 1.0 ? residual : residual * scale_;
}

ValueAndGradient L2::fn_and_grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  at::Tensor residual = u - y;
  const double value = 0.5 * scale_ * adjoin::squared_norm(residual)[0].real();
  if (scale_ != 1.0) {
    residual.mul_(scale_);
  }
  return {.value = value, .grad = std::move(residual)};
}

at::Tensor L2::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  const double weight = gamma * scale_ / (1.0 + gamma * scale_);
  return at::lerp(u, y.to(u.scalar_type()), weight);
}

// ---- L1 ----------------------------------------------------------------------------------------------------------

at::Tensor L1::fn_impl(const at::Tensor& u, const at::Tensor& y) const { return total(at::abs(u - y)); }

at::Tensor L1::grad_impl(const at::Tensor& u, const at::Tensor& y) const { return at::sgn(u - y); }

at::Tensor L1::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  return soft_threshold(u - y, gamma) + y;
}

// ---- IndicatorLInf -----------------------------------------------------------------------------------------------

IndicatorLInf::IndicatorLInf(double radius) : radius_(radius) {
  check(radius >= 0.0 && std::isfinite(radius), "IndicatorLInf: radius must be finite and at least 0, got ", radius);
}

at::Tensor IndicatorLInf::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  const double round_off = u.scalar_type() == at::kDouble || u.scalar_type() == at::kComplexDouble ? 1e-15 : 1e-6;
  const at::Tensor outside = at::abs(u - y) - radius_ > 2.0 * round_off * (at::abs(u) + at::abs(y));
  const double value = outside.any().item<bool>() ? std::numeric_limits<double>::infinity() : 0.0;
  return at::full({}, value, u.options().dtype(at::kDouble));
}

at::Tensor IndicatorLInf::prox_impl(const at::Tensor& u, const at::Tensor& y, double /*gamma*/) const {
  return y + shrink_to_ball(u - y, radius_);
}

// ---- PoissonLikelihood -------------------------------------------------------------------------------------------

PoissonLikelihood::PoissonLikelihood(const PoissonOptions& options) : options_(options) {
  check_step("PoissonLikelihood", "gain", options.gain);
  check(options.background >= 0.0 && std::isfinite(options.background),
        "PoissonLikelihood: background must be finite and at least 0, got ", options.background);
}

Recipe PoissonLikelihood::recipe() const {
  return {.maker = name(),
          .arguments = {
              {"gain", options_.gain}, {"background", options_.background}, {"denormalize", options_.denormalize}}};
}

at::Tensor PoissonLikelihood::counts(const at::Tensor& y) const { return options_.denormalize ? y / options_.gain : y; }

at::Tensor PoissonLikelihood::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  check_real(*this, u, y);
  const at::Tensor expected = u / options_.gain + options_.background;
  const at::Tensor c = counts(y);
  const at::Tensor divergence = expected - c + at::xlogy(c, c) - at::xlogy(c, expected);
  return total(divergence.masked_fill(expected < 0, std::numeric_limits<double>::infinity()));
}

at::Tensor PoissonLikelihood::grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  check_real(*this, u, y);
  const at::Tensor expected = u / options_.gain + options_.background;
  return (1.0 - counts(y) / expected) / options_.gain;
}

// With t = v/gain + background the optimum solves t² − m t − c γ/gain² = 0, of which t ≥ 0 is wanted; the form that
// does not cancel depends on the sign of m.
at::Tensor PoissonLikelihood::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  check_real(*this, u, y);
  const double g = options_.gain;
  const at::Tensor m = u / g + (options_.background - gamma / (g * g));
  const at::Tensor product = counts(y) * (gamma / (g * g));
  const at::Tensor root = at::sqrt(m.square() + 4.0 * product);
  // Where m ≤ 0 and there are no counts, the quotient is 0/0 at m = 0 only, where t = 0.
  const at::Tensor small = (2.0 * product / (root - m)).nan_to_num_(0.0, 0.0, 0.0);
  const at::Tensor t = at::where(m > 0, 0.5 * (m + root), small);
  return (t - options_.background) * g;
}

// ---- Huber -------------------------------------------------------------------------------------------------------

Huber::Huber(double delta) : delta_(delta) { check_step("Huber", "delta", delta); }

at::Tensor Huber::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  const at::Tensor r = at::abs(u - y);
  return total(at::where(r <= delta_, 0.5 * r.square(), delta_ * (r - 0.5 * delta_)));
}

at::Tensor Huber::grad_impl(const at::Tensor& u, const at::Tensor& y) const { return shrink_to_ball(u - y, delta_); }

at::Tensor Huber::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  // The residual r becomes r/(1 + γ) in the quadratic part, and loses γδ in modulus in the linear one.
  return u - shrink_to_ball((u - y) * (gamma / (1.0 + gamma)), gamma * delta_);
}

// ---- AmplitudeLoss -----------------------------------------------------------------------------------------------

namespace {
constexpr double amplitude_floor = 1e-12;
}

at::Tensor AmplitudeLoss::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  check_real(*this, u, y);
  const at::Tensor squares = (at::sqrt(u.clamp_min(0.0) + amplitude_floor) - at::sqrt(y)).square();
  return total(squares.masked_fill(u < 0, std::numeric_limits<double>::infinity()));
}

at::Tensor AmplitudeLoss::grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  check_real(*this, u, y);
  return 1.0 - at::sqrt(y / (u + amplitude_floor));
}

// With s = √v the optimum is the largest root of s³ + p s − q, p = γ − u, q = γ √y ≥ 0. Newton's method decreases to
// it from any point on its right, where the cubic is convex.
at::Tensor AmplitudeLoss::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  check_real(*this, u, y);
  constexpr int iterations = 12;  // the start is at most twice the root
  const at::Tensor p = gamma - (u + amplitude_floor);
  const at::Tensor q = gamma * at::sqrt(y);
  at::Tensor s = at::sqrt((-p).clamp_min(0.0)) + at::pow(q, 1.0 / 3.0);
  for (int k = 0; k < iterations; ++k) {
    const at::Tensor square = s.square();
    const at::Tensor slope = (3.0 * square + p).clamp_min(std::numeric_limits<float>::min());
    s = s - (s * (square + p) - q) / slope;
  }
  return (s.square() - amplitude_floor).clamp_min(0.0);
}

}  // namespace adjoin
