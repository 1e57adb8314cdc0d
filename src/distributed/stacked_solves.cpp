// SPDX-License-Identifier: BSD-3-Clause
// Pseudoinverse, proximal step and norm of stacks: solves whose vectors are images, replicated, and measurements, which
// stay on their ranks.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "adjoin/core/gradients.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/physics/adjointness.hpp"
#include "adjoin/physics/sqnorm.hpp"
#include "distributed/solve_arguments.hpp"

namespace adjoin {

namespace {

std::string layout(const at::Tensor& tensor) {
  return tensor.defined() ? c10::str(tensor.scalar_type(), " ", tensor.sizes()) : "none";
}

CallArguments arguments_of(const DaggerOptions& options) {
  CallArguments arguments = solve_arguments(options);
  arguments.add("init", layout(options.init.value_or(at::Tensor())));
  if (options.init) {
    arguments.add_tensor("init", *options.init);
  }
  return arguments;
}

CallArguments arguments_of(const SqnormOptions& options, const at::Tensor& x0) {
  CallArguments arguments;
  return arguments.add("max_iter", options.max_iter).add("tol", options.tol).add("x0", layout(x0));
}

}  // namespace

// ---- Least squares -----------------------------------------------------------------------------------------------

// A monitor may ask to stop on one rank only: then all stop, at the price of one small message an iteration. The
// progress bar is rank 0's.
DaggerOptions DistributedStackedLinearPhysics::with_common_monitor(const DaggerOptions& options) const {
  DaggerOptions own = options;
  own.verbose = options.verbose && context_.rank() == 0;
  if (options.monitor) {
    own.monitor = [this, monitor = options.monitor](const IterationInfo& info) {
      const bool more = everyone_->deferring([&] { return monitor(info); }, [] { return false; });
      return everyone_->agree_min(more ? 1.0 : 0.0) > 0.0;
    };
  }
  return own;
}

// Failures of the local steps are thrown on every rank by the next reduction. `image` gives the shape of the image, if
// it is known. The solvers only read what the maps return, and are done with it at the second application after.
LeastSquaresProblem<ShardedTensorList> DistributedStackedLinearPhysics::problem(const TensorList& part,
                                                                                at::Tensor image,
                                                                                const Params& params) const {
  // Aᵀ v for images like `like`, where that is known.
  const auto adjoint_of = [this, &params](const ShardedTensorList& v, Exchange::Memory memory, const at::Tensor& like) {
    const auto sum = [&](const at::Tensor& out) {
      return weighted(like.defined() ? local_.A_adjoint_for_sum(v.local, like, out, params)
                                     : local_.A_adjoint_sum(v.local, out, params),
                      out, weight());
    };
    return exchange_->reduce(image_plans_->sums, sum, {.memory = memory});
  };
  LeastSquaresProblem<ShardedTensorList> problem;
  problem.y = sharded(part);
  problem.A = [this, part, &params, kept = std::make_shared<TensorList>()](const at::Tensor& x) {
    return measured_in_solve(*kept, x, part, params);
  };
  if (!image.defined()) {
    problem.A_adjoint_y = image = adjoint_of(problem.y, Exchange::Memory::own, {});
  }
  problem.A_adjoint = [adjoint_of, image](const ShardedTensorList& v) {
    return in_space_of(image, adjoint_of(v, Exchange::Memory::shared, image));
  };
  problem.A_adjoint_A = [this, &params](const at::Tensor& x) {
    return in_space_of(x, normal(Exchange::Memory::shared, x, params, weight()));
  };
  const auto items = common_items(image, part);
  problem.items = static_cast<std::int64_t>(exchange_->agree_min(static_cast<double>(items)));
  return problem;
}

ShardedTensorList DistributedStackedLinearPhysics::measured_in_solve(TensorList& kept, const at::Tensor& x,
                                                                     const TensorList& part,
                                                                     const Params& params) const {
  const auto step = [&] {
    TensorList Ax = local_.A_reusing(kept, x, params);
    for (std::size_t k = 0; k < Ax.size(); ++k) {
      check(Ax[k].sizes() == part[k].sizes(), "y: entry ", local_indices()[k], " must have the shape of A x, ",
            Ax[k].sizes(), ", got ", part[k].sizes());
    }
    return Ax;
  };
  return sharded(everyone_->deferring(step, [&] { return adjoin::zeros_like(part); }));
}

at::Tensor DistributedStackedLinearPhysics::A_dagger(const Measurements& y,
                                                     const DistributedDaggerOptions& options) const {
  check_no_grid("A_dagger");
  const DaggerOptions own{.solver = options.solver,
                          .max_iter = options.max_iter,
                          .tol = options.tol,
                          .verbose = options.verbose && context_.rank() == 0,
                          .init = options.init,
                          .params = options.params,
                          .monitor = options.monitor,
                          .info = options.info};
  const auto local_mean = [&](const at::Tensor& /*out*/) {
    const TensorList mine = local_part("A_dagger: y", y);
    if (local_.size() == 0) {
      if (own.info != nullptr) {
        *own.info = {};
      }
      return at::Tensor();
    }
    const double share = static_cast<double>(local_.size()) / static_cast<double>(num_operators());
    return local_.A_dagger_mean(mine, own) * share;
  };
  if (!options.local_only && (records_gradients(y.list()) || uses_followed(options.params))) {
    return followed_dagger(y, options);
  }
  if (options.local_only && options.gather && (records_gradients(y.list()) || uses_followed(options.params))) {
    const TensorList list = y.list();
    const auto part = [this, own, count = list.size(),
                       share = static_cast<double>(local_.size()) /
                               static_cast<double>(num_operators())](const Tensors& inputs) -> Tensors {
      const at::ArrayRef<at::Tensor> all(inputs);
      const TensorList given(all.slice(0, count).vec());
      DaggerOptions with_inputs = own;
      with_inputs.params = with_tensors(own.params, all.slice(count));
      const TensorList mine = local_part("A_dagger: y", given);
      return {local_.size() == 0 ? at::Tensor() : local_.A_dagger_mean(mine, with_inputs) * share};
    };
    const Spread::Kind spread = y.is_whole(*space_) ? Spread::item : Spread::owned;
    return recorded(recording("A_dagger", image_plans_), RecordedInputs().add(list, spread).add(options.params),
                    {Spread::replicated}, part)[0];
  }
  if (options.local_only && !options.gather) {
    const at::Tensor sum = exchange_->local([&] { return local_mean({}); });
    return sum.defined() ? sum : at::zeros({}, context_.device());
  }
  CallArguments arguments = arguments_of(own);
  arguments.add("local_only", options.local_only).add("layout", to_string(options.layout));
  if (y.is_whole(*space_)) {
    arguments.add_list("y", y.list());
  }
  return exchange_->call("A_dagger", arguments, [&] {
    check_options(own);
    if (options.local_only) {
      return exchange_->reduce(image_plans_->sums, local_mean);
    }
    const c10::NoGradGuard no_grad;
    const TensorList mine = local_part("A_dagger: y", y);
    return dagger_by_layout(mine, own, options.layout);
  });
}

at::Tensor DistributedStackedLinearPhysics::prox_l2(const at::Tensor& z, const Measurements& y, const Gamma& gamma,
                                                    const DaggerOptions& options, ImageLayout layout_of_images) const {
  check_no_grid("prox_l2");
  if (records_gradients(z) || records_gradients(y.list()) || records_gradients(gamma.tensor()) ||
      uses_followed(options.params)) {
    return followed_prox(z, y, gamma, options);
  }
  CallArguments arguments = arguments_of(options);
  arguments.add("gamma", gamma.text())
      .add("z", layout(z))
      .add("layout", to_string(layout_of_images))
      .add_tensor("z", z);
  if (y.is_whole(*space_)) {
    arguments.add_list("y", y.list());
  }
  return exchange_->call("prox_l2", arguments, [&] {
    const c10::NoGradGuard no_grad;
    check_options(options);
    gamma.check_positive("prox_l2");
    check_tensor("prox_l2: z", z);
    const TensorList mine = local_part("prox_l2: y", y);
    if (uses_slabs(layout_of_images, z.sizes(), z.scalar_type())) {
      const auto space = chosen_space(z.sizes(), z.scalar_type(), {}, options.params);
      std::optional<ShardedImage> init;
      if (options.init) {
        init = slab_of(*options.init, space);
      }
      const ShardedImage own_z = slab_of(z, space);
      return whole(solve_prox_l2(slab_problem(mine, own_z, {}, options.solver, options.params), own_z, gamma,
                                 with_common_monitor(options), init));
    }
    return solve_prox_l2(problem(mine, z, options.params), z, gamma, with_common_monitor(options));
  });
}

// ---- Norms -------------------------------------------------------------------------------------------------------

SqnormBounds DistributedStackedLinearPhysics::local_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  check_options(options);
  check_tensor("x0", x0);
  SqnormOptions own = options;
  own.verbose = options.verbose && context_.rank() == 0;
  const SqnormBounds bounds = local_.sqnorm_bounds(x0, own);
  return {weight() * bounds.lower, weight() * bounds.upper};
}

