// SPDX-License-Identifier: BSD-3-Clause
// Conjugate gradients and BiCGStab, with the scalars of an iteration in as few reductions as may be.
#include "adjoin/solvers/krylov.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "solvers/batch_status.hpp"
#include "solvers/krylov_start.hpp"
#include "solvers/precision.hpp"
#include "solvers/scaling.hpp"

namespace adjoin {

namespace {

void negate(const Scalars& a, Scalars& minus_a) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    minus_a[i] = -a[i];
  }
}

bool is_zero(const c10::complex<double>& z) { return z.real() == 0.0 && z.imag() == 0.0; }

// Below this ratio of ‖r‖² to what it was, the formulas that spare a reduction have lost their digits.
constexpr double cancelled = 1e-8;

// The inner products of an iteration of conjugate gradients, in as few reductions as may be: with `merged` all in one,
// so that ‖r‖² is predicted for the next direction and computed with the next iteration's (Chen and Carson, 2020).
template <class V>
class GradientProducts {
 public:
  GradientProducts(bool merged, std::int64_t items) : merged_(merged), items_(items) {}

  /// ⟨p, q⟩ for q = H p; where they are merged, `rho` becomes ‖r‖² as it is.
  Scalars curvature(const V& p, const V& q, const V& r, Scalars& rho) {
    if (!merged_) {
      return adjoin::dot(p, q, items_);
    }
    auto products = adjoin::dots({{&p, &q}, {&r, &q}, {&q, &q}, {&r, &r}}, items_);
    rq_ = std::move(products[1]);
    qq_ = std::move(products[2]);
    rho = std::move(products[3]);
    return std::move(products[0]);
  }

  /// ‖r‖² for r that was, with the square `rho`, before α q was taken from it.
  Scalars residual(const V& r, const Scalars& rho, const Scalars& alpha) const {
    if (!merged_) {
      return adjoin::squared_norm(r, items_);
    }
    Scalars predicted = rho;
    bool lost = false;
    for (std::size_t i = 0; i < rho.size(); ++i) {
      const double a = alpha[i].real();
      predicted[i] = rho[i].real() - 2.0 * a * rq_[i].real() + a * a * qq_[i].real();
      lost = lost || (predicted[i].real() < cancelled * rho[i].real());
    }
    return lost ? adjoin::squared_norm(r, items_) : predicted;
  }

 private:
  bool merged_;
  std::int64_t items_;
  Scalars rq_;
  Scalars qq_;
};

// The direction p of an item: ‖p‖², in the norm of the preconditioner's inverse, by the recurrence that holds as p_k is
// orthogonal to r_{k+1}, and the largest Rayleigh quotient ⟨p, H p⟩ / ‖p‖² so far.
struct Direction {
  double squared = 0.0;
  double largest_quotient = 0.0;

  double quotient(double curvature) {
    const double quotient = curvature / squared;
    largest_quotient = std::max(largest_quotient, quotient);
    return quotient;
  }
};

}  // namespace

