// SPDX-License-Identifier: BSD-3-Clause
// Algorithms that use the gradient of the data term.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "optim/descent.hpp"
#include "optim/on_slabs.hpp"
#include "optim/run.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

namespace {

// Steps of more than this over the curvature diverge: of gradient and proximal gradient descent, and with momentum.
constexpr double stable = 2.0;
constexpr double stable_with_momentum = 4.0 / 3.0;
constexpr const char* advice = ", or take a shorter step, or ask for backtracking";

// The step is not asked for where it is given.
double lipschitz_if_needed(const OptimOptions& options, const std::function<double()>& lipschitz) {
  return options.step ? unknown : lipschitz();
}

// FISTA's t_{k+1}, with steps that grow by `growth` (Scheinberg, Goldfarb and Bai 2014, algorithm 3).
double next_momentum(double t, double growth) { return 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * t * t / growth)); }

void add(Reals& values, const Reals& more) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] += more[i];
  }
}

// Value and gradient of f at an extrapolated point z. Where f is infinite there, z has left its domain, and momentum
// starts again at the last image.
ItemValues evaluate_extrapolated(const Run& run, const Items& items, const at::Tensor& x, at::Tensor& z, Reals& t,
                                 bool values) {
  ItemValues here = run.evaluate(z, values);
  if (!values) {
    return here;
  }
  Choice inside(items.size(), true);
  for (std::size_t i = 0; i < items.size(); ++i) {
    inside[i] = !items.running(i) || std::isfinite(here.values[i]);
    t[i] = inside[i] ? t[i] : 1.0;
  }
  if (std::ranges::all_of(inside, [](bool yes) { return yes; })) {
    return here;
  }
  z = choose(inside, z, x);
  return run.evaluate(z, values);
}

void check_finite(const Items& items, const Reals& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (items.running(i) && !std::isfinite(values[i])) {
      throw Error(c10::str("backtracking: the data fidelity is ", values[i],
                           " at the start: look for NaN in y, or start where it is finite"));
    }
  }
}

void check_numbers(const Reals& objective) {
  if (std::ranges::any_of(objective, [](double value) { return std::isnan(value); })) {
    throw Error("the objective is NaN: look for NaN in y, the operators and the prior");
  }
}

}  // namespace

OptimResult gradient_descent(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  if (const auto result = on_slabs(f, g, x0, options, gradient_descent)) {
    return *result;
  }
  const Algorithm algorithm{.title = "gradient descent", .checks = [&] {
                              check(!options.backtracking || g.explicit_prior(),
                                    "backtracking: needs a prior with a value, got ", g.name());
                            }};
  return run_algorithm(algorithm, f, g, x0, options, [&](const Run& run) {
    Descent descent(options, run.products(), run.items(),
                    lipschitz_if_needed(options, [&] { return f.lipschitz(x0) + options.lambda * g.lipschitz(); }));
    const bool values = options.objective || options.backtracking;
    const auto total = [&](const at::Tensor& x) {
      const at::Tensor slope = run.prior().grad(x);
      const Reals regularity = values ? run.prior().values(x, run.items()) : Reals();
      ItemValues here = run.evaluate(x, values);
      if (values) {
        add(here.values, regularity);
      }
      here.grad = at::add(here.grad, slope, options.lambda);
      return here;
    };
    ItemValues here;
    return run.iterate(
        [&](const at::Tensor& x, int iteration, Items& items) {
          if (iteration == 1) {
            here = total(x);
            if (options.backtracking) {
              check_finite(items, here.values);
            }
          } else {
            (void)descent.lengthen(items);
          }
          if (f.convex) {
            descent.watch(items, iteration, x, here.grad, stable);
          }
          ItemValues there;
          const at::Tensor next = descent(
              items, x, here, [&](const Reals& steps) { return items.keep(subtract(x, here.grad, steps), x); },
              [&](const at::Tensor& candidate) {
                there = total(candidate);
                return there.values;
              });
          here = there.grad.defined() ? there : total(next);
          return Step{.x = next, .objective = sum(here.values), .pace = descent.pace()};
        },
        advice);
  });
}

