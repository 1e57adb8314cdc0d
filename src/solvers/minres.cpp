// SPDX-License-Identifier: BSD-3-Clause
// MINRES for indefinite and singular systems, by Paige and Saunders' recurrences.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "adjoin/solvers/krylov.hpp"
#include "solvers/batch_status.hpp"
#include "solvers/krylov_start.hpp"
#include "solvers/precision.hpp"
#include "solvers/scaling.hpp"

namespace adjoin {

namespace {

// Of a system that is singular and inconsistent, the iterates pass a least-squares solution, which ‖H r‖ / (‖H‖ ‖r‖)
// tells, and then, as the tridiagonal matrix is singular but for round-off, run away along the null space. This keeps
// the iterate where that ratio times ‖x‖, about the error of the solution that restore() makes of it, was least.
template <class V>
class LeastSquaresIterate {
 public:
  /// `small`: the ratio from which on an iterate may be one.
  LeastSquaresIterate(std::size_t items, double small)
      : small_(small), ratios_(items, unlikely), errors_(items, unlikely) {}

  void look_at(std::size_t item, double ratio) {
    if (ratio < small_) {
      ratios_[item] = ratio;
      any_ = true;
    }
  }
  /// Keeps x where it is the best so far of what was looked at.
  void keep(const V& x) {
    if (!any_) {
      return;
    }
    const Reals sizes = adjoin::norms(x, static_cast<std::int64_t>(ratios_.size()));
    Scalars chosen(ratios_.size(), 0.0);
    Scalars others(ratios_.size(), 1.0);
    for (std::size_t i = 0; i < ratios_.size(); ++i) {
      const double error = ratios_[i] * sizes[i];
      if (error < errors_[i]) {
        errors_[i] = error;
        chosen[i] = 1.0;
        others[i] = 0.0;
      }
      ratios_[i] = unlikely;
    }
    if (!kept_) {
      kept_ = adjoin::zeros_like(x);
    }
    adjoin::axpby(chosen, x, others, *kept_);
    any_ = false;
  }

  /// Puts it in the place of x where x neither converged nor has a smaller residual, and takes its part in the null
  /// space away: the residual r is orthogonal to the range of H, and Krylov spaces of b hold no other null vectors, so
  /// that x − x0 without its part along r is the shortest (Liu, Milzarek and Roosta, arXiv 2309.17096, 2023). Three
  /// applications of H, if there is one.
  void restore(BatchStatus& status, double tol, const ScaledMap<V, V>& H, const V& b, const std::optional<V>& x0,
               V& x) const {
    if (!kept_) {
      return;
    }
    constexpr double smaller = 0.9;
    const auto items = static_cast<std::int64_t>(status.size());
    const Scalars minus_one(status.size(), -1.0);
    const auto residual = [&](const V& at) {
      V r = adjoin::clone(b);
      adjoin::axpy(minus_one, H(at), r);
      return r;
    };
    const V last = residual(x);
    const V r = residual(*kept_);
    V step = adjoin::clone(*kept_);
    if (x0) {
      adjoin::axpy(minus_one, *x0, step);
    }
    const auto products = adjoin::dots({{&last, &last}, {&r, &r}, {&r, &step}, {&b, &b}}, items);
    Scalars taken(status.size(), 0.0);
    Scalars left(status.size(), 1.0);
    Scalars part(status.size(), 0.0);
    for (std::size_t i = 0; i < status.size(); ++i) {
      const double squared = products[1][i].real();
      const double last_squared = products[0][i].real();
      const double b_squared = products[3][i].real();
      // The rest of a consistent system is round-off, and orthogonal to nothing.
      const bool converged =
          last_squared <= 4.0 * tol * tol * b_squared || status.may_be_round_off(std::sqrt(ratio(squared, b_squared)));
      if (errors_[i] < unlikely && squared > 0.0 && !converged && !(last_squared < smaller * smaller * squared)) {
        taken[i] = 1.0;
        left[i] = 0.0;
        part[i] = -products[2][i] / squared;
        status.end_at(i, StopReason::stagnated);
      }
    }
    // Of a regular H that is ill-conditioned, r is orthogonal to nothing, and leads away from the solution.
    const V Hr = H(r);
    const auto images = adjoin::dots({{&r, &Hr}, {&Hr, &Hr}}, items);
    for (std::size_t i = 0; i < status.size(); ++i) {
      const double squared = products[1][i].real();
      const double then = squared - 2.0 * (part[i] * images[0][i]).real() + std::norm(part[i]) * images[1][i].real();
      if (!(smaller * smaller * then <= squared)) {
        part[i] = 0.0;
      }
    }
    adjoin::axpby(taken, *kept_, left, x);
    adjoin::axpy(part, r, x);
  }