SqnormBounds DistributedStackedLinearPhysics::sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  check_no_grid("sqnorm_bounds");
  return exchange_->call("sqnorm_bounds", arguments_of(options, x0), [&] {
    // One message for both: the sum of the upper bounds, and the lower bounds side by side.
    Scalars message(1 + static_cast<std::size_t>(context_.size()), 0.0);
    const auto work = [&] {
      const SqnormBounds own = local_bounds(x0, options);
      message[0] = own.upper;
      message[1 + static_cast<std::size_t>(rank())] = own.lower;
    };
    exchange_->deferring(work, [] {});
    exchange_->sum({message.data(), message.size()});
    SqnormBounds bounds{.upper = message[0].real()};
    for (std::size_t r = 1; r < message.size(); ++r) {
      bounds.lower = std::max(bounds.lower, message[r].real());
    }
    return bounds;
  });
}

double DistributedStackedLinearPhysics::compute_sqnorm(const at::Tensor& x0,
                                                       const DistributedSqnormOptions& options) const {
  check_no_grid("compute_sqnorm");
  const SqnormOptions own{.max_iter = options.max_iter,
                          .tol = options.tol,
                          .verbose = options.verbose && context_.rank() == 0,
                          .params = options.params};
  if (options.local_only) {
    return options.gather ? sqnorm_bounds(x0, own).upper
                          : exchange_->local([&] { return local_bounds(x0, own).upper; });
  }
  CallArguments arguments = arguments_of(own, x0);
  arguments.add("layout", to_string(options.layout));
  return exchange_->call("compute_sqnorm", arguments, [&] {
    check_options(own);
    check_tensor("compute_sqnorm: x0", x0);
    if (uses_slabs(options.layout, x0.sizes(), x0.scalar_type())) {
      const auto space = chosen_space(x0.sizes(), x0.scalar_type(), {}, options.params);
      return compute_sqnorm(ShardedImage{at::empty(space->local_sizes(), x0.options().requires_grad(false)), space},
                            own);
    }
    return estimate_sqnorm(
        [&](const at::Tensor& x) {
          return in_space_of(x, normal(Exchange::Memory::shared, x, options.params, weight()));
        },
        x0, own);
  });
}

