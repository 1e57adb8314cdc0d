#include "adjoin/optim/algorithms.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "optim/elementwise.hpp"

namespace adjoin {

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

// The step to start with: the one asked for, else 1/lipschitz where that is finite, else 1 if backtracking will mend
// it.
double first_step(const OptimOptions& options, const std::function<double()>& lipschitz) {
  check_options(options);
  if (options.step) {
    return *options.step;
  }
  const double bound = lipschitz();
  check(std::isfinite(bound) || options.backtracking,
        "step: must be given, or backtracking asked for, since the gradient has no Lipschitz constant");
  return std::isfinite(bound) && bound > 0.0 ? 1.0 / bound : 1.0;
}

// λ g, whose failure on one rank the next message of f brings to all; until then its results are NaN.
class PriorTerm {
 public:
  PriorTerm(const DataTerm& f, const Prior& g, const OptimOptions& options) : f_(f), g_(g), lambda_(options.lambda) {}

  // λ g(x), 0 for a prior without a value.
  double value(const at::Tensor& x) const {
    double result = unknown;
    run([&] { result = g_.explicit_prior() ? lambda_ * g_.fn(x).item<double>() : 0.0; });
    return result;
  }
  // ∇g(x), without λ.
  at::Tensor grad(const at::Tensor& x) const {
    return image(x, [&] { return g_.grad(x); });
  }
  // prox of step λ g.
  at::Tensor prox(const at::Tensor& x, double step) const {
    return image(x, [&] { return g_.prox(x, step * lambda_); });
  }

 private:
  template <class Work>
  at::Tensor image(const at::Tensor& x, const Work& work) const {
    at::Tensor result;
    run([&] { result = work(); });
    return result.defined() ? result : at::full_like(x, unknown);
  }
  template <class Work>
  void run(const Work& work) const {
    if (f_.deferring) {
      f_.deferring(work);
    } else {
      work();
    }
  }

  const DataTerm& f_;
  const Prior& g_;
  double lambda_;
};

// f(x) + λ g(x), where the objective is wanted. The prior first: its failure then travels with the value of f.
double objective_if_wanted(const DataTerm& f, const PriorTerm& g, const at::Tensor& x, const OptimOptions& options) {
  if (!options.objective) {
    return unknown;
  }
  const double prior = g.value(x);
  return f.fn(x) + prior;
}

// For algorithms whose iteration ends with the prior: what tells every rank of a failure in the last one.
std::function<void()> settling(const DataTerm& f, NextMessage next) {
  return f.settle ? [&f, next] { f.settle(next); } : std::function<void()>();
}

// Re ⟨a, b⟩.
double real_dot(const at::Tensor& a, const at::Tensor& b) { return adjoin::dot(a, b)[0].real(); }

// Steps x⁺ = next(τ) from z, with value and gradient of the smooth part there, and how τ is found.
class Descent {
 public:
  Descent(const OptimOptions& options, double step) : options_(options), step_(step) {}

  double step() const { return step_; }

  // `value(x⁺)` is asked for only with backtracking: then τ is halved until f(x⁺) is below the quadratic model at z.
  template <class Next, class Value>
  at::Tensor operator()(const at::Tensor& z, const ValueAndGradient& here, const Next& next, const Value& value) {
    at::Tensor x = next(step_);
    if (!options_.backtracking) {
      return x;
    }
    constexpr int most_halvings = 60;
    const bool is_double = c10::toRealValueType(z.scalar_type()) == at::kDouble;
    const double round_off = (is_double ? 1e-14 : 1e-6) * std::abs(here.value);
    for (int k = 0; k < most_halvings; ++k) {
      const at::Tensor moved = x - z;
      const double model =
          here.value + real_dot(here.grad, moved) + adjoin::squared_norm(moved)[0].real() / (2.0 * step_);
      if (value(x) <= model + round_off) {
        return x;
      }
      step_ *= 0.5;
      x = next(step_);
    }
    throw Error("backtracking: no step is short enough; is the gradient that of the value?");
  }

 private:
  const OptimOptions& options_;
  double step_;
};

// Gradient, and value if something needs it.
ValueAndGradient evaluate(const DataTerm& f, const at::Tensor& x, bool value) {
  return value ? f.fn_and_grad(x) : ValueAndGradient{.value = unknown, .grad = f.grad(x)};
}

// FISTA's t_{k+1}.
double next_momentum(double t) { return 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * t * t)); }

}  // namespace

