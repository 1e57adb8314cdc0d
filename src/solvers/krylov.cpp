#include "adjoin/solvers/krylov.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "adjoin/core/errors.hpp"
#include "batch_status.hpp"

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
  if (x0 && std::any_of(keep.begin(), keep.end(), [](const auto& k) { return k.real() == 0.0; })) {
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
      if (status.running(i) && !(curvature[i].real() > 0.0 && rho[i].real() > 0.0)) {
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

#define ADJOIN_INSTANTIATE(solver, V)                                                                              \
  template SolverResult<V> solver(const LinearMap<V, V>&, const V&, const SolverOptions&, const std::optional<V>&, \
                                  const LinearMap<V, V>&);
#define ADJOIN_INSTANTIATE_ALL(solver)   \
  ADJOIN_INSTANTIATE(solver, at::Tensor) \
  ADJOIN_INSTANTIATE(solver, TensorList) \
  ADJOIN_INSTANTIATE(solver, ShardedTensorList)

ADJOIN_INSTANTIATE_ALL(conjugate_gradient)

}  // namespace adjoin
