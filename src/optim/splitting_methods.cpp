// Algorithms that use the prox of the data term, or that of its conjugate.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "adjoin/core/errors.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "optim/elementwise.hpp"
#include "optim/run.hpp"

namespace adjoin {

OptimResult hqs(const DataTerm& f, const Prior& g, const at::Tensor& x0, const std::vector<double>& gammas,
                const OptimOptions& options) {
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
  return run_algorithm({.title = "primal-dual"}, f, g, x0, options, [&](const Run& run) {
    const double sqnorm = f.sqnorm(x0);
    check(sqnorm > 0.0 && std::isfinite(sqnorm),
          "primal_dual: A must have a norm that is positive and finite, got ‖A‖² = ", sqnorm);
    const double tau = options.step.value_or(1.0 / std::sqrt(sqnorm));
    const double sigma = 1.0 / (tau * sqnorm);
    // Where τ is short against 1/‖A‖, so are the steps of x.
    const Reals pace = tau * std::sqrt(sqnorm) < 1.0 ? Reals(run.items().size(), tau * std::sqrt(sqnorm)) : Reals();
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
