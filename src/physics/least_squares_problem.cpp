// SPDX-License-Identifier: BSD-3-Clause
// The call of a solver in units in which nothing over- or underflows, and the report of its end.
#include "adjoin/physics/least_squares_problem.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/norms.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/fused.hpp"
#include "adjoin/solvers/krylov.hpp"
#include "adjoin/solvers/least_squares.hpp"
#include "adjoin/solvers/progress.hpp"
#include "physics/solve_gradients.hpp"
#include "solvers/scaling.hpp"

namespace adjoin {

namespace {

template <class Y, class X>
SolverOptions solver_options(const char* method, const LeastSquaresProblem<Y, X>& problem,
                             const DaggerOptions& options) {
  return {.max_iter = options.max_iter,
          .tol = options.tol,
          .items = problem.items,
          .monitor = progress_monitor(method, to_string(options.solver), options.verbose, options.monitor)};
}

// An image that is given in the place of one like `expected`: its dtype is that of the result.
template <class X>
void check_image(const char* method, const char* argument, const X& image, const X& expected) {
  check(image.sizes() == expected.sizes(), method, ": ", argument, " must have the image's shape, ", expected.sizes(),
        ", got ", image.sizes());
  check(image.is_complex() || !expected.is_complex(), method, ": ", argument, " must be complex as the image is, got ",
        image.scalar_type());
}

// Says how it ended, and gives the solution.
template <class X>
X reported(const DaggerOptions& options, SolverResult<X> result) {
  if (options.info != nullptr) {
    *options.info = {.reason = result.reason,
                     .iterations = result.iterations,
                     .relative_residuals = std::move(result.relative_residuals)};
  }
  return std::move(result.x);
}

template <class X>
SolverResult<X> solve_hermitian(Solver solver, const LinearMap<X, X>& H, const X& b, const SolverOptions& options,
                                const std::optional<X>& x0) {
  switch (solver) {
    case Solver::BiCGStab:
      return bicgstab(H, b, options, x0);
    case Solver::MINRES:
      return minres(H, b, options, x0);
    default:
      return conjugate_gradient(H, b, options, x0);
  }
}

template <class Y, class X>
SolverResult<X> solve_rectangular(const LeastSquaresProblem<Y, X>& problem, const DaggerOptions& options,
                                  const SolverOptions& common, double damping, const std::optional<X>& x0) {
  LeastSquaresOptions all;
  static_cast<SolverOptions&>(all) = common;
  all.damping = damping;
  return options.solver == Solver::LSQR ? lsqr<Y, X>(problem.A, problem.A_adjoint, problem.y, all, x0)
                                        : lsmr<Y, X>(problem.A, problem.A_adjoint, problem.y, all, x0);
}

// Units of y in which Aᵀ y does not under- or overflow; those of the solution as well.
template <class Y, class X>
Units units_of_y(const LeastSquaresProblem<Y, X>& problem, const X& adjoint) {
  const int limit = scale_limits(adjoint).vector;
  if (std::ranges::all_of(adjoin::norms(adjoint, problem.items), [&](double n) { return within(n, 2 * limit); }))
      [[likely]] {
    return Units(static_cast<std::size_t>(problem.items));
  }
  return Units::normalising(adjoin::norms(problem.y, problem.items), limit);
}

// Units of a prox's z and y in which z and the solution, which is at most ‖z‖ + √γ ‖y‖ / 2, are of order 1.
template <class Y, class X>
Units units_of_solution(const LeastSquaresProblem<Y, X>& problem, const X& z, const std::vector<double>& gammas) {
  Reals sizes = adjoin::norms(z, problem.items);
  const Reals measured = adjoin::norms(problem.y, problem.items);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    sizes[i] = std::max(sizes[i], std::sqrt(gammas[gammas.size() == 1 ? 0 : i]) * measured[i]);
  }
  return Units::normalising(sizes, scale_limits(z).vector);
}

template <class X>
bool are_plain(const X& image, std::int64_t items) {
  const int limit = scale_limits(image).vector;
  return std::ranges::all_of(adjoin::norms(image, items), [&](double n) { return n == 0.0 || within(n, limit); });
}

// The one unit of all items for each.
Units for_items(const Units& units, std::int64_t items) {
  Units result(static_cast<std::size_t>(items));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = units[units.size() == 1 ? 0 : i];
  }
  return result;
}