template <class V>
SolverResult<V> conjugate_gradient(const LinearMap<V, V>& H, const V& right_hand_side, const SolverOptions& options,
                                   const std::optional<V>& x0, const LinearMap<V, V>& preconditioner) {
  const c10::NoGradGuard no_grad;
  BatchStatus status("conjugate_gradient", options, precision(x0 ? *x0 : right_hand_side));
  auto [b, x, r, b_squared, r_squared, b_units] = krylov_start(status, H, right_hand_side, x0);
  const ScaleLimits limits = scale_limits(b);
  Units H_units(status.size());
  const ScaledMap<V, V> map(H, H_units);
  V p = adjoin::clone(preconditioner ? preconditioner(r) : r);
  Scalars rho = preconditioner ? adjoin::dot(r, p, options.items) : r_squared;
  Scalars alpha(status.size(), 0.0);
  Scalars minus_alpha = alpha;
  Scalars beta = alpha;
  c10::SmallVector<Direction, 2> directions(status.size());
  for (std::size_t i = 0; i < status.size(); ++i) {
    directions[i].squared = rho[i].real();
  }
  GradientProducts<V> products(inner_products_are_messages<V> && !preconditioner, options.items);
  while (status.next()) {
    V q = map(p);
    Scalars curvature = products.curvature(p, q, r, rho);
    if (status.iteration() == 1 && !fit(curvature, rho, status, limits.gain)) [[unlikely]] {
      q = calibrate(H_units, limits, status, map, p, std::move(q));
      curvature = products.curvature(p, q, r, rho);
    }
    if (status.iteration() == 1) {
      (b_units * H_units.inverse()).scale(x);
    }
    status.check_finite(curvature);
    for (std::size_t i = 0; i < status.size(); ++i) {
      if (status.running(i) && (curvature[i].real() <= 0.0 || rho[i].real() <= 0.0)) {
        status.stop(i, StopReason::breakdown);
      }
      if (status.running(i)) {
        const double quotient = directions[i].quotient(curvature[i].real());
        if (status.leads_astray(i, quotient, directions[i].largest_quotient)) {
          status.stop(i, StopReason::stagnated);
        }
      }
      alpha[i] = status.running(i) ? rho[i].real() / curvature[i].real() : 0.0;
    }
    negate(alpha, minus_alpha);
    adjoin::axpy(alpha, p, x);
    adjoin::axpy(minus_alpha, q, r);

    const V z = preconditioner ? preconditioner(r) : r;
    Scalars next_rho;
    if (preconditioner) {
      auto both = adjoin::dots({{&r, &r}, {&r, &z}}, options.items);
      r_squared = std::move(both[0]);
      next_rho = std::move(both[1]);
      status.check_finite(next_rho, "the preconditioner returned NaN or infinity");
    } else {
      next_rho = r_squared = products.residual(r, rho, alpha);
    }
    status.check_finite(r_squared);
    for (std::size_t i = 0; i < status.size(); ++i) {
      beta[i] = 0.0;
      if (status.running(i)) {
        status.set_residual(i, std::sqrt(r_squared[i].real() / b_squared[i].real()));
        beta[i] = status.running(i) ? next_rho[i].real() / rho[i].real() : 0.0;
        directions[i].squared = next_rho[i].real() + beta[i].real() * beta[i].real() * directions[i].squared;
      }
    }
    rho = std::move(next_rho);
    status.end_iteration();
    adjoin::xpby(z, beta, p);
  }
  if (status.iteration() > 0) {
    restore("conjugate_gradient", b_units.inverse() * H_units, x);
  }
  return status.finish(std::move(x));
}