OptimResult gradient_descent(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  const c10::NoGradGuard no_grad;
  Descent descent(options, first_step(options, [&] { return f.lipschitz(x0) + options.lambda * g.lipschitz(); }));
  const bool values = options.objective || options.backtracking;
  check(!options.backtracking || g.explicit_prior(), "backtracking: needs a prior with a value, got ", g.name());
  const PriorTerm prior(f, g, options);
  const auto total = [&](const at::Tensor& x) {
    const at::Tensor slope = prior.grad(x);
    const double value = values ? prior.value(x) : unknown;
    ValueAndGradient here = evaluate(f, x, values);
    here.value += value;
    here.grad = at::add(here.grad, slope, options.lambda);
    return here;
  };
  ValueAndGradient here;
  return optimise(
      "gradient descent", x0,
      [&](const at::Tensor& x, int iteration) {
        if (iteration == 1) {
          here = total(x);
        }
        ValueAndGradient there;
        const at::Tensor next = descent(
            x, here, [&](double step) { return at::sub(x, here.grad, step); },
            [&](const at::Tensor& candidate) {
              there = total(candidate);
              return there.value;
            });
        here = there.grad.defined() ? there : total(next);
        return Iterate{.x = next, .objective = here.value};
      },
      options, f.on_all_ranks);
}

OptimResult proximal_gradient(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  const c10::NoGradGuard no_grad;
  Descent descent(options, first_step(options, [&] { return f.lipschitz(x0); }));
  const bool values = options.objective || options.backtracking;
  const PriorTerm prior(f, g, options);
  ValueAndGradient here;
  return optimise(
      "proximal gradient", x0,
      [&](const at::Tensor& x, int iteration) {
        if (iteration == 1) {
          here = evaluate(f, x, values);
        }
        double regularity = unknown;
        const auto evaluate_at = [&](const at::Tensor& point) {
          regularity = options.objective ? prior.value(point) : unknown;
          here = evaluate(f, point, values);
          return here.value;
        };
        const ValueAndGradient start = here;
        const at::Tensor next =
            descent(x, start, [&](double step) { return prior.prox(at::sub(x, start.grad, step), step); }, evaluate_at);
        if (!options.backtracking) {
          evaluate_at(next);
        }
        return Iterate{.x = next, .objective = here.value + regularity};
      },
      options, f.on_all_ranks);
}

OptimResult fista(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  const c10::NoGradGuard no_grad;
  Descent descent(options, first_step(options, [&] { return f.lipschitz(x0); }));
  const PriorTerm prior(f, g, options);
  at::Tensor z = x0;
  double t = 1.0;
  return optimise(
      "FISTA", x0,
      [&](const at::Tensor& x, int) {
        const ValueAndGradient here = evaluate(f, z, options.backtracking);
        const at::Tensor next =
            descent(z, here, [&](double step) { return prior.prox(at::sub(z, here.grad, step), step); }, f.fn);
        const double next_t = next_momentum(t);
        z = at::lerp(x, next, 1.0 + (t - 1.0) / next_t);
        t = next_t;
        return Iterate{.x = next, .objective = objective_if_wanted(f, prior, next, options)};
      },
      options, f.on_all_ranks, settling(f, NextMessage::gradient));
}

OptimResult monotone_fista(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  const c10::NoGradGuard no_grad;
  check(g.explicit_prior(), "monotone_fista: needs a prior with a value, got ", g.name());
  Descent descent(options, first_step(options, [&] { return f.lipschitz(x0); }));
  const PriorTerm prior(f, g, options);
  double objective = unknown;
  const auto evaluate_at = [&](const at::Tensor& point) {
    const double regularity = prior.value(point);
    const double value = f.fn(point);
    objective = value + regularity;
    return value;
  };
  at::Tensor z = x0;
  double t = 1.0;
  double best = unknown;
  return optimise(
      "monotone FISTA", x0,
      [&](const at::Tensor& x, int iteration) {
        if (iteration == 1) {
          evaluate_at(x);
          best = objective;
        }
        const ValueAndGradient here = evaluate(f, z, options.backtracking);
        const at::Tensor candidate =
            descent(z, here, [&](double step) { return prior.prox(at::sub(z, here.grad, step), step); }, evaluate_at);
        if (!options.backtracking) {
          evaluate_at(candidate);
        }
        const bool better = !(objective > best);  // a first objective may be infinite
        const double next_t = next_momentum(t);
        // x⁺ + (t/t⁺)(candidate − x⁺) + ((t − 1)/t⁺)(x⁺ − x), of which one term vanishes.
        z = better ? at::lerp(x, candidate, 1.0 + (t - 1.0) / next_t) : at::lerp(x, candidate, t / next_t);
        t = next_t;
        best = better ? objective : best;
        return Iterate{.x = better ? candidate : x, .objective = best, .change = relative_change(candidate, x)};
      },
      options, f.on_all_ranks);
}