OptimResult proximal_gradient(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  if (const auto result = on_slabs(f, g, x0, options, proximal_gradient)) {
    return *result;
  }
  return run_algorithm({.title = "proximal gradient"}, f, g, x0, options, [&](const Run& run) {
    Descent descent(options, run.products(), run.items(),
                    lipschitz_if_needed(options, [&] { return f.lipschitz(x0); }));
    const bool values = options.objective || options.backtracking;
    ItemValues here;
    return run.iterate(
        [&](const at::Tensor& x, int iteration, Items& items) {
          if (iteration == 1) {
            here = run.evaluate(x, values);
            if (options.backtracking) {
              check_finite(items, here.values);
            }
          } else {
            (void)descent.lengthen(items);
          }
          if (f.convex) {
            descent.watch(items, iteration, x, here.grad, stable);
          }
          double regularity = unknown;
          const ItemValues start = here;
          const auto evaluate_at = [&](const at::Tensor& point) {
            regularity = options.objective ? sum(run.prior().values(point, items)) : unknown;
            here = run.evaluate(point, values);
            return here.values;
          };
          const at::Tensor next = descent(
              items, x, start,
              [&](const Reals& steps) {
                return items.keep(run.prior().prox(subtract(x, start.grad, steps), steps), x);
              },
              evaluate_at);
          if (!options.backtracking) {
            evaluate_at(next);
          }
          return Step{.x = next, .objective = sum(here.values) + regularity, .pace = descent.pace()};
        },
        advice);
  });
}

OptimResult fista(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  if (const auto result = on_slabs(f, g, x0, options, fista)) {
    return *result;
  }
  return run_algorithm({.title = "FISTA"}, f, g, x0, options, [&](const Run& run) {
    Descent descent(options, run.products(), run.items(),
                    lipschitz_if_needed(options, [&] { return f.lipschitz(x0); }));
    at::Tensor z = x0;
    Reals t(run.items().size(), 1.0);
    return run.iterate(
        [&](const at::Tensor& x, int iteration, Items& items) {
          const ItemValues here = evaluate_extrapolated(run, items, x, z, t, options.backtracking);
          if (options.backtracking) {
            check_finite(items, here.values);
          }
          if (f.convex) {
            descent.watch(items, iteration, z, here.grad, stable_with_momentum);
          }
          const at::Tensor next = descent(
              items, z, here,
              [&](const Reals& steps) { return items.keep(run.prior().prox(subtract(z, here.grad, steps), steps), x); },
              [&](const at::Tensor& candidate) { return f.values(candidate, items.count()); });
          const Reals growth = descent.lengthen(items);
          Reals weights(items.size(), 0.0);
          for (std::size_t i = 0; i < items.size(); ++i) {
            const double next_t = next_momentum(t[i], growth[i]);
            weights[i] = 1.0 + (t[i] - 1.0) / next_t;
            t[i] = next_t;
          }
          z = interpolate(x, next, weights);
          return Step{.x = next, .objective = run.objective_if_wanted(next), .pace = descent.pace()};
        },
        advice);
  });
}