template <class V>
SolverResult<V> bicgstab(const LinearMap<V, V>& H, const V& right_hand_side, const SolverOptions& options,
                         const std::optional<V>& x0, const LinearMap<V, V>& preconditioner) {
  const c10::NoGradGuard no_grad;
  BatchStatus status("bicgstab", options, precision(x0 ? *x0 : right_hand_side));
  auto [b, x, r, b_squared, r_squared, b_units] = krylov_start(status, H, right_hand_side, x0);
  const ScaleLimits limits = scale_limits(b);
  Units H_units(status.size());
  const ScaledMap<V, V> map(H, H_units);
  const V r_hat = adjoin::clone(r);
  V p = adjoin::clone(r);
  Scalars rho = r_squared;
  Scalars alpha(status.size(), 0.0);
  Scalars omega = alpha;
  Scalars beta = alpha;
  Scalars minus = alpha;
  const Scalars one(status.size(), 1.0);
  Reals smallest_steps(status.size(), std::numeric_limits<double>::infinity());
  // 1 / |step| is about what H makes of the direction.
  const auto leave_out_if_astray = [&](c10::complex<double>& step, std::size_t i) {
    if (!status.running(i) || is_zero(step)) {
      return;
    }
    smallest_steps[i] = std::min(smallest_steps[i], std::abs(step));
    if (status.leads_astray(i, smallest_steps[i], std::abs(step))) {
      status.stop(i, StopReason::stagnated);
      step = 0.0;
    }
  };
  while (status.next()) {
    const V p_hat = preconditioner ? preconditioner(p) : p;
    V v = map(p_hat);
    Scalars r_hat_v = adjoin::dot(r_hat, v, options.items);
    if (status.iteration() == 1 && !fit(r_hat_v, rho, status, limits.gain)) [[unlikely]] {
      v = calibrate(H_units, limits, status, map, p_hat, std::move(v));
      r_hat_v = adjoin::dot(r_hat, v, options.items);
    }
    if (status.iteration() == 1) {
      (b_units * H_units.inverse()).scale(x);
    }
    status.check_finite(r_hat_v);
    for (std::size_t i = 0; i < status.size(); ++i) {
      if (status.running(i) && (is_zero(r_hat_v[i]) || is_zero(rho[i]))) {
        status.stop(i, StopReason::breakdown);
      }
      alpha[i] = status.running(i) ? rho[i] / r_hat_v[i] : 0.0;
      leave_out_if_astray(alpha[i], i);
    }
    negate(alpha, minus);
    adjoin::axpy(alpha, p_hat, x);
    adjoin::axpy(minus, v, r);  // r holds s = r − α v until ω is known

    const V s_hat = preconditioner ? preconditioner(r) : r;
    const V t = map(s_hat);
    const auto products = adjoin::dots({{&t, &r}, {&t, &t}, {&r, &r}, {&r_hat, &r}, {&r_hat, &t}}, options.items);
    const auto& [ts, tt, ss, r_hat_s, r_hat_t] =
        std::tie(products[0], products[1], products[2], products[3], products[4]);
    for (const Scalars& product : products) {
      status.check_finite(product);
    }
    Scalars next_rho = r_hat_s;
    const auto digits_lost = [&](std::size_t i) {
      return status.running(i) && r_squared[i].real() < cancelled * ss[i].real();
    };
    bool recompute = false;
    for (std::size_t i = 0; i < status.size(); ++i) {
      omega[i] = status.running(i) && tt[i].real() > 0.0 ? ts[i] / tt[i].real() : 0.0;
      leave_out_if_astray(omega[i], i);
      next_rho[i] -= omega[i] * r_hat_t[i];
      r_squared[i] = ss[i].real() - (omega[i] * std::conj(ts[i])).real();
      recompute = recompute || digits_lost(i);
    }
    negate(omega, minus);
    adjoin::axpy(omega, s_hat, x);
    adjoin::axpy(minus, t, r);
    if (recompute) {
      const auto exact = adjoin::dots({{&r_hat, &r}, {&r, &r}}, options.items);
      for (std::size_t i = 0; i < status.size(); ++i) {
        if (digits_lost(i)) {
          next_rho[i] = exact[0][i];
          r_squared[i] = exact[1][i];
        }
      }
    }
    for (std::size_t i = 0; i < status.size(); ++i) {
      beta[i] = 0.0;
      if (status.running(i)) {
        status.set_residual(i, std::sqrt(r_squared[i].real() / b_squared[i].real()));
        if (status.running(i) && is_zero(omega[i])) {
          status.stop(i, StopReason::breakdown);
        }
        beta[i] = status.running(i) ? (next_rho[i] / rho[i]) * (alpha[i] / omega[i]) : 0.0;
      }
      minus[i] = -beta[i] * omega[i];
    }
    rho = std::move(next_rho);
    status.end_iteration();
    adjoin::axpby(minus, v, beta, p);
    adjoin::axpy(one, r, p);
  }
  if (status.iteration() > 0) {
    restore("bicgstab", b_units.inverse() * H_units, x);
  }
  return status.finish(std::move(x));
}

#define ADJOIN_INSTANTIATE(solver, V)                                                                              \
  template SolverResult<V> solver(const LinearMap<V, V>&, const V&, const SolverOptions&, const std::optional<V>&, \
                                  const LinearMap<V, V>&);
#define ADJOIN_INSTANTIATE_ALL(solver)          \
  ADJOIN_INSTANTIATE(solver, at::Tensor)        \
  ADJOIN_INSTANTIATE(solver, TensorList)        \
  ADJOIN_INSTANTIATE(solver, ShardedTensorList) \
  ADJOIN_INSTANTIATE(solver, ShardedImage)

ADJOIN_INSTANTIATE_ALL(conjugate_gradient)
ADJOIN_INSTANTIATE_ALL(bicgstab)
#undef ADJOIN_INSTANTIATE_ALL
#undef ADJOIN_INSTANTIATE

}  // namespace adjoin
