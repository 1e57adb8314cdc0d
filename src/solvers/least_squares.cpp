// SPDX-License-Identifier: BSD-3-Clause
// LSQR and LSMR on one bidiagonalisation, with the stopping rules of Paige and Saunders.
#include "adjoin/solvers/least_squares.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "adjoin/core/errors.hpp"
#include "solvers/batch_status.hpp"
#include "solvers/bidiagonalization.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

namespace {

void check_least_squares_options(const LeastSquaresOptions& options) {
  check(options.damping >= 0.0 && std::isfinite(options.damping), "damping: must be finite and at least 0, got ",
        options.damping);
  check(options.condition_limit >= 0.0, "condition_limit: must be at least 0, got ", options.condition_limit);
}

// What the stopping rules of LSQR and LSMR look at, for one item. Norms are those of the damped system.
struct Estimates {
  double r_norm = 0.0;           // ‖r‖
  double gradient_norm = 0.0;    // ‖Aᵀ r‖
  double A_norm = 0.0;           // ‖A‖, from below
  double x_norm = 0.0;           // ‖x‖
  double y_norm = 0.0;           // ‖y‖
  double correction_norm = 0.0;  // ‖x − x0‖
  double condition = 0.0;
  double damping = 0.0;
};

// The rules of Paige and Saunders (1982), section 6, with atol = btol = tol.
class StopRules {
 public:
  // tol = 0 asks for all iterations: then only an explicit limit on the condition counts.
  StopRules(const LeastSquaresOptions& options, double precision)
      : tol_(options.tol),
        precision_(precision),
        condition_limit_(options.condition_limit > 0.0 ? options.condition_limit
                         : options.tol > 0.0           ? 1.0 / precision
                                                       : std::numeric_limits<double>::infinity()) {}

  bool need_condition() const { return std::isfinite(condition_limit_); }

  void apply(BatchStatus& status, std::size_t item, const Estimates& e) const {
    if (!status.running(item)) {
      return;
    }
    const double undamped = e.r_norm * e.r_norm - std::pow(e.damping * e.correction_norm, 2);
    status.set_residual(item, ratio(std::sqrt(std::max(undamped, 0.0)), e.y_norm), /*test=*/false);
    const double residual_test = ratio(e.r_norm, e.y_norm + e.A_norm * e.x_norm);
    const double gradient_test = ratio(e.gradient_norm, e.A_norm * e.r_norm);
    if (residual_test <= tol_ || gradient_test <= tol_) {
      status.stop(item, StopReason::converged);
    } else if (e.condition > condition_limit_) {
      status.stop(item, StopReason::ill_conditioned);
    } else if (tol_ > 0.0 && (residual_test <= precision_ || gradient_test <= precision_)) {
      status.stop(item, StopReason::stagnated);
    }
  }

 private:
  double tol_;
  double precision_;
  double condition_limit_;
};

// The rotation that maps (a, b) to (r, 0), with r ≥ 0.
struct Rotation {
  Rotation(double a, double b) : r(std::hypot(a, b)), c(r > 0.0 ? a / r : 1.0), s(r > 0.0 ? b / r : 0.0) {}
  double r;
  double c;
  double s;
};

// ‖x0‖ of each item in the units of the bidiagonalisation, 0 without x0.
template <class Y, class X>
Reals norms_in_units(const Bidiagonalization<Y, X>& bidiagonal, const std::optional<X>& x0, std::int64_t items) {
  Reals result = x0 ? adjoin::norms(*x0, items) : Reals(static_cast<std::size_t>(items), 0.0);
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = bidiagonal.in_units(result[i], i);
  }
  return result;
}

// What both solvers know before the first iteration.
template <class Y, class X>
Estimates first_estimates(const Bidiagonalization<Y, X>& bidiagonal, std::size_t item, double x0_norm, double damping) {
  return {.r_norm = bidiagonal.beta(item),
          .gradient_norm = bidiagonal.alpha(item) * bidiagonal.beta(item),
          .A_norm = bidiagonal.alpha(item),
          .x_norm = x0_norm,
          .y_norm = bidiagonal.y_norm(item),
          .damping = bidiagonal.damping_in_units(damping, item)};
}

// 1 / a, and 0 where the vector of norm a is zero.
double inverse(double a) { return a > 0.0 ? 1.0 / a : 0.0; }

