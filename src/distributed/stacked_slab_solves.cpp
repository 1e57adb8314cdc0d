// SPDX-License-Identifier: BSD-3-Clause
// Pseudoinverse, proximal step and norm of stacks on sharded images: the solvers as they are, with other vectors.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/util/accumulate.h>

#include <array>
#include <memory>
#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/physics/sqnorm.hpp"
#include "core/shape_of_image.hpp"
#include "distributed/solve_arguments.hpp"

namespace adjoin {

namespace {

// The real part of an image where images like `like` are real.
ShardedImage in_space_of(const ShardedImage& like, ShardedImage image) {
  image.local = adjoin::in_space_of(like.local, image.local);
  return image;
}

CallArguments arguments_of_slabs(const DaggerOptions& options, const std::optional<ShardedImage>& init,
                                 std::optional<std::int64_t> axis) {
  CallArguments arguments = solve_arguments(options);
  arguments.add("axis", described(axis)).add("init", described(init.value_or(ShardedImage())));
  return arguments;
}

}  // namespace

DaggerOptions DistributedStackedLinearPhysics::options_for(const SlabDaggerOptions& options) const {
  return {.solver = options.solver,
          .max_iter = options.max_iter,
          .tol = options.tol,
          .verbose = options.verbose && context_.rank() == 0,
          .params = options.params,
          .monitor = options.monitor,
          .info = options.info};
}

// ---- Solves whose caller has replicated images -------------------------------------------------------------------

bool DistributedStackedLinearPhysics::uses_slabs(ImageLayout layout, at::IntArrayRef sizes,
                                                 at::ScalarType dtype) const {
  // Below, a solver's vectors stay in the caches, and its messages take longer than its arithmetic.
  constexpr std::int64_t least_bytes = std::int64_t{1} << 20;
  const std::int64_t bytes = c10::multiply_integers(sizes) * static_cast<std::int64_t>(c10::elementSize(dtype));
  return !exchange_->alone() &&
         (layout == ImageLayout::sharded || (layout == ImageLayout::automatic && bytes >= least_bytes));
}

at::Tensor DistributedStackedLinearPhysics::whole(const ShardedImage& x) const {
  at::Tensor image = at::empty(x.sizes(), x.local.options());
  return image.copy_(has_grid() ? everyone_->assemble(*whole_plans_, slices_->once(x))
                                : exchange_->assemble(*image_plans_, x));
}

// On a grid the arguments of all ranks are right before the groups begin, and at the end all hear what failed in one.
template <class Prepare, class Body>
auto DistributedStackedLinearPhysics::everywhere(const char* method, const CallArguments& arguments,
                                                 const Prepare& prepare, const Body& body) const -> decltype(body()) {
  return everyone_->call(method, arguments, [&] {
    if (!has_grid()) {
      prepare();
      return body();
    }
    everyone_->agree(prepare);
    auto result = exchange_->within(method, body);
    everyone_->agree([] {});
    return result;
  });
}

// Without a start, the sums that there have been tell what images are like; the first is made for it.
at::Tensor DistributedStackedLinearPhysics::dagger_by_layout(const TensorList& part, const DaggerOptions& options,
                                                             ImageLayout layout) const {
  const DaggerOptions own = with_common_monitor(options);
  const ReducePlan& plan = image_plans_->sums;
  at::Tensor like = options.init.value_or(at::Tensor());
  at::Tensor A_adjoint_y;
  if (!like.defined() && layout == ImageLayout::automatic && !exchange_->alone() && !plan.buffer) {
    like = A_adjoint_y = exchange_->reduce(image_plans_->sums, [&](const at::Tensor& out) {
      return weighted(local_.A_adjoint_sum(part, out, options.params), out, weight());
    });
  }
  const bool slabs = like.defined() ? uses_slabs(layout, like.sizes(), like.scalar_type())
                                    : uses_slabs(layout, plan.sizes, plan.dtype);
  if (!slabs) {
    LeastSquaresProblem<ShardedTensorList> images = problem(part, like, options.params);
    if (A_adjoint_y.defined()) {
      images.A_adjoint_y = A_adjoint_y;
    }
    return solve_least_squares(images, own);
  }
  std::optional<ShardedImage> image;
  if (like.defined()) {
    check_tensor("A_dagger: init", like);
    image = slab_of(like, chosen_space(like.sizes(), like.scalar_type(), {}, options.params));
  }
  LeastSquaresProblem<ShardedTensorList, ShardedImage> slab =
      slab_problem(part, image, {}, options.solver, options.params);
  if (A_adjoint_y.defined()) {
    slab.A_adjoint_y = *image;
  }
  return whole(solve_least_squares(slab, own, options.init ? image : std::nullopt));
}

// ---- Solves on sharded images ------------------------------------------------------------------------------------

// Failures of the local steps are thrown on every rank by the next message.
LeastSquaresProblem<ShardedTensorList, ShardedImage> DistributedStackedLinearPhysics::slab_problem(
    const TensorList& part, const std::optional<ShardedImage>& image, std::optional<std::int64_t> axis, Solver solver,
    const Params& params) const {
  LeastSquaresProblem<ShardedTensorList, ShardedImage> problem;
  problem.y = sharded(part);
  ShardedImage like = image.value_or(ShardedImage());
  if (!image) {
    const auto sum = [&](const at::Tensor& out) {
      return weighted(local_.A_adjoint_sum(local_part("y", problem.y), out, params), out, weight());
    };
    problem.A_adjoint_y = like = sum_to_slab(
        sum, [&](at::IntArrayRef sizes, at::ScalarType dtype) { return chosen_space(sizes, dtype, axis, params); });
  }
  const at::Tensor shape = shape_of_image(has_grid() ? like.local.sizes() : like.sizes(), like.local.options());
  if (!image && uses_normal_equations(solver) && !exchange_->alone() && !has_grid()) {
    // The forms of all ranks, a rank's own of which goes when they are added up, before the solver has its vectors.
    JointNormal::ForCall joint(joint_normal_, *exchange_, local_, shape, params);
    std::array<double, 1> stale = {joint.made() && joint.is_current() ? 0.0 : 1.0};
    exchange_->agree_max(stale, [] {});
    if (stale[0] != 0.0) {
      joint.make();
    }
  }
  problem.A = [this, part, &params, kept = std::make_shared<TensorList>()](const ShardedImage& x) {
    return measured_in_solve(*kept, read_by_operators(x), part, params);
  };
  problem.A_adjoint = [this, like, shape, &params](const ShardedTensorList& v) {
    const auto sum = [&](const at::Tensor& out) {
      return weighted(local_.A_adjoint_for_sum(local_part("y", v), shape, out, params), out, weight());
    };
    return in_space_of(like, sum_to_slab(sum, [&](at::IntArrayRef, at::ScalarType) { return like.space; }));
  };
  problem.A_adjoint_A = [this, &params](const ShardedImage& x) { return in_space_of(x, normal(x, params, weight())); };
  const auto items = has_grid() ? slices_->items_of(part) : common_items(like, part);
  problem.items = static_cast<std::int64_t>(everyone_->agree_min(static_cast<double>(items)));
  return problem;
}

ShardedImage DistributedStackedLinearPhysics::A_dagger_sharded(const Measurements& y,
                                                               const SlabDaggerOptions& options) const {
  const DaggerOptions own = options_for(options);
  CallArguments arguments = arguments_of_slabs(own, options.init, options.axis);
  if (holds_all(y)) {
    arguments.add_list("y", y.list());
  }
  check_not_followed("A_dagger_sharded", records_gradients(y.list()), options.params);
  const c10::NoGradGuard no_grad;
  std::optional<ShardedImage> init;
  TensorList mine;
  const auto prepare = [&] {
    check_options(own);
    if (options.init) {
      init = own_slab("A_dagger_sharded: init", *options.init);
    } else if (has_grid()) {
      (void)image_space(slices_->grid().image, options.axis);
    }
    mine = local_part("A_dagger_sharded: y", y);
  };
  return everywhere("A_dagger_sharded", arguments, prepare, [&] {
    return solve_least_squares(slab_problem(mine, init, options.axis, own.solver, options.params),
                               with_common_monitor(own), init);
  });
}

ShardedImage DistributedStackedLinearPhysics::prox_l2(const ShardedImage& z, const Measurements& y, const Gamma& gamma,
                                                      const SlabDaggerOptions& options) const {
  const DaggerOptions own = options_for(options);
  CallArguments arguments = arguments_of_slabs(own, options.init, {});
  arguments.add("gamma", gamma.text()).add("z", described(z));
  if (holds_all(y)) {
    arguments.add_list("y", y.list());
  }
  check_not_followed(
      "prox_l2",
      (z.defined() && records_gradients(z.local)) || records_gradients(y.list()) || records_gradients(gamma.tensor()),
      options.params);
  const c10::NoGradGuard no_grad;
  ShardedImage own_z;
  std::optional<ShardedImage> init;
  TensorList mine;
  const auto prepare = [&] {
    check_options(own);
    gamma.check_positive("prox_l2");
    own_z = own_slab("prox_l2: z", z);
    if (options.init) {
      init = own_slab("prox_l2: init", *options.init);
    }
    mine = local_part("prox_l2: y", y);
  };
  return everywhere("prox_l2", arguments, prepare, [&] {
    return solve_prox_l2(slab_problem(mine, own_z, {}, own.solver, options.params), own_z, gamma,
                         with_common_monitor(own), init);
  });
}

double DistributedStackedLinearPhysics::compute_sqnorm(const ShardedImage& x0, const SqnormOptions& options) const {
  CallArguments arguments;
  arguments.add("max_iter", options.max_iter).add("tol", options.tol).add("x0", described(x0));
  const c10::NoGradGuard no_grad;
  SqnormOptions own = options;
  own.verbose = options.verbose && context_.rank() == 0;
  ShardedImage like;
  const auto prepare = [&] {
    check_options(options);
    like = own_slab("compute_sqnorm: x0", x0);
  };
  return everywhere("compute_sqnorm", arguments, prepare, [&] {
    return estimate_sqnorm([&](const ShardedImage& x) { return in_space_of(x, normal(x, options.params, weight())); },
                           like, own);
  });
}

double DistributedStackedLinearPhysics::guess_sqnorm(const ShardedImage& x0, const Params& params) const {
  CallArguments arguments;
  arguments.add("x0", described(x0));
  ShardedImage own;
  const auto checked = [&] {
    own = own_slab("guess_sqnorm: x0", x0);
    return shape_of_image(own.sizes(), own.local.options());
  };
  return everywhere(
      "guess_sqnorm", arguments, [] {},
      [&] {
        return kept_guess(checked, params, [&] {
          return adjoin::guess_sqnorm(
              [&](const ShardedImage& x) { return in_space_of(x, normal(x, params, weight())); }, own);
        });
      });
}

}  // namespace adjoin
