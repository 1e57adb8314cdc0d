#include "adjoin/solvers/krylov.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "solvers/batch_status.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

namespace {

template <class V>
struct Start {
  V x;
  V r;
  Scalars b_squared;
  Scalars r_squared;
};

// x = x0 (or zero) and r = b − H x. Items whose right-hand side is zero get x = r = 0; those at their solution stop.
template <class V>
Start<V> start(BatchStatus& status, const LinearMap<V, V>& H, const V& b, const std::optional<V>& x0) {
  const auto items = static_cast<std::int64_t>(status.size());
  Start<V> s{x0 ? adjoin::clone(*x0) : adjoin::zeros_like(b), adjoin::clone(b), {}, {}};
  if (x0) {
    adjoin::axpy(Scalars(status.size(), -1.0), H(s.x), s.r);
    auto squares = adjoin::dots({{&b, &b}, {&s.r, &s.r}}, items);
    s.b_squared = std::move(squares[0]);
    s.r_squared = std::move(squares[1]);
  } else {
    s.b_squared = s.r_squared = adjoin::squared_norm(b, items);
  }
  status.check_finite(s.b_squared, "the right-hand side holds NaN or infinity");
  status.check_finite(s.r_squared, "x0 holds NaN or infinity, or the operator returned them for x0");
  Scalars keep(status.size(), 1.0);
  for (std::size_t i = 0; i < status.size(); ++i) {
    if (s.b_squared[i].real() == 0.0) {
      keep[i] = s.r_squared[i] = 0.0;
    }
    status.set_residual(i, std::sqrt(ratio(s.r_squared[i].real(), s.b_squared[i].real())));
  }
  if (x0 && std::ranges::any_of(keep, [](const auto& k) { return k.real() == 0.0; })) {
    adjoin::scale(keep, s.x);
    adjoin::scale(keep, s.r);
  }
  return s;
}

void negate(const Scalars& a, Scalars& minus_a) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    minus_a[i] = -a[i];
  }
}

bool is_zero(const c10::complex<double>& z) { return z.real() == 0.0 && z.imag() == 0.0; }

}  // namespace

template <class V>
SolverResult<V> conjugate_gradient(const LinearMap<V, V>& H, const V& b, const SolverOptions& options,
                                   const std::optional<V>& x0, const LinearMap<V, V>& preconditioner) {
  const c10::NoGradGuard no_grad;
  BatchStatus status("conjugate_gradient", options);
  auto [x, r, b_squared, r_squared] = start(status, H, b, x0);
  V p = adjoin::clone(preconditioner ? preconditioner(r) : r);
  Scalars rho = preconditioner ? adjoin::dot(r, p, options.items) : r_squared;
  Scalars alpha(status.size(), 0.0);
  Scalars minus_alpha = alpha;
  Scalars beta = alpha;
  while (status.next()) {
    const V q = H(p);
    const Scalars curvature = adjoin::dot(p, q, options.items);
    status.check_finite(curvature);
    for (std::size_t i = 0; i < status.size(); ++i) {
      if (status.running(i) && (curvature[i].real() <= 0.0 || rho[i].real() <= 0.0)) {
        status.stop(i, StopReason::breakdown);
      }
      alpha[i] = status.running(i) ? rho[i].real() / curvature[i].real() : 0.0;
    }
    negate(alpha, minus_alpha);
    adjoin::axpy(alpha, p, x);
    adjoin::axpy(minus_alpha, q, r);

    const V z = preconditioner ? preconditioner(r) : r;
    Scalars next_rho;
    if (preconditioner) {
      auto products = adjoin::dots({{&r, &r}, {&r, &z}}, options.items);
      r_squared = std::move(products[0]);
      next_rho = std::move(products[1]);
      status.check_finite(next_rho, "the preconditioner returned NaN or infinity");
    } else {
      next_rho = r_squared = adjoin::squared_norm(r, options.items);
    }
    status.check_finite(r_squared);
    for (std::size_t i = 0; i < status.size(); ++i) {
      beta[i] = 0.0;
      if (status.running(i)) {
        status.set_residual(i, std::sqrt(r_squared[i].real() / b_squared[i].real()));
        beta[i] = status.running(i) ? next_rho[i].real() / rho[i].real() : 0.0;
      }
    }
    rho = std::move(next_rho);
    status.end_iteration();
    adjoin::xpby(z, beta, p);
  }
  return status.finish(std::move(x));
}