double DistributedStackedLinearPhysics::guess_sqnorm(const at::Tensor& x0, const Params& params) const {
  check_no_grid("guess_sqnorm");
  CallArguments arguments;
  arguments.add("x0", layout(x0));
  const auto checked = [&] {
    check_tensor("guess_sqnorm: x0", x0);
    return x0;
  };
  return exchange_->call("guess_sqnorm", arguments, [&] {
    return kept_guess(checked, params, [&] {
      return adjoin::guess_sqnorm(
          [&](const at::Tensor& x) { return in_space_of(x, normal(Exchange::Memory::shared, x, params, weight())); },
          x0);
    });
  });
}

double DistributedStackedLinearPhysics::kept_guess(const std::function<at::Tensor()>& checked, const Params& params,
                                                   const std::function<double()>& guess) const {
  at::Tensor like;
  std::optional<double> kept;
  const auto look = [&] {
    like = checked();
    kept = params.empty() ? kept_sqnorm_.find(like, local_.version()) : std::nullopt;
    return kept ? 1.0 : 0.0;
  };
  if (everyone_->agree_min(everyone_->deferring(look, [] { return 0.0; })) > 0.0) {
    return *kept;
  }
  const double found = guess();
  if (params.empty()) {
    kept_sqnorm_.keep(like, local_.version(), found);
  }
  return found;
}

double DistributedStackedLinearPhysics::adjointness_test(const at::Tensor& u, std::uint64_t seed,
                                                         const Params& params) const {
  check_no_grid("adjointness_test");
  CallArguments arguments("u", u);
  arguments.add("seed", static_cast<std::int64_t>(seed)).add("u", layout(u));
  return exchange_->call("adjointness_test", arguments, [&] {
    const c10::NoGradGuard no_grad;
    check_tensor("adjointness_test: u", u);
    ShardedTensorList Au = sharded(local_.A(u, params));
    ShardedTensorList v = Au;
    for (std::size_t k = 0; k < local_.size(); ++k) {
      v.local[k] = adjoin::randn_like(Au.local[k], seed + static_cast<std::uint64_t>(local_indices()[k]));
    }
    const auto part = [&](const at::Tensor& out) {
      return weighted(local_.A_adjoint_for_sum(local_part("v", v), u, out, params), out, weight());
    };
    return adjoint_mismatch(u, Au, v, exchange_->reduce(image_plans_->sums, part));
  });
}

}  // namespace adjoin
