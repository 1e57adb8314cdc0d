// SPDX-License-Identifier: BSD-3-Clause
// Stacks of linear operators: pseudoinverse, proximal step, norm and adjoint test.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "adjoin/physics/adjointness.hpp"
#include "adjoin/physics/least_squares_problem.hpp"
#include "adjoin/physics/sqnorm.hpp"
#include "adjoin/physics/stacked.hpp"
#include "physics/stack_calls.hpp"

namespace adjoin {

namespace {

// Options of a solve with the operator's own parameters.
template <class Options>
Options with_params(const Options& options, const Params& params) {
  Options own = options;
  own.params = params;
  return own;
}

// Measurements cut off from autograd.
TensorList cut_off(const TensorList& y) {
  TensorList cut = y;
  for (at::Tensor& entry : cut) {
    entry = entry.defined() ? primal_of(entry).detach() : entry;
  }
  return cut;
}

}  // namespace

// Measurements under the inner product of this stack.
ShardedTensorList StackedLinearPhysics::as_vector(TensorList y) const {
  return {.local = std::move(y), .space = space_};
}

// Among images like `image`; one known beforehand spares an application of the adjoint.
LeastSquaresProblem<ShardedTensorList> StackedLinearPhysics::least_squares_problem(const TensorList& y,
                                                                                   at::Tensor image,
                                                                                   const DaggerOptions& options) const {
  const Params& params = options.params;
  if (!options.weights.empty()) {
    return weighted_least_squares_problem(y, std::move(image), options);
  }
  at::Tensor A_adjoint_y;
  if (!image.defined()) {
    A_adjoint_y = A_adjoint(cut_off(y), params);
    image = A_adjoint_y;
  }
  return {
      .A = [this, params, kept = std::make_shared<TensorList>()](
               const at::Tensor& x) { return as_vector(A_reusing(*kept, x, params)); },
      .A_adjoint = [this, params, like = image.detach()](
                       const ShardedTensorList& v) { return in_space_of(like, A_adjoint_for(v.local, like, params)); },
      .A_adjoint_A = [this, params](const at::Tensor& x) { return in_space_of(x, A_adjoint_A(x, params)); },
      .y = as_vector(y),
      .items = common_items(image, y),
      .A_adjoint_y = A_adjoint_y};
}

// The same for weights W: measurements and operators times √W.
LeastSquaresProblem<ShardedTensorList> StackedLinearPhysics::weighted_least_squares_problem(
    const TensorList& y, at::Tensor image, const DaggerOptions& options) const {
  stacks::check_weights("weights", options.weights, size());
  const auto roots = std::make_shared<TensorList>(roots_of(options.weights));
  at::Tensor A_adjoint_y;
  if (!image.defined()) {
    A_adjoint_y = A_adjoint(weighed(weighed(cut_off(y), *roots), *roots), options.params);
    image = A_adjoint_y;
  }
  return {.A = [this, params = options.params,
                roots](const at::Tensor& x) { return as_vector(weighed(A(x, params), *roots)); },
          .A_adjoint =
              [this, params = options.params, roots, like = image.detach()](const ShardedTensorList& v) {
                return in_space_of(like, A_adjoint_for(weighed(v.local, *roots), like, params));
              },
          .A_adjoint_A = [this, params = options.params, weights = options.weights](
                             const at::Tensor& x) { return in_space_of(x, A_adjoint_W_A(x, weights, params)); },
          .y = as_vector(weighed(y, *roots)),
          .items = common_items(image, y),
          .A_adjoint_y = A_adjoint_y};
}

void StackedLinearPhysics::check_solvable(const char* method, const TensorList& y) const {
  check(size() > 0, method, ": the stack must have an operator, got an empty one");
  stacks::check_count(method, "y", y, size());
}

at::Tensor StackedLinearPhysics::A_dagger(const TensorList& y, const DaggerOptions& options) const {
  check_solvable("A_dagger", y);
  if (size() == 1) {
    const stacks::Taken own(*this, options.params);
    return for_operator(0, [&] { return operators_[0]->A_dagger(y[0], with_params(options, own[0])); });
  }
  at::Tensor image = options.init.value_or(at::Tensor());
  for (std::size_t i = 0; i < size() && !image.defined(); ++i) {
    image = operators_[i]->image_like(y[i]);
  }
  return solve_least_squares(least_squares_problem(y, image, options), options);
}

at::Tensor StackedLinearPhysics::A_dagger_mean(const TensorList& y, const DaggerOptions& options) const {
  check_solvable("A_dagger_mean", y);
  check(options.weights.empty() || options.weights.size() == size(), "A_dagger_mean: weights must hold ", size(),
        " tensors, one for each operator, got ", options.weights.size());
  const stacks::Taken params(*this, options.params);
  SolveInfo info;
  const auto dagger = [&](std::size_t i) {
    SolveInfo one;
    DaggerOptions own = with_params(options, params[i]);
    own.info = &one;
    if (!own.weights.empty()) {
      own.weights = {options.weights[i]};
    }
    at::Tensor x = operators_[i]->A_dagger(y[i], own);
    info.add(one);
    return x;
  };
  at::Tensor mean = stacks::divide(stacks::sum(size(), {}, dagger), size());
  if (options.info != nullptr) {
    *options.info = std::move(info);
  }
  return mean;
}

at::Tensor StackedLinearPhysics::prox_l2(const at::Tensor& z, const TensorList& y, const Gamma& gamma,
                                         const DaggerOptions& options) const {
  stacks::check_image("prox_l2", "z", z);
  check_solvable("prox_l2", y);
  return solve_prox_l2(least_squares_problem(y, z, options), z, gamma, options);
}

double StackedLinearPhysics::compute_sqnorm(const at::Tensor& x0, const SqnormOptions& options) const {
  stacks::check_image("compute_sqnorm", "x0", x0);
  check_options(options);
  if (size() <= 1) {
    const stacks::Taken own(*this, options.params);
    return size() == 0
               ? 0.0
               : for_operator(0, [&] { return operators_[0]->compute_sqnorm(x0, with_params(options, own[0])); });
  }
  return estimate_sqnorm([&](const at::Tensor& x) { return in_space_of(x, A_adjoint_A(x, options.params)); }, x0,
                         options);
}

double StackedLinearPhysics::guess_sqnorm(const at::Tensor& x0, const Params& params) const {
  stacks::check_image("guess_sqnorm", "x0", x0);
  if (size() == 0) {
    return 0.0;
  }
  const std::optional<double> kept = params.empty() ? kept_sqnorm_.find(x0, version()) : std::nullopt;
  if (kept) {
    return *kept;
  }
  const double guess =
      adjoin::guess_sqnorm([&](const at::Tensor& x) { return in_space_of(x, A_adjoint_A(x, params)); }, x0);
  if (params.empty()) {
    kept_sqnorm_.keep(x0, version(), guess);
  }
  return guess;
}

SqnormBounds StackedLinearPhysics::sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  stacks::check_image("sqnorm_bounds", "x0", x0);
  check_options(options);
  const stacks::Taken own(*this, options.params);
  SqnormBounds bounds;
  for (std::size_t i = 0; i < size(); ++i) {
    const SqnormBounds one = for_operator(
        static_cast<std::int64_t>(i), [&] { return operators_[i]->sqnorm_bounds(x0, with_params(options, own[i])); });
    bounds.lower = std::max(bounds.lower, weight() * one.lower);
    bounds.upper += weight() * one.upper;
  }
  return bounds;
}

double StackedLinearPhysics::adjointness_test(const at::Tensor& u, std::uint64_t seed, const Params& params) const {
  const c10::NoGradGuard no_grad;
  if (size() == 0) {
    return 0.0;
  }
  const ShardedTensorList Au = as_vector(A(u, params));
  ShardedTensorList v = Au;
  for (std::size_t i = 0; i < size(); ++i) {
    v.local[i] = adjoin::randn_like(Au.local[i], seed + i);
  }
  return adjoint_mismatch(u, Au, v, A_adjoint_for(v.local, u, params));
}

}  // namespace adjoin