// The problem whose data terms are those of the items times γ_i, by the maps √γ_i A and √γ_i Aᵀ.
template <class Y, class X>
LeastSquaresProblem<Y, X> weighted_items(const LeastSquaresProblem<Y, X>& problem, const std::vector<double>& gammas) {
  Scalars roots;
  for (const double gamma : gammas) {
    roots.push_back(std::sqrt(gamma));
  }
  const auto scaled = [roots](const auto& vector) {
    auto copy = adjoin::clone(vector);
    adjoin::scale(roots, copy);
    return copy;
  };
  LeastSquaresProblem<Y, X> result;
  result.A = [scaled, A = problem.A](const X& x) { return scaled(A(x)); };
  result.A_adjoint = [scaled, A_adjoint = problem.A_adjoint](const Y& y) { return scaled(A_adjoint(y)); };
  result.y = scaled(problem.y);
  result.items = problem.items;
  return result;
}

}  // namespace

void check_options(const DaggerOptions& options) {
  check(options.max_iter >= 0, "DaggerOptions: max_iter must be at least 0, got ", options.max_iter);
  check(std::isfinite(options.tol) && options.tol >= 0.0, "DaggerOptions: tol must be finite and at least 0, got ",
        options.tol);
}

TensorList roots_of(const TensorList& weights) {
  TensorList roots = weights;
  for (at::Tensor& one : roots) {
    check(one.defined() && !one.is_complex(), "weights must be real tensors, got ",
          one.defined() ? c10::toString(one.scalar_type()) : "an undefined one");
    const bool valid = one.numel() == 0 || at::isfinite(one).logical_and_(one >= 0).all().item<bool>();
    check(valid, "weights must be finite and at least 0");
    one = one.sqrt();
  }
  return roots;
}

at::Tensor weighed(const at::Tensor& y, const at::Tensor& weights) {
  check(weights_fit(weights, y), "weights must broadcast to the measurements ", y.sizes(), ", got ", weights.sizes());
  return y * weights_for(weights, y);
}

TensorList weighed(const TensorList& y, const TensorList& weights) {
  TensorList result = y;
  for (std::size_t i = 0; i < y.size(); ++i) {
    result[i] = weighed(y[i], weights[i]);
  }
  return result;
}

Monitor progress_monitor(const char* method, std::string_view solver, bool verbose, const Monitor& monitor) {
  if (!verbose) {
    return monitor;
  }
  Monitor bar = progress_bar(std::string(method) + " (" + std::string(solver) + ")");
  if (!monitor) {
    return bar;
  }
  return [bar = std::move(bar), monitor](const IterationInfo& info) {
    bar(info);
    return monitor(info);
  };
}

