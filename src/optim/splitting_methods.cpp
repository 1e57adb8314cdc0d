// SPDX-License-Identifier: BSD-3-Clause
// Algorithms that use the prox of the data term, or that of its conjugate.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "adjoin/core/errors.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "optim/elementwise.hpp"
#include "optim/on_slabs.hpp"
#include "optim/run.hpp"

namespace adjoin {

namespace {

// κ such that the terms d of f are about as curved as κ/2 ‖·‖² between 0 and the data: the Lipschitz constant of their
// gradients or, where there is none, the κ whose prox, with the weight 1/κ, goes half of the way from 0 to the data, as
// that of the quadratic does. Poisson's is 2 over the counts; 1 where there is none.
double curvature_of_terms(const DataTerm& f, const Products& products, const at::Tensor& x0, double sqnorm) {
  const double lipschitz = f.lipschitz ? f.lipschitz(x0) : std::numeric_limits<double>::infinity();
  if (lipschitz > 0.0 && std::isfinite(lipschitz)) {
    return lipschitz / sqnorm;
  }
  const at::Tensor zero = at::zeros_like(x0);
  const auto way = [&](double kappa) {
    TensorList u;
    return products.norm(f.dual_step(u, zero, kappa)) / kappa;
  };
  constexpr double nearly_all = 1e-12;
  constexpr int evaluations = 5;
  const double whole = way(nearly_all);
  constexpr double farthest = 1e4;
  double kappa = 1.0;
  double part = 0.0;
  for (int k = 0; k < evaluations; ++k) {
    part = way(kappa) / whole;
    if (!(part >= 0.0)) {
      return 1.0;
    }
    kappa *=
        part < 1.0 ? std::clamp(part / (1.0 - part), 1.0 / farthest, farthest) : farthest;  // exact for a quadratic
  }
  // The way of an indicator does not depend on κ.
  return part > 0.01 && part < 0.99 ? kappa : 1.0;
}

}  // namespace

OptimResult hqs(const DataTerm& f, const Prior& g, const at::Tensor& x0, const std::vector<double>& gammas,
                const OptimOptions& options) {
  const auto solve = [&](const DataTerm& term, const Prior& prior, const at::Tensor& slab, const OptimOptions& own) {
    return hqs(term, prior, slab, gammas, own);
  };
  if (const auto result = on_slabs(f, g, x0, options, solve)) {
    return *result;
  }
  const Algorithm algorithm{.title = "half-quadratic splitting",
                            .parameters = c10::str("gammas [", c10::Join(", ", gammas), "], "),
                            .checks = [&] {
                              check(!gammas.empty(), "gammas: must hold a positive number, got none");
                              for (const double gamma : gammas) {
                                check_step("hqs", "gammas", gamma);
                              }
                            }};
  return run_algorithm(algorithm, f, g, x0, options, [&](const Run& run) {
    at::Tensor u;
    return run.iterate([&](const at::Tensor& x, int iteration, Items& items) {
      const double gamma = gammas[std::min(gammas.size(), static_cast<std::size_t>(iteration)) - 1];
      u = f.prox(x, gamma, u);
      const at::Tensor next = items.keep(run.prior().prox(u, Reals(items.size(), gamma)), x);
      return Step{.x = next, .objective = run.objective_if_wanted(next)};
    });
  });
}

OptimResult admm(const DataTerm& f, const Prior& g, const at::Tensor& x0, double gamma, const OptimOptions& options) {
  const auto solve = [&](const DataTerm& term, const Prior& prior, const at::Tensor& slab, const OptimOptions& own) {
    return admm(term, prior, slab, gamma, own);
  };
  if (const auto result = on_slabs(f, g, x0, options, solve)) {
    return *result;
  }
  const Algorithm algorithm{.title = "ADMM", .parameters = c10::str("gamma ", gamma, ", "), .checks = [&] {
                              check_step("admm", "gamma", gamma);
                            }};
  return run_algorithm(algorithm, f, g, x0, options, [&](const Run& run) {
    at::Tensor u;
    at::Tensor z = at::zeros_like(x0);
    return run.iterate([&](const at::Tensor& x, int, Items& items) {
      u = f.prox(x - z, gamma, u);
      const at::Tensor next = items.keep(run.prior().prox(u + z, Reals(items.size(), gamma)), x);
      const at::Tensor disagreement = u - next;
      z = items.keep(z + disagreement, z);
      return Step{.x = next, .objective = run.objective_if_wanted(next), .disagreement = disagreement};
    });
  });
}

OptimResult primal_dual(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  if (const auto result = on_slabs(f, g, x0, options, primal_dual)) {
    return *result;
  }
  return run_algorithm({.title = "primal-dual"}, f, g, x0, options, [&](const Run& run) {
    const double sqnorm = f.sqnorm(x0);
    check(sqnorm > 0.0 && std::isfinite(sqnorm),
          "primal_dual: A must have a norm that is positive and finite, got ‖A‖² = ", sqnorm);
    const double full = 1.0 / (sqnorm * curvature_of_terms(f, run.products(), x0, sqnorm));
    const double tau = options.step.value_or(full);
    const double sigma = 1.0 / (tau * sqnorm);
    // Where τ is short, so are the steps of x.
    const Reals pace = tau < full ? Reals(run.items().size(), tau / full) : Reals();
    TensorList u;
    at::Tensor z = x0;
    return run.iterate([&](const at::Tensor& x, int, Items& items) {
      const at::Tensor slope = run.in_dtype(f.dual_step(u, z, sigma));
      const Reals steps(items.size(), tau);
      const at::Tensor next = items.keep(run.prior().prox(subtract(x, slope, steps), steps), x);
      z = at::lerp(x, next, 2.0);
      return Step{.x = next, .objective = run.objective_if_wanted(next), .pace = pace};
    });
  });
}

}  // namespace adjoin