OptimResult monotone_fista(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  if (const auto result = on_slabs(f, g, x0, options, monotone_fista)) {
    return *result;
  }
  const Algorithm algorithm{.title = "monotone FISTA", .checks = [&] {
                              check(g.explicit_prior(), "monotone_fista: needs a prior with a value, got ", g.name());
                            }};
  return run_algorithm(algorithm, f, g, x0, options, [&](const Run& run) {
    Descent descent(options, run.products(), run.items(),
                    lipschitz_if_needed(options, [&] { return f.lipschitz(x0); }));
    Reals objective;
    const auto evaluate_at = [&](const at::Tensor& point) {
      const Reals regularity = run.prior().values(point, run.items());
      const Reals values = f.values(point, run.items().count());
      objective = values;
      add(objective, regularity);
      return values;
    };
    const double round_off = 16.0 * precision(x0);
    at::Tensor z = x0;
    Reals t(run.items().size(), 1.0);
    Reals best;
    return run.iterate(
        [&](const at::Tensor& x, int iteration, Items& items) {
          if (iteration == 1) {
            evaluate_at(x);
            check_numbers(objective);
            best = objective;
          }
          const ItemValues here = evaluate_extrapolated(run, items, x, z, t, options.backtracking);
          if (options.backtracking) {
            check_finite(items, here.values);
          }
          if (f.convex) {
            descent.watch(items, iteration, z, here.grad, stable_with_momentum);
          }
          const at::Tensor candidate = descent(
              items, z, here,
              [&](const Reals& steps) { return items.keep(run.prior().prox(subtract(z, here.grad, steps), steps), x); },
              evaluate_at);
          if (!options.backtracking) {
            evaluate_at(candidate);
          }
          const Reals growth = descent.lengthen(items);
          check_numbers(objective);
          Choice better(items.size(), true);
          Reals weights(items.size(), 0.0);
          for (std::size_t i = 0; i < items.size(); ++i) {
            // What is no worse but for round-off goes on. A first objective may be infinite.
            better[i] = objective[i] <= best[i] || objective[i] - best[i] <= round_off * std::abs(best[i]);
            best[i] = std::min(best[i], objective[i]);
            const double next_t = next_momentum(t[i], growth[i]);
            // x⁺ + (t/t⁺)(candidate − x⁺) + ((t − 1)/t⁺)(x⁺ − x), of which one term vanishes.
            weights[i] = better[i] ? 1.0 + (t[i] - 1.0) / next_t : t[i] / next_t;
            t[i] = next_t;
          }
          z = interpolate(x, candidate, weights);
          return Step{.x = choose(better, candidate, x),
                      .objective = sum(best),
                      .candidate = candidate,
                      .pace = descent.pace()};
        },
        advice);
  });
}

OptimResult ordered_subsets(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OrderedSubsets& subsets,
                            const OptimOptions& options) {
  const auto solve = [&](const DataTerm& term, const Prior& prior, const at::Tensor& slab, const OptimOptions& own) {
    return ordered_subsets(term, prior, slab, subsets, own);
  };
  if (const auto result = on_slabs(f, g, x0, options, solve)) {
    return *result;
  }
  const Algorithm algorithm{.title = "ordered subsets",
                            .parameters = c10::str("count ", subsets.count, ", decay ", subsets.decay, ", "),
                            .checks = [&] {
                              check(subsets.count >= 1, "ordered_subsets: count must be at least 1, got ",
                                    subsets.count);
                              check(subsets.decay >= 0.0 && std::isfinite(subsets.decay),
                                    "ordered_subsets: decay must be finite and at least 0, got ", subsets.decay);
                              check(!options.backtracking, "ordered_subsets: does not backtrack");
                            }};
  return run_algorithm(algorithm, f, g, x0, options, [&](const Run& run) {
    Descent descent(options, run.products(), run.items(),
                    lipschitz_if_needed(options, [&] { return f.lipschitz(x0); }));
    const double first = descent.steps().front();
    const auto count = static_cast<double>(subsets.count);
    return run.iterate(
        [&](const at::Tensor& start, int iteration, Items& items) {
          const double step = first / (1.0 + subsets.decay * (iteration - 1));
          at::Tensor x = start;
          for (std::int64_t s = 0; s < subsets.count; ++s) {
            const at::Tensor slope = run.in_dtype(f.subset_grad(x, {.index = s, .count = subsets.count}));
            if (s == 0 && f.convex && options.step) {
              descent.set_steps(step * count);
              descent.watch(items, iteration, x, slope, stable);
            }
            x = run.prior().prox(at::sub(x, slope, step * count), Reals(items.size(), step));
          }
          x = items.keep(x, start);
          // A step that has become shorter is that part of a full one.
          Reals pace = f.convex && options.step ? descent.pace() : Reals(items.size(), step / first);
          return Step{.x = x, .objective = run.objective_if_wanted(x), .pace = std::move(pace)};
        },
        ", or take a shorter step or fewer subsets");
  });
}

}  // namespace adjoin