template <class Items, class Y, class X>
X unit_v(const Items& items, const Bidiagonalization<Y, X>& bidiagonal) {
  X v = adjoin::clone(bidiagonal.scaled_v());
  Scalars factors(items.size(), 0.0);
  for (std::size_t i = 0; i < items.size(); ++i) {
    factors[i] = inverse(bidiagonal.alpha(i));
  }
  adjoin::scale(factors, v);
  return v;
}

}  // namespace

template <class Y, class X>
SolverResult<X> lsqr(const std::type_identity_t<LinearMap<X, Y>>& A,
                     const std::type_identity_t<LinearMap<Y, X>>& A_adjoint, const Y& y,
                     const LeastSquaresOptions& options, const std::type_identity_t<std::optional<X>>& x0) {
  struct Item {
    double alpha = 0.0;
    double rho_bar = 0.0;
    double phi_bar = 0.0;
    double A_squared = 0.0;
    double damped_squared = 0.0;   // what the damping's rotations took from φ̄², a part of ‖r‖²
    double w_squared = 0.0;        // ‖w_k‖²
    double inverse_squared = 0.0;  // Σ ‖w_k‖² / ρ_k², an estimate of ‖A†‖²
    // ‖x − x0‖ by a second QR factorisation (Paige and Saunders, section 5.2).
    double x_squared = 0.0;
    double c2 = -1.0;
    double s2 = 0.0;
    double z = 0.0;
    Estimates estimates;
  };
  const c10::NoGradGuard no_grad;
  BatchStatus status("lsqr", options);
  check_least_squares_options(options);
  Bidiagonalization<Y, X> bidiagonal(status, A, A_adjoint, y, x0);
  const StopRules rules(options, precision(bidiagonal.scaled_v()));
  const Reals x0_norms = norms_in_units(bidiagonal, x0, options.items);

  c10::SmallVector<Item, 2> items(status.size());
  X w = unit_v(items, bidiagonal);
  X x = adjoin::zeros_like(w);  // the correction x − x0
  for (std::size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    item.rho_bar = bidiagonal.alpha(i);
    item.phi_bar = bidiagonal.beta(i);
    item.w_squared = 1.0;
    item.estimates = first_estimates(bidiagonal, i, x0_norms[i], options.damping);
    rules.apply(status, i, item.estimates);
  }

  Scalars x_step(items.size(), 0.0);
  Scalars w_fresh(items.size(), 0.0);
  Scalars w_kept(items.size(), 1.0);
  while (status.next()) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i].alpha = bidiagonal.alpha(i);
    }
    bidiagonal.step();
    for (std::size_t i = 0; i < items.size(); ++i) {
      x_step[i] = w_fresh[i] = 0.0;
      w_kept[i] = 1.0;
      if (!status.running(i)) {
        continue;
      }
      Item& item = items[i];
      const double beta = bidiagonal.beta(i);
      const double next_alpha = bidiagonal.alpha(i);
      const double damping = item.estimates.damping;
      item.A_squared += item.alpha * item.alpha + beta * beta + damping * damping;

      const Rotation damp(item.rho_bar, damping);
      const double psi = damp.s * item.phi_bar;
      item.damped_squared += psi * psi;
      const Rotation turn(damp.r, beta);
      if (turn.r == 0.0) {
        status.stop(i, StopReason::breakdown);
        continue;
      }
      const double theta = turn.s * next_alpha;
      const double phi = turn.c * damp.c * item.phi_bar;
      item.rho_bar = -turn.c * next_alpha;
      item.phi_bar *= turn.s * damp.c;
      x_step[i] = phi / turn.r;
      w_fresh[i] = inverse(next_alpha);
      w_kept[i] = -theta / turn.r;
      item.inverse_squared += item.w_squared / (turn.r * turn.r);

      const double gamma_bar = -item.c2 * turn.r;
      const double rhs = phi - item.s2 * turn.r * item.z;
      const double z_bar = rhs / gamma_bar;
      const double x_norm = std::sqrt(item.x_squared + z_bar * z_bar);
      const double gamma = std::hypot(gamma_bar, theta);
      item.c2 = gamma_bar / gamma;
      item.s2 = theta / gamma;
      item.z = rhs / gamma;
      item.x_squared += item.z * item.z;

      item.estimates.r_norm = std::sqrt(item.phi_bar * item.phi_bar + item.damped_squared);
      item.estimates.gradient_norm = next_alpha * std::abs(turn.s * phi);
      item.estimates.A_norm = std::sqrt(item.A_squared);
      item.estimates.correction_norm = x_norm;
      item.estimates.x_norm = x0_norms[i] + x_norm;
      item.estimates.condition = std::sqrt(item.A_squared * item.inverse_squared);
    }
    adjoin::axpy(x_step, w, x);
    adjoin::axpby(w_fresh, bidiagonal.scaled_v(), w_kept, w);
    if (rules.need_condition()) {
      const Scalars w_squared = adjoin::squared_norm(w, options.items);
      for (std::size_t i = 0; i < items.size(); ++i) {
        items[i].w_squared = w_squared[i].real();
      }
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      rules.apply(status, i, items[i].estimates);
    }
    status.end_iteration();
  }
  restore("lsqr", bidiagonal.units(), x, x0);
  return status.finish(std::move(x));
}

