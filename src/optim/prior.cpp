// SPDX-License-Identifier: BSD-3-Clause
// Checks of every method, and the formulas of the priors without iterations of their own.
#include "adjoin/optim/prior.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "optim/elementwise.hpp"

namespace adjoin {

namespace {

void check_image(const Prior& prior, const at::Tensor& x) {
  check(x.defined() && (at::isFloatingType(x.scalar_type()) || x.is_complex()), prior.name(),
        ": x must be a floating-point or complex tensor, got ",
        x.defined() ? c10::toString(x.scalar_type()) : "an undefined one");
}

void check_real(const Prior& prior, const at::Tensor& x) {
  check(!x.is_complex(), prior.name(), ": x must be real, got ", x.scalar_type());
}

at::Tensor denoised(const Prior& prior, const Denoiser& denoiser, const at::Tensor& x, double sigma) {
  const at::Tensor result = denoiser(x, sigma);
  check(result.defined() && result.sizes() == x.sizes(), prior.name(), ": the denoiser must keep the shape ", x.sizes(),
        ", got ", result.defined() ? c10::str(result.sizes()) : "an undefined tensor");
  check(result.scalar_type() == x.scalar_type(), prior.name(), ": the denoiser must keep the dtype ", x.scalar_type(),
        ", got ", result.scalar_type());
  return result;
}

}  // namespace

// ---- Base --------------------------------------------------------------------------------------------------------

at::Tensor Prior::fn(const at::Tensor& x) const {
  check_image(*this, x);
  return fn_impl(x);
}

at::Tensor Prior::grad(const at::Tensor& x) const {
  check_image(*this, x);
  return grad_impl(x);
}

at::Tensor Prior::prox(const at::Tensor& x, double gamma) const {
  check_image(*this, x);
  check_step(name(), "gamma", gamma);
  return prox_impl(x, gamma);
}

at::Tensor Prior::prox_conjugate(const at::Tensor& x, double gamma, double lambda) const {
  check_image(*this, x);
  check_step(name(), "gamma", gamma);
  check_step(name(), "lambda", lambda);
  return at::sub(x, prox_impl(x / gamma, lambda / gamma), gamma);
}

void Prior::lacks(const char* what) const { throw InvalidArgument(c10::str(name(), ": has no ", what)); }

at::Tensor Prior::fn_impl(const at::Tensor& /*x*/) const { lacks("value"); }
at::Tensor Prior::grad_impl(const at::Tensor& /*x*/) const { lacks("gradient"); }
at::Tensor Prior::prox_impl(const at::Tensor& /*x*/, double /*gamma*/) const { lacks("prox"); }

// ---- ZeroPrior, Tikhonov, L1 -------------------------------------------------------------------------------------

at::Tensor ZeroPrior::fn_impl(const at::Tensor& x) const { return at::zeros({}, x.options().dtype(at::kDouble)); }
at::Tensor ZeroPrior::grad_impl(const at::Tensor& x) const { return at::zeros_like(x); }
at::Tensor ZeroPrior::prox_impl(const at::Tensor& x, double /*gamma*/) const { return x; }

at::Tensor Tikhonov::fn_impl(const at::Tensor& x) const { return 0.5 * squared_sum(x); }
at::Tensor Tikhonov::grad_impl(const at::Tensor& x) const { return x; }
at::Tensor Tikhonov::prox_impl(const at::Tensor& x, double gamma) const { return x / (1.0 + gamma); }

at::Tensor L1Prior::fn_impl(const at::Tensor& x) const { return at::abs(x).sum(at::kDouble); }
at::Tensor L1Prior::grad_impl(const at::Tensor& x) const { return unit(x); }
at::Tensor L1Prior::prox_impl(const at::Tensor& x, double gamma) const { return soft_threshold(x, gamma); }

// ---- Box ---------------------------------------------------------------------------------------------------------

Box::Box(double lower, double upper) : lower_(lower), upper_(upper) {
  check(lower <= upper, "Box: lower must be at most upper, got ", lower, " and ", upper);
}

Positivity::Positivity() : Box(0.0, std::numeric_limits<double>::infinity()) {}

at::Tensor Box::fn_impl(const at::Tensor& x) const {
  check_real(*this, x);
  return indicator(excess_of_box(x, lower_, upper_), x);
}

at::Tensor Box::prox_impl(const at::Tensor& x, double /*gamma*/) const {
  check_real(*this, x);
  return at::clamp(x, lower_, upper_);
}

// ---- Denoisers ---------------------------------------------------------------------------------------------------

PnP::PnP(Denoiser denoiser, std::optional<double> sigma) : denoiser_(std::move(denoiser)), sigma_(sigma) {
  check(static_cast<bool>(denoiser_), "PnP: denoiser must be callable, got an empty function");
  check(!sigma || (*sigma >= 0.0 && std::isfinite(*sigma)), "PnP: sigma must be finite and at least 0, got ",
        sigma.value_or(0.0));
}

at::Tensor PnP::prox_impl(const at::Tensor& x, double gamma) const {
  return denoised(*this, denoiser_, x, sigma_.value_or(std::sqrt(gamma)));
}

RED::RED(Denoiser denoiser, double sigma) : denoiser_(std::move(denoiser)), sigma_(sigma) {
  check(static_cast<bool>(denoiser_), "RED: denoiser must be callable, got an empty function");
  check(sigma >= 0.0 && std::isfinite(sigma), "RED: sigma must be finite and at least 0, got ", sigma);
}

at::Tensor RED::grad_impl(const at::Tensor& x) const { return x - denoised(*this, denoiser_, x, sigma_); }

}  // namespace adjoin