template <class V>
SolverResult<V> bicgstab(const LinearMap<V, V>& H, const V& b, const SolverOptions& options, const std::optional<V>& x0,
                         const LinearMap<V, V>& preconditioner) {
  // Below this ratio of ‖r‖² to ‖s‖² the formulas that spare a reduction have lost their digits.
  constexpr double cancelled = 1e-8;
  const c10::NoGradGuard no_grad;
  BatchStatus status("bicgstab", options);
  auto [x, r, b_squared, r_squared] = start(status, H, b, x0);
  const V r_hat = adjoin::clone(r);
  V p = adjoin::clone(r);
  Scalars rho = r_squared;
  Scalars alpha(status.size(), 0.0);
  Scalars omega = alpha;
  Scalars beta = alpha;
  Scalars minus = alpha;
  const Scalars one(status.size(), 1.0);
  while (status.next()) {
    const V p_hat = preconditioner ? preconditioner(p) : p;
    const V v = H(p_hat);
    const Scalars r_hat_v = adjoin::dot(r_hat, v, options.items);
    status.check_finite(r_hat_v);
    for (std::size_t i = 0; i < status.size(); ++i) {
      if (status.running(i) && (is_zero(r_hat_v[i]) || is_zero(rho[i]))) {
        status.stop(i, StopReason::breakdown);
      }
      alpha[i] = status.running(i) ? rho[i] / r_hat_v[i] : 0.0;
    }
    negate(alpha, minus);
    adjoin::axpy(alpha, p_hat, x);
    adjoin::axpy(minus, v, r);  // r holds s = r − α v until ω is known

    const V s_hat = preconditioner ? preconditioner(r) : r;
    const V t = H(s_hat);
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
  return status.finish(std::move(x));
}

template <class V>
SolverResult<V> minres(const LinearMap<V, V>& H, const V& b, const SolverOptions& options, const std::optional<V>& x0,
                       const LinearMap<V, V>& preconditioner) {
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
  BatchStatus status("minres", options);
  auto [x, r, b_squared, r_squared] = start(status, H, b, x0);
  // With a preconditioner M the method lives in the norm √⟨r, M r⟩.
  if (preconditioner) {
    r_squared = adjoin::dot(r, preconditioner(r), options.items);
    b_squared = x0 ? adjoin::dot(b, preconditioner(b), options.items) : r_squared;
    status.check_finite(r_squared, "the preconditioner returned NaN or infinity");
  }
  // ‖H r‖ / (‖H‖ ‖r‖) at which r counts as orthogonal to the range of H: round-off lets inconsistent singular systems
  // come down to about this and no further. tol = 0 asks to go on until nothing at all is left.
  const double orthogonal = options.tol > 0.0 ? std::pow(precision(b), 0.6) : 10.0 * precision(b);
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
    adjoin::axpby(fresh, H(v), kept, r_old);
    const Scalars lanczos_alpha = adjoin::dot(v, r_old, options.items);
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
      if (std::hypot(gamma_bar, item.delta_bar) <= orthogonal * std::sqrt(item.H_squared)) {
        status.stop(i, StopReason::stagnated);
        continue;
      }
      const double gamma = std::hypot(gamma_bar, next_beta);
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
    adjoin::axpby(fresh, v, kept, w_old);
    adjoin::axpy(delta, w, w_old);
    std::swap(w, w_old);
    adjoin::axpy(x_step, w, x);
    status.end_iteration();
  }
  return status.finish(std::move(x));
}

#define ADJOIN_INSTANTIATE(solver, V)                                                                              \
  template SolverResult<V> solver(const LinearMap<V, V>&, const V&, const SolverOptions&, const std::optional<V>&, \
                                  const LinearMap<V, V>&);
#define ADJOIN_INSTANTIATE_ALL(solver)   \
  ADJOIN_INSTANTIATE(solver, at::Tensor) \
  ADJOIN_INSTANTIATE(solver, TensorList) \
  ADJOIN_INSTANTIATE(solver, ShardedTensorList)

ADJOIN_INSTANTIATE_ALL(conjugate_gradient)
ADJOIN_INSTANTIATE_ALL(bicgstab)
ADJOIN_INSTANTIATE_ALL(minres)
#undef ADJOIN_INSTANTIATE_ALL
#undef ADJOIN_INSTANTIATE

}  // namespace adjoin