OptimResult hqs(const DataTerm& f, const Prior& g, const at::Tensor& x0, const std::vector<double>& gammas,
                const OptimOptions& options) {
  const c10::NoGradGuard no_grad;
  check_options(options);
  check(!gammas.empty(), "gammas: must hold a positive number, got none");
  for (const double gamma : gammas) {
    check_step("hqs", "gammas", gamma);
  }
  const PriorTerm prior(f, g, options);
  at::Tensor u;
  return optimise(
      "half-quadratic splitting", x0,
      [&](const at::Tensor& x, int iteration) {
        const double gamma = gammas[std::min(gammas.size(), static_cast<std::size_t>(iteration)) - 1];
        u = f.prox(x, gamma, u);
        const at::Tensor next = prior.prox(u, gamma);
        return Iterate{.x = next, .objective = objective_if_wanted(f, prior, next, options)};
      },
      options, f.on_all_ranks, settling(f, NextMessage::prox));
}

OptimResult admm(const DataTerm& f, const Prior& g, const at::Tensor& x0, double gamma, const OptimOptions& options) {
  const c10::NoGradGuard no_grad;
  check_options(options);
  check_step("admm", "gamma", gamma);
  const PriorTerm prior(f, g, options);
  at::Tensor u;
  at::Tensor z = at::zeros_like(x0);
  return optimise(
      "ADMM", x0,
      [&](const at::Tensor& x, int) {
        u = f.prox(x - z, gamma, u);
        const at::Tensor next = prior.prox(u + z, gamma);
        const at::Tensor disagreement = u - next;
        z += disagreement;
        const double size = std::max(adjoin::norm(next), std::numeric_limits<double>::min());
        return Iterate{.x = next,
                       .objective = objective_if_wanted(f, prior, next, options),
                       .change = std::max(adjoin::norm(disagreement) / size, relative_change(next, x))};
      },
      options, f.on_all_ranks, settling(f, NextMessage::prox));
}

OptimResult primal_dual(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  const c10::NoGradGuard no_grad;
  check_options(options);
  const double sqnorm = f.sqnorm(x0);
  check(sqnorm > 0.0, "primal_dual: A must not be zero");
  const double tau = options.step.value_or(1.0 / std::sqrt(sqnorm));
  const double sigma = 1.0 / (tau * sqnorm);
  const PriorTerm prior(f, g, options);
  TensorList u;
  at::Tensor z = x0;
  return optimise(
      "primal-dual", x0,
      [&](const at::Tensor& x, int) {
        const at::Tensor slope = f.dual_step(u, z, sigma);
        const at::Tensor next = prior.prox(at::sub(x, slope, tau), tau);
        z = at::lerp(x, next, 2.0);
        return Iterate{.x = next, .objective = objective_if_wanted(f, prior, next, options)};
      },
      options, f.on_all_ranks, settling(f, NextMessage::gradient));
}

OptimResult ordered_subsets(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OrderedSubsets& subsets,
                            const OptimOptions& options) {
  const c10::NoGradGuard no_grad;
  check(subsets.count >= 1, "ordered_subsets: count must be at least 1, got ", subsets.count);
  check(subsets.decay >= 0.0 && std::isfinite(subsets.decay),
        "ordered_subsets: decay must be finite and at least 0, got ", subsets.decay);
  check(!options.backtracking, "ordered_subsets: does not backtrack");
  const double first = first_step(options, [&] { return f.lipschitz(x0); });
  const PriorTerm prior(f, g, options);
  const auto count = static_cast<double>(subsets.count);
  return optimise(
      "ordered subsets", x0,
      [&](const at::Tensor& start, int iteration) {
        const double step = first / (1.0 + subsets.decay * (iteration - 1));
        at::Tensor x = start;
        for (std::int64_t s = 0; s < subsets.count; ++s) {
          const at::Tensor slope = f.subset_grad(x, {.index = s, .count = subsets.count});
          x = prior.prox(at::sub(x, slope, step * count), step);
        }
        return Iterate{.x = x, .objective = objective_if_wanted(f, prior, x, options)};
      },
      options, f.on_all_ranks, settling(f, NextMessage::gradient));
}

}  // namespace adjoin