namespace {

// What the solutions below are where autograd follows nothing.
template <class Y, class X>
X least_squares_solution(const LeastSquaresProblem<Y, X>& problem, const DaggerOptions& options,
                         std::optional<X> init) {
  const c10::NoGradGuard no_grad;
  const SolverOptions common = solver_options("A_dagger", problem, options);
  if (!uses_normal_equations(options.solver)) {
    return reported(options, solve_rectangular(problem, options, common, 0.0, init));
  }
  X b = problem.A_adjoint_y.defined() ? problem.A_adjoint_y : problem.A_adjoint(problem.y);
  if (init) {
    check_image("A_dagger", "init", *init, b);
  }
  const Units units = units_of_y(problem, b);
  if (!units.trivial()) {
    b = problem.A_adjoint(units.scaled(problem.y));
    init = init ? std::optional<X>(units.scaled(*init)) : init;
  }
  SolverResult<X> result = solve_hermitian(options.solver, problem.A_adjoint_A, b, common, init);
  restore("A_dagger", units.inverse(), result.x);
  return reported(options, std::move(result));
}

template <class Y, class X>
X proximal_solution(const LeastSquaresProblem<Y, X>& problem, const X& z, const Gamma& gamma,
                    const DaggerOptions& options, const std::optional<X>& init) {
  const c10::NoGradGuard no_grad;
  const SolverOptions common = solver_options("prox_l2", problem, options);
  const std::vector<double> gammas = gamma.for_items("prox_l2", gamma.is_single() ? 1 : problem.items);
  if (!uses_normal_equations(options.solver)) {
    const std::optional<X> around = z;
    return reported(options, gamma.is_single()
                                 ? solve_rectangular(problem, options, common, 1.0 / std::sqrt(gammas[0]), around)
                                 : solve_rectangular(weighted_items(problem, gammas), options, common, 1.0, around));
  }
  // γ AᵀA as (γ/s) AᵀA s, with s = 1 or, where γ is far from 1, about √γ: it may well be A that makes γ large or small.
  constexpr int far = 40;
  Units roots(gammas.size());
  Scalars factors;
  for (std::size_t i = 0; i < gammas.size(); ++i) {
    roots[i] = within(gammas[i], far) ? 0 : std::ilogb(gammas[i]) / 2;
    factors.push_back(std::ldexp(gammas[i], -roots[i]));
  }
  X adjoint = roots.trivial() && problem.A_adjoint_y.defined() ? problem.A_adjoint_y
                                                               : problem.A_adjoint(roots.scaled(problem.y));
  check_image("prox_l2", "z", z, adjoint);
  // image + factor x, item by item, in the dtype of the image.
  const auto plus = [&](const X& image, const X& x) {
    if constexpr (std::is_same_v<X, at::Tensor>) {
      if (gamma.is_single()) {
        return at::add(image, x.to(image.scalar_type()), factors[0].real());
      }
    }
    X sum = adjoin::clone(image);
    adjoin::axpy(factors, x.to(image.scalar_type()), sum);
    return sum;
  };
  const LinearMap<X, X> H = [&](const X& x) { return plus(x, problem.A_adjoint_A(roots.scaled(x))); };
  X b = plus(z, adjoint);
  std::optional<X> start = init ? *init : z;
  const Units units = roots.trivial() && are_plain(z, problem.items) && are_plain(b, problem.items)
                          ? Units(static_cast<std::size_t>(problem.items))
                          : units_of_solution(problem, z, gammas);
  if (!units.trivial()) {
    adjoint = problem.A_adjoint((units * for_items(roots, problem.items)).scaled(problem.y));
    b = plus(units.scaled(z), adjoint);
    start = units.scaled(*start);
  }
  SolverResult<X> result = solve_hermitian(options.solver, H, b, common, start);
  restore("prox_l2", units.inverse(), result.x);
  return reported(options, std::move(result));
}

}  // namespace

template <class Y>
at::Tensor solve_least_squares(const LeastSquaresProblem<Y>& problem, const DaggerOptions& options) {
  check_options(options);
  at::Tensor x = followed_least_squares(problem, options);
  return x.defined() ? x : least_squares_solution(problem, options, options.init);
}

ShardedImage solve_least_squares(const LeastSquaresProblem<ShardedTensorList, ShardedImage>& problem,
                                 const DaggerOptions& options, const std::optional<ShardedImage>& init) {
  check_options(options);
  return least_squares_solution(problem, options, init);
}

template <class Y>
at::Tensor solve_prox_l2(const LeastSquaresProblem<Y>& problem, const at::Tensor& z, const Gamma& gamma,
                         const DaggerOptions& options) {
  check_options(options);
  gamma.check_positive("prox_l2");
  at::Tensor x = followed_prox_l2(problem, z, gamma, options);
  return x.defined() ? x : proximal_solution(problem, z, gamma, options, options.init);
}

ShardedImage solve_prox_l2(const LeastSquaresProblem<ShardedTensorList, ShardedImage>& problem, const ShardedImage& z,
                           const Gamma& gamma, const DaggerOptions& options, const std::optional<ShardedImage>& init) {
  check_options(options);
  gamma.check_positive("prox_l2");
  return proximal_solution(problem, z, gamma, options, init);
}

#define ADJOIN_INSTANTIATE(Y)                                                                       \
  template at::Tensor solve_least_squares(const LeastSquaresProblem<Y>&, const DaggerOptions&);     \
  template at::Tensor solve_prox_l2(const LeastSquaresProblem<Y>&, const at::Tensor&, const Gamma&, \
                                    const DaggerOptions&);

ADJOIN_INSTANTIATE(at::Tensor)
ADJOIN_INSTANTIATE(TensorList)
ADJOIN_INSTANTIATE(ShardedTensorList)

}  // namespace adjoin