 private:
  static constexpr double unlikely = std::numeric_limits<double>::infinity();

  double small_;
  bool any_ = false;
  Reals ratios_;
  Reals errors_;
  std::optional<V> kept_;
};

}  // namespace

template <class V>
SolverResult<V> minres(const LinearMap<V, V>& H, const V& right_hand_side, const SolverOptions& options,
                       const std::optional<V>& x0, const LinearMap<V, V>& preconditioner) {
  struct Item {
    double beta = 0.0;           // β_k
    double previous_beta = 0.0;  // β_{k−1}
    double b_norm = 0.0;
    double phi_bar = 0.0;  // ‖r‖
    double delta_bar = 0.0;
    double epsilon = 0.0;
    double c = -1.0;
    double s = 0.0;
    double H_squared = 0.0;  // grows to an estimate of ‖H‖²
  };
  const c10::NoGradGuard no_grad;
  BatchStatus status("minres", options, precision(x0 ? *x0 : right_hand_side));
  auto [b, x, r, b_squared, r_squared, b_units] = krylov_start(status, H, right_hand_side, x0);
  const ScaleLimits limits = scale_limits(b);
  Units H_units(status.size());
  const ScaledMap<V, V> map(H, H_units);
  // With a preconditioner M the method lives in the norm √⟨r, M r⟩.
  if (preconditioner) {
    r_squared = adjoin::dot(r, preconditioner(r), options.items);
    const V scaled_b = x0 ? b_units.scaled(b) : r;
    b_squared = x0 ? adjoin::dot(scaled_b, preconditioner(scaled_b), options.items) : r_squared;
    status.check_finite(r_squared, "the preconditioner returned NaN or infinity");
  }
  // ‖H r‖ / (‖H‖ ‖r‖) at which r counts as orthogonal to the range of H: round-off lets inconsistent singular systems
  // come down to about this and no further. tol = 0 asks to go on until nothing at all is left.
  const double orthogonal = options.tol > 0.0 ? std::pow(precision(b), 0.6) : 10.0 * precision(b);
  LeastSquaresIterate<V> least_squares(status.size(), preconditioner ? 0.0 : std::sqrt(precision(b)));
  c10::SmallVector<Item, 2> items(status.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    items[i].b_norm = std::sqrt(std::max(b_squared[i].real(), 0.0));
    items[i].beta = items[i].phi_bar = std::sqrt(std::max(r_squared[i].real(), 0.0));
    if (status.running(i) && !(items[i].beta > 0.0 && items[i].b_norm > 0.0)) {
      status.stop(i, StopReason::breakdown);
    }
  }

  // The last two Lanczos vectors, not normalised; the Lanczos vector; the last two directions.
  V r_old = adjoin::zeros_like(r);
  V v = adjoin::zeros_like(r);
  V w_old = adjoin::zeros_like(r);
  V w = adjoin::zeros_like(r);
  Scalars fresh(items.size(), 0.0);
  Scalars kept(items.size(), 0.0);
  Scalars delta(items.size(), 0.0);
  Scalars x_step(items.size(), 0.0);
  V z = preconditioner ? preconditioner(r) : r;
  while (status.next()) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      fresh[i] = status.running(i) ? 1.0 / items[i].beta : 0.0;
      kept[i] = status.running(i) ? 0.0 : 1.0;
    }
    adjoin::axpby(fresh, z, kept, v);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const bool running = status.running(i);
      fresh[i] = running ? 1.0 : 0.0;
      kept[i] = !running ? 1.0 : status.iteration() == 1 ? 0.0 : -items[i].beta / items[i].previous_beta;
    }
    adjoin::axpby(fresh, map(v), kept, r_old);
    Scalars lanczos_alpha = adjoin::dot(v, r_old, options.items);
    if (status.iteration() == 1 && !fit(lanczos_alpha, Scalars(items.size(), 1.0), status, limits.gain)) [[unlikely]] {
      r_old = adjoin::clone(calibrate(H_units, limits, status, map, v, std::move(r_old)));
      lanczos_alpha = adjoin::dot(v, r_old, options.items);
    }
    if (status.iteration() == 1) {
      (b_units * H_units.inverse()).scale(x);
    }
    status.check_finite(lanczos_alpha);
    for (std::size_t i = 0; i < items.size(); ++i) {
      fresh[i] = status.running(i) ? -lanczos_alpha[i].real() / items[i].beta : 0.0;
    }
    adjoin::axpy(fresh, r, r_old);
    std::swap(r, r_old);
    z = preconditioner ? preconditioner(r) : r;
    const Scalars beta_squared = adjoin::dot(r, z, options.items);
    status.check_finite(beta_squared);

    for (std::size_t i = 0; i < items.size(); ++i) {
      fresh[i] = delta[i] = x_step[i] = 0.0;
      kept[i] = 1.0;
      if (!status.running(i)) {
        continue;
      }
      if (beta_squared[i].real() < 0.0) {  // the preconditioner is not positive definite
        status.stop(i, StopReason::breakdown);
        continue;
      }
      Item& item = items[i];
      const double alpha = lanczos_alpha[i].real();
      const double next_beta = std::sqrt(beta_squared[i].real());
      item.H_squared += alpha * alpha + item.beta * item.beta * (status.iteration() > 1) + next_beta * next_beta;

      const double previous_epsilon = item.epsilon;
      const double new_delta = item.c * item.delta_bar + item.s * alpha;
      const double gamma_bar = item.s * item.delta_bar - item.c * alpha;
      item.epsilon = item.s * next_beta;
      item.delta_bar = -item.c * next_beta;
      // ‖H r‖ / ‖r‖ of the current iterate: where it vanishes, x is a least-squares solution.
      const double H_residual = std::hypot(gamma_bar, item.delta_bar);
      least_squares.look_at(i, H_residual / std::sqrt(item.H_squared));
      if (H_residual <= orthogonal * std::sqrt(item.H_squared)) {
        status.stop(i, StopReason::stagnated);
        continue;
      }
      const double gamma = std::hypot(gamma_bar, next_beta);
      if (status.leads_astray(i, gamma, std::sqrt(item.H_squared))) {
        status.stop(i, StopReason::stagnated);
        continue;
      }
      item.c = gamma_bar / gamma;
      item.s = next_beta / gamma;
      x_step[i] = item.c * item.phi_bar;
      item.phi_bar *= item.s;
      fresh[i] = 1.0 / gamma;
      kept[i] = -previous_epsilon / gamma;
      delta[i] = -new_delta / gamma;
      item.previous_beta = item.beta;
      item.beta = next_beta;
      status.set_residual(i, item.phi_bar / item.b_norm);
    }
    least_squares.keep(x);
    adjoin::axpby(fresh, v, kept, w_old);
    adjoin::axpy(delta, w, w_old);
    std::swap(w, w_old);
    adjoin::axpy(x_step, w, x);
    status.end_iteration();
  }
  const Units units = b_units.inverse() * H_units;
  const V scaled_b = b_units.scaled(b);
  least_squares.restore(status, options.tol, map, scaled_b,
                        x0 ? std::optional<V>(units.inverse().scaled(*x0)) : std::nullopt, x);
  if (status.iteration() > 0) {
    restore("minres", units, x);
  }
  return status.finish(std::move(x));
}

#define ADJOIN_INSTANTIATE(V)                                                                                      \
  template SolverResult<V> minres(const LinearMap<V, V>&, const V&, const SolverOptions&, const std::optional<V>&, \
                                  const LinearMap<V, V>&);
ADJOIN_INSTANTIATE(at::Tensor)
ADJOIN_INSTANTIATE(TensorList)
ADJOIN_INSTANTIATE(ShardedTensorList)
ADJOIN_INSTANTIATE(ShardedImage)
#undef ADJOIN_INSTANTIATE

}  // namespace adjoin