template <class Y, class X>
SolverResult<X> lsmr(const std::type_identity_t<LinearMap<X, Y>>& A,
                     const std::type_identity_t<LinearMap<Y, X>>& A_adjoint, const Y& y,
                     const LeastSquaresOptions& options, const std::type_identity_t<std::optional<X>>& x0) {
  // The names of Fong and Saunders (2011), sections 2.7, 3 and 5; a trailing `_bar` and `_tilde` are their accents.
  struct Item {
    double alpha_bar = 0.0;
    double zeta_bar = 0.0;
    double zeta = 0.0;
    double rho = 1.0;
    double rho_bar = 1.0;
    double c_bar = 1.0;
    double s_bar = 0.0;
    // For ‖r‖.
    double beta_dd = 0.0;
    double beta_d = 0.0;
    double rho_d = 1.0;
    double tau_tilde = 0.0;
    double theta_tilde = 0.0;
    double damped_squared = 0.0;
    // For ‖A‖ and the condition number.
    double A_squared = 0.0;
    double largest_rho_bar = 0.0;
    double smallest_rho_bar = std::numeric_limits<double>::infinity();
    Estimates estimates;
  };
  const c10::NoGradGuard no_grad;
  BatchStatus status("lsmr", options);
  check_least_squares_options(options);
  Bidiagonalization<Y, X> bidiagonal(status, A, A_adjoint, y, x0);
  const StopRules rules(options, precision(bidiagonal.scaled_v()));
  const Reals x0_norms = norms_in_units(bidiagonal, x0, options.items);

  c10::SmallVector<Item, 2> items(status.size());
  X h = unit_v(items, bidiagonal);
  X h_bar = adjoin::zeros_like(h);
  X x = adjoin::zeros_like(h);  // the correction x − x0
  for (std::size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    item.alpha_bar = bidiagonal.alpha(i);
    item.zeta_bar = bidiagonal.alpha(i) * bidiagonal.beta(i);
    item.beta_dd = bidiagonal.beta(i);
    item.A_squared = bidiagonal.alpha(i) * bidiagonal.alpha(i);
    item.estimates = first_estimates(bidiagonal, i, x0_norms[i], options.damping);
    rules.apply(status, i, item.estimates);
  }

  Scalars x_step(items.size(), 0.0);
  Scalars h_bar_fresh(items.size(), 0.0);
  Scalars h_bar_kept(items.size(), 1.0);
  Scalars h_fresh(items.size(), 0.0);
  Scalars h_kept(items.size(), 1.0);
  while (status.next()) {
    bidiagonal.step();
    for (std::size_t i = 0; i < items.size(); ++i) {
      x_step[i] = h_bar_fresh[i] = h_fresh[i] = 0.0;
      h_bar_kept[i] = h_kept[i] = 1.0;
      if (!status.running(i)) {
        continue;
      }
      Item& item = items[i];
      const double alpha = bidiagonal.alpha(i);
      const double beta = bidiagonal.beta(i);

      const Rotation damp(item.alpha_bar, item.estimates.damping);
      const Rotation turn(damp.r, beta);
      const double theta_bar = item.s_bar * turn.r;
      const double rho_temp = item.c_bar * turn.r;
      const double theta = turn.s * alpha;
      const Rotation turn_bar(rho_temp, theta);
      if (turn.r == 0.0 || turn_bar.r == 0.0) {
        status.stop(i, StopReason::breakdown);
        continue;
      }
      h_bar_fresh[i] = 1.0;
      h_bar_kept[i] = -theta_bar * turn.r / (item.rho * item.rho_bar);
      const double previous_zeta = item.zeta;
      const double previous_rho_bar = item.rho_bar;
      item.rho = turn.r;
      item.rho_bar = turn_bar.r;
      item.alpha_bar = turn.c * alpha;
      item.c_bar = turn_bar.c;
      item.s_bar = turn_bar.s;
      item.zeta = turn_bar.c * item.zeta_bar;
      item.zeta_bar *= -turn_bar.s;
      x_step[i] = item.zeta / (item.rho * item.rho_bar);
      h_fresh[i] = inverse(alpha);
      h_kept[i] = -theta / turn.r;

      const double beta_acute = damp.c * item.beta_dd;
      const double beta_check = -damp.s * item.beta_dd;
      const double beta_hat = turn.c * beta_acute;
      item.beta_dd = -turn.s * beta_acute;
      const Rotation tilde(item.rho_d, theta_bar);
      const double previous_theta_tilde = item.theta_tilde;
      item.theta_tilde = tilde.s * item.rho_bar;
      item.rho_d = tilde.c * item.rho_bar;
      item.beta_d = -tilde.s * item.beta_d + tilde.c * beta_hat;
      item.tau_tilde = (previous_zeta - previous_theta_tilde * item.tau_tilde) / tilde.r;
      const double tau_d = (item.zeta - item.theta_tilde * item.tau_tilde) / item.rho_d;
      item.damped_squared += beta_check * beta_check;

      item.A_squared += beta * beta;
      item.largest_rho_bar = std::max(item.largest_rho_bar, status.iteration() > 1 ? previous_rho_bar : 0.0);
      if (status.iteration() > 1) {
        item.smallest_rho_bar = std::min(item.smallest_rho_bar, previous_rho_bar);
      }
      item.estimates.r_norm =
          std::sqrt(item.damped_squared + std::pow(item.beta_d - tau_d, 2) + item.beta_dd * item.beta_dd);
      item.estimates.gradient_norm = std::abs(item.zeta_bar);
      item.estimates.A_norm = std::sqrt(item.A_squared);
      item.estimates.condition = std::max(item.largest_rho_bar, rho_temp) / std::min(item.smallest_rho_bar, rho_temp);
      item.A_squared += alpha * alpha;
    }
    adjoin::axpby(h_bar_fresh, h, h_bar_kept, h_bar);
    adjoin::axpy(x_step, h_bar, x);
    adjoin::axpby(h_fresh, bidiagonal.scaled_v(), h_kept, h);
    if (options.tol > 0.0 || options.damping > 0.0) {
      const Scalars x_squared = adjoin::squared_norm(x, options.items);
      for (std::size_t i = 0; i < items.size(); ++i) {
        items[i].estimates.correction_norm = std::sqrt(x_squared[i].real());
        items[i].estimates.x_norm = x0_norms[i] + items[i].estimates.correction_norm;
      }
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      rules.apply(status, i, items[i].estimates);
    }
    status.end_iteration();
  }
  restore("lsmr", bidiagonal.units(), x, x0);
  return status.finish(std::move(x));
}

#define ADJOIN_INSTANTIATE(solver, Y, X)                                                        \
  template SolverResult<X> solver<Y, X>(const std::type_identity_t<LinearMap<X, Y>>&,           \
                                        const std::type_identity_t<LinearMap<Y, X>>&, const Y&, \
                                        const LeastSquaresOptions&, const std::type_identity_t<std::optional<X>>&);
ADJOIN_INSTANTIATE(lsqr, at::Tensor, at::Tensor)
ADJOIN_INSTANTIATE(lsqr, TensorList, at::Tensor)
ADJOIN_INSTANTIATE(lsqr, ShardedTensorList, at::Tensor)
ADJOIN_INSTANTIATE(lsqr, ShardedTensorList, ShardedImage)
ADJOIN_INSTANTIATE(lsmr, at::Tensor, at::Tensor)
ADJOIN_INSTANTIATE(lsmr, TensorList, at::Tensor)
ADJOIN_INSTANTIATE(lsmr, ShardedTensorList, at::Tensor)
ADJOIN_INSTANTIATE(lsmr, ShardedTensorList, ShardedImage)
#undef ADJOIN_INSTANTIATE

}  // namespace adjoin
