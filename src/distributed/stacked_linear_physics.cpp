#include "adjoin/distributed/stacked_linear_physics.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/physics/adjointness.hpp"
#include "adjoin/physics/sqnorm.hpp"

namespace adjoin {

namespace {

std::string layout(const at::Tensor& tensor) {
  return tensor.defined() ? c10::str(tensor.scalar_type(), " ", tensor.sizes()) : "none";
}

std::string describe(const DaggerOptions& options) {
  return c10::str("solver ", to_string(options.solver), ", max_iter ", options.max_iter, ", tol ", options.tol,
                  ", init ", layout(options.init.value_or(at::Tensor())), ", monitor ", options.monitor ? "yes" : "no");
}

std::string describe(const SqnormOptions& options, const at::Tensor& x0) {
  return c10::str("max_iter ", options.max_iter, ", tol ", options.tol, ", x0 ", layout(x0));
}

}  // namespace

DistributedStackedLinearPhysics::DistributedStackedLinearPhysics(DistributedContext& context,
                                                                 std::int64_t num_operators,
                                                                 const PhysicsFactory& factory,
                                                                 const DistributedOptions& options)
    : DistributedStackedPhysics(context, num_operators, options),
      reduction_(options.reduction),
      local_(make_operators<LinearPhysics>(factory, options.factory_kwargs, "a linear operator"),
             {.reduction = Reduction::sum, .fuse = options.fuse}) {
  local_.accept(names_on_all_ranks(local_.parameter_names()));
}

DistributedStackedLinearPhysics::~DistributedStackedLinearPhysics() = default;

// ---- Measurements ------------------------------------------------------------------------------------------------

TensorList DistributedStackedLinearPhysics::local_part(const char* argument, const TensorList& y) const {
  const std::vector<std::int64_t>& indices = local_indices();
  const bool whole = is_whole(y);
  check(whole || y.size() == indices.size(), argument, ": must hold ", num_operators(),
        " tensors, one for each operator, or ", indices.size(), ", one for each operator of this rank, got ", y.size());
  TensorList part;
  part.reserve(indices.size());
  for (std::size_t k = 0; k < indices.size(); ++k) {
    part.push_back(y[whole ? static_cast<std::size_t>(indices[k]) : k]);
    check_tensor(argument, part[k]);
  }
  return part;
}

TensorList DistributedStackedLinearPhysics::local_part(const char* argument, const ShardedTensorList& y) const {
  check(y.space != nullptr && y.space->total == num_operators() && y.space->indices == local_indices(), argument,
        ": must be sharded as this stack, over ", num_operators(), " operators, got a list of ",
        y.space == nullptr ? 0 : y.space->total);
  return local_part(argument, y.local);
}

ShardedTensorList DistributedStackedLinearPhysics::shard(const TensorList& y) const {
  return sharded(local_part("y", y));
}

TensorList DistributedStackedLinearPhysics::gather(const ShardedTensorList& y) const {
  return exchange_->gather(
      measurement_plan_, sharding_, gather_strategy_, [&](const TensorList& /*out*/) { return local_part("y", y); },
      [&](std::size_t position) { return local_part("y", y)[position]; });
}

TensorList DistributedStackedLinearPhysics::local_step(Step step, const TensorList& out, const at::Tensor& x,
                                                       const Params& params) const {
  return step == Step::A ? local_.A_into(out, x, params) : local_.forward(x, params);
}

at::Tensor DistributedStackedLinearPhysics::local_step_of(Step step, std::size_t position, const at::Tensor& x,
                                                          const Params& params) const {
  const LinearPhysics& physics = local_[position];
  const Params own = local_.taken(position, params);
  return step == Step::A ? physics.A(x, own) : physics.forward(x, own);
}

at::Tensor DistributedStackedLinearPhysics::local_vjp(const at::Tensor& x, const TensorList& v,
                                                      const Params& params) const {
  return local_.A_vjp_sum(x, v, {}, params);
}

// ---- Adjoint-like methods ----------------------------------------------------------------------------------------

// The sum times the weight of the measurement space; in place where the sum lies in `out`, never in an operator's own
// tensor.
at::Tensor DistributedStackedLinearPhysics::weighted(const at::Tensor& sum, const at::Tensor& out) const {
  if (!sum.defined() || weight() == 1.0) {
    return sum;
  }
  if (out.defined() && sum.const_data_ptr() == out.const_data_ptr()) {
    return at::Tensor(out).mul_(weight());
  }
  return sum * weight();
}

// `part(out)` computes this rank's sum, in `out` where that is defined and fits.
template <class Part>
at::Tensor DistributedStackedLinearPhysics::sum_over_ranks(const char* what, bool gather, Part&& part,
                                                           Exchange::Memory memory) const {
  if (gather) {
    return exchange_->reduce(what, image_plan_, [&](const at::Tensor& out) { return weighted(part(out), out); },
                             {.memory = memory});
  }
  const at::Tensor sum = exchange_->local([&] { return weighted(part({}), {}); });
  return sum.defined() ? sum : at::zeros({}, at::TensorOptions(dtype_.value_or(at::kFloat)).device(context_.device()));
}

bool DistributedStackedLinearPhysics::is_whole(const TensorList& y) const {
  return static_cast<std::int64_t>(y.size()) == num_operators();
}

// A sum over the ranks whose operators' parameters may want gradients, so that the graph of the local part is needed.
template <class Part>
at::Tensor DistributedStackedLinearPhysics::recorded_sum(const char* what, std::vector<at::Tensor> inputs,
                                                         bool replicated, Part&& part) const {
  return reduce_recorded(*exchange_, what, image_plan_, recording(std::move(inputs), replicated),
                         [&](const std::vector<at::Tensor>& own) { return weighted(part(TensorList(own)), {}); });
}

// The gradient of a whole list is a whole list, so that replicated measurements have replicated gradients; that of the
// owned part is the owned part, and needs no message.
at::Tensor DistributedStackedLinearPhysics::adjoint_with_gradients(const std::function<at::Tensor()>& adjoint,
                                                                   const TensorList& y,
                                                                   const CallOptions& options) const {
  const bool whole = is_whole(y);
  const auto forward = [&] { return std::vector<at::Tensor>{adjoint()}; };
  const auto backward = [this, whole, params = options.params, version = local_version(),
                         keep = weak_from_this().lock()](const std::vector<at::Tensor>& gradients) {
    whole ? defer_check_unchanged(version) : check_unchanged(version);
    return (A(gradients[0], {.gather = whole, .params = params}) * weight()).tensors();
  };
  return differentiable(y.tensors(), forward, backward)[0];
}

at::Tensor DistributedStackedLinearPhysics::A_adjoint(const TensorList& y, const CallOptions& options) const {
  if (options.gather && parameters_.recorded()) {
    return recorded_sum("A_adjoint", y.tensors(), is_whole(y), [this, params = options.params](const TensorList& part) {
      return local_.A_adjoint_sum(local_part("A_adjoint: y", part), {}, params);
    });
  }
  if (options.gather && records_gradients(y)) {
    return adjoint_with_gradients([&] { return A_adjoint(y, options); }, y, options);
  }
  return sum_over_ranks("A_adjoint", options.gather, [&](const at::Tensor& out) {
    return local_.A_adjoint_sum(local_part("A_adjoint: y", y), out, options.params);
  });
}

at::Tensor DistributedStackedLinearPhysics::A_adjoint(const ShardedTensorList& y, const CallOptions& options) const {
  if (options.gather && parameters_.recorded()) {
    return recorded_sum(
        "A_adjoint", local_part("A_adjoint: y", y).tensors(), false,
        [this, params = options.params](const TensorList& part) { return local_.A_adjoint_sum(part, {}, params); });
  }
  if (options.gather && records_gradients(y.local)) {
    return adjoint_with_gradients([&] { return A_adjoint(y, options); }, y.local, options);
  }
  return adjoint_into(Exchange::Memory::own, y, options);
}

at::Tensor DistributedStackedLinearPhysics::adjoint_into(Exchange::Memory memory, const ShardedTensorList& y,
                                                         const CallOptions& options, const at::Tensor& image) const {
  const auto part = [&](const at::Tensor& out) {
    const TensorList own = local_part("A_adjoint: y", y);
    return image.defined() ? local_.A_adjoint_for_sum(own, image, out, options.params)
                           : local_.A_adjoint_sum(own, out, options.params);
  };
  return sum_over_ranks("A_adjoint", options.gather, part, memory);
}

at::Tensor DistributedStackedLinearPhysics::A_vjp(const at::Tensor& x, const TensorList& v,
                                                  const CallOptions& options) const {
  if (options.gather && parameters_.recorded()) {
    return recorded_sum("A_vjp", v.tensors(), is_whole(v), [this, x, params = options.params](const TensorList& part) {
      return local_.A_vjp_sum(x.detach(), local_part("A_vjp: v", part), {}, params);
    });
  }
  if (options.gather && records_gradients(v)) {
    return adjoint_with_gradients([&] { return A_vjp(x, v, options); }, v, options);
  }
  return sum_over_ranks("A_vjp", options.gather, [&](const at::Tensor& out) {
    check_tensor("A_vjp: x", x);
    return local_.A_vjp_sum(x, local_part("A_vjp: v", v), out, options.params);
  });
}

at::Tensor DistributedStackedLinearPhysics::A_vjp(const at::Tensor& x, const ShardedTensorList& v,
                                                  const CallOptions& options) const {
  if (options.gather && parameters_.recorded()) {
    return recorded_sum("A_vjp", local_part("A_vjp: v", v).tensors(), false,
                        [this, x, params = options.params](const TensorList& part) {
                          return local_.A_vjp_sum(x.detach(), part, {}, params);
                        });
  }
  if (options.gather && records_gradients(v.local)) {
    return adjoint_with_gradients([&] { return A_vjp(x, v, options); }, v.local, options);
  }
  return sum_over_ranks("A_vjp", options.gather, [&](const at::Tensor& out) {
    check_tensor("A_vjp: x", x);
    return local_.A_vjp_sum(x, local_part("A_vjp: v", v), out, options.params);
  });
}

at::Tensor DistributedStackedLinearPhysics::A_adjoint_A(const at::Tensor& x, const CallOptions& options) const {
  if (options.gather && parameters_.recorded()) {
    return recorded_sum("A_adjoint_A", {x}, true, [this, params = options.params](const TensorList& image) {
      check_tensor("A_adjoint_A: x", image[0]);
      return local_.A_adjoint_A_sum(image[0], {}, params);
    });
  }
  if (options.gather && records_gradients(x)) {
    const auto forward = [&] { return std::vector<at::Tensor>{A_adjoint_A(x, options)}; };
    const auto backward = [this, options, version = local_version(),
                           keep = weak_from_this().lock()](const std::vector<at::Tensor>& gradients) {
      defer_check_unchanged(version);
      return std::vector<at::Tensor>{A_adjoint_A(gradients[0], options)};
    };
    return differentiable({x}, forward, backward)[0];
  }
  return normal_into(Exchange::Memory::own, x, options);
}

void DistributedStackedLinearPhysics::defer_check_unchanged(std::int64_t version) const {
  const auto check = [&] {
    check_unchanged(version);
    return true;
  };
  exchange_->deferring(check, [] { return false; });
}

at::Tensor DistributedStackedLinearPhysics::normal_into(Exchange::Memory memory, const at::Tensor& x,
                                                        const CallOptions& options) const {
  const auto part = [&](const at::Tensor& out) {
    check_tensor("A_adjoint_A: x", x);
    return joint_normal_.form().defined() && options.gather
               ? local_.apply_normal_form(joint_normal_.form(), x, rank(), context_.size(), out)
               : local_.A_adjoint_A_sum(x, out, options.params);
  };
  if (!options.gather) {
    return sum_over_ranks("A_adjoint_A", false, part, memory);
  }
  JointNormal::ForCall joint(joint_normal_, *exchange_, local_, x, options.params);
  return exchange_->reduce("A_adjoint_A", image_plan_, [&](const at::Tensor& out) { return weighted(part(out), out); },
                           {.memory = memory, .agreement = &joint, .like = x});
}

TensorList DistributedStackedLinearPhysics::A_A_adjoint(const TensorList& y, const CallOptions& options) const {
  return A(A_adjoint(y, {.params = options.params}), options);
}

ShardedTensorList DistributedStackedLinearPhysics::A_A_adjoint(const ShardedTensorList& y, const Params& params) const {
  return sharded(A(A_adjoint(y, {.params = params}), {.gather = false, .params = params}));
}

template <class Part>
TensorList DistributedStackedLinearPhysics::each_of(bool gather, Part&& part) const {
  if (!gather) {
    return exchange_->local(part);
  }
  // Streaming would need the terms one by one, so what would be broadcast is concatenated here.
  const GatherStrategy strategy =
      gather_strategy_ == GatherStrategy::naive ? GatherStrategy::naive : GatherStrategy::concatenated;
  return exchange_->gather(
      each_plan_, sharding_, strategy, [&](const TensorList& /*out*/) { return part(); },
      [](std::size_t) { return at::Tensor(); });
}

TensorList DistributedStackedLinearPhysics::A_adjoint_each(const TensorList& y, const CallOptions& options) const {
  return each_of(options.gather,
                 [&] { return local_.A_adjoint_each(local_part("A_adjoint_each: y", y), options.params); });
}

TensorList DistributedStackedLinearPhysics::A_vjp_each(const at::Tensor& x, const TensorList& v,
                                                       const CallOptions& options) const {
  return each_of(options.gather, [&] {
    check_tensor("A_vjp_each: x", x);
    return local_.A_vjp_each(x, local_part("A_vjp_each: v", v), options.params);
  });
}

TensorList DistributedStackedLinearPhysics::A_adjoint_A_each(const at::Tensor& x, const CallOptions& options) const {
  return each_of(options.gather, [&] {
    check_tensor("A_adjoint_A_each: x", x);
    return local_.A_adjoint_A_each(x, options.params);
  });
}

// ---- Solves ------------------------------------------------------------------------------------------------------

// The progress bar is rank 0's. A monitor may ask to stop on one rank only: then all stop, at the price of one small
// message an iteration of this solve of all ranks.
DaggerOptions DistributedStackedLinearPhysics::with_common_monitor(const DaggerOptions& options) const {
  DaggerOptions own = options;
  own.verbose = options.verbose && rank() == 0;
  if (options.monitor) {
    own.monitor = [this, monitor = options.monitor](const IterationInfo& info) {
      const bool more = exchange_->deferring([&] { return monitor(info); }, [] { return false; });
      return exchange_->agree_min(more ? 1.0 : 0.0) > 0.0;
    };
  }
  return own;
}

// Failures of the local steps are thrown on every rank by the next reduction. `image` gives the shape of the image, if
// it is known. The solvers only read what the maps return, and are done with it at the second application after.
LeastSquaresProblem<ShardedTensorList> DistributedStackedLinearPhysics::problem(const TensorList& part,
                                                                                at::Tensor image,
                                                                                const Params& params) const {
  LeastSquaresProblem<ShardedTensorList> problem;
  problem.y = sharded(part);
  problem.A = [this, part, &params, kept = std::make_shared<TensorList>()](const at::Tensor& x) {
    const auto step = [&] {
      TensorList Ax = local_.A_reusing(*kept, x, params);
      for (std::size_t k = 0; k < Ax.size(); ++k) {
        check(Ax[k].sizes() == part[k].sizes(), "y: entry ", local_indices()[k], " must have the shape of A x, ",
              Ax[k].sizes(), ", got ", part[k].sizes());
      }
      return Ax;
    };
    return sharded(exchange_->deferring(step, [&] { return adjoin::zeros_like(part); }));
  };
  if (!image.defined()) {
    problem.A_adjoint_y = image = A_adjoint(problem.y, {.params = params});
  }
  problem.A_adjoint = [this, &params, image](const ShardedTensorList& v) {
    return in_space_of(image, adjoint_into(Exchange::Memory::shared, v, {.params = params}, image));
  };
  problem.A_adjoint_A = [this, &params](const at::Tensor& x) {
    return in_space_of(x, normal_into(Exchange::Memory::shared, x, {.params = params}));
  };
  const auto items = common_items(image, part);
  problem.items = static_cast<std::int64_t>(exchange_->agree_min(static_cast<double>(items)));
  return problem;
}

template <class Y>
at::Tensor DistributedStackedLinearPhysics::dagger(const Y& y, const DistributedDaggerOptions& options) const {
  DaggerOptions own{.solver = options.solver,
                    .max_iter = options.max_iter,
                    .tol = options.tol,
                    .verbose = options.verbose && rank() == 0,
                    .init = options.init,
                    .params = options.params,
                    .monitor = options.monitor};
  if (options.local_only) {
    const double share = static_cast<double>(local_.size()) / static_cast<double>(num_operators());
    const auto part = [&](const at::Tensor& /*out*/) {
      const TensorList mine = local_part("A_dagger: y", y);
      return local_.size() == 0 ? at::Tensor() : local_.A_dagger_mean(mine, own) * share;
    };
    if (options.gather) {
      exchange_->agree("A_dagger", describe(own) + ", local_only", [&] { check_options(own); });
      return exchange_->reduce("A_dagger", image_plan_, part);
    }
    const at::Tensor sum = exchange_->local([&] { return part({}); });
    return sum.defined() ? sum : at::zeros({}, context_.device());
  }
  const c10::NoGradGuard no_grad;
  TensorList part;
  exchange_->agree("A_dagger", describe(own), [&] {
    check_options(own);
    part = local_part("A_dagger: y", y);
  });
  return solve_least_squares(problem(part, own.init.value_or(at::Tensor()), own.params), with_common_monitor(own));
}

at::Tensor DistributedStackedLinearPhysics::A_dagger(const TensorList& y,
                                                     const DistributedDaggerOptions& options) const {
  return dagger(y, options);
}

at::Tensor DistributedStackedLinearPhysics::A_dagger(const ShardedTensorList& y,
                                                     const DistributedDaggerOptions& options) const {
  return dagger(y, options);
}

template <class Y>
at::Tensor DistributedStackedLinearPhysics::prox(const at::Tensor& z, const Y& y, double gamma,
                                                 const DaggerOptions& options) const {
  const c10::NoGradGuard no_grad;
  TensorList part;
  exchange_->agree("prox_l2", c10::str(describe(options), ", gamma ", gamma, ", z ", layout(z)), [&] {
    check_options(options);
    check_gamma(gamma);
    check_tensor("prox_l2: z", z);
    part = local_part("prox_l2: y", y);
  });
  return solve_prox_l2(problem(part, z, options.params), z, gamma, with_common_monitor(options));
}

at::Tensor DistributedStackedLinearPhysics::prox_l2(const at::Tensor& z, const TensorList& y, double gamma,
                                                    const DaggerOptions& options) const {
  return prox(z, y, gamma, options);
}

at::Tensor DistributedStackedLinearPhysics::prox_l2(const at::Tensor& z, const ShardedTensorList& y, double gamma,
                                                    const DaggerOptions& options) const {
  return prox(z, y, gamma, options);
}

// ---- Norms -------------------------------------------------------------------------------------------------------

SqnormBounds DistributedStackedLinearPhysics::local_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  check_options(options);
  check_tensor("x0", x0);
  SqnormOptions own = options;
  own.verbose = options.verbose && rank() == 0;
  const SqnormBounds bounds = local_.sqnorm_bounds(x0, own);
  return {weight() * bounds.lower, weight() * bounds.upper};
}

SqnormBounds DistributedStackedLinearPhysics::sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  SqnormBounds bounds;
  exchange_->agree("sqnorm_bounds", describe(options, x0), [&] { bounds = local_bounds(x0, options); });
  // One message for both: the sum of the upper bounds, and the lower bounds side by side.
  Scalars message(1 + static_cast<std::size_t>(context_.size()), 0.0);
  message[0] = bounds.upper;
  message[1 + static_cast<std::size_t>(rank())] = bounds.lower;
  exchange_->sum({message.data(), message.size()});
  bounds.upper = message[0].real();
  for (std::size_t r = 1; r < message.size(); ++r) {
    bounds.lower = std::max(bounds.lower, message[r].real());
  }
  return bounds;
}

double DistributedStackedLinearPhysics::compute_sqnorm(const at::Tensor& x0,
                                                       const DistributedSqnormOptions& options) const {
  const SqnormOptions own{.max_iter = options.max_iter,
                          .tol = options.tol,
                          .verbose = options.verbose && rank() == 0,
                          .params = options.params};
  if (options.local_only) {
    return options.gather ? sqnorm_bounds(x0, own).upper
                          : exchange_->local([&] { return local_bounds(x0, own).upper; });
  }
  exchange_->agree("compute_sqnorm", describe(own, x0), [&] {
    check_options(own);
    check_tensor("compute_sqnorm: x0", x0);
  });
  const auto normal = [&](const at::Tensor& x) {
    return in_space_of(x, normal_into(Exchange::Memory::shared, x, {.params = options.params}));
  };
  return estimate_sqnorm(normal, x0, own);
}

double DistributedStackedLinearPhysics::adjointness_test(const at::Tensor& u, std::uint64_t seed,
                                                         const Params& params) const {
  const c10::NoGradGuard no_grad;
  ShardedTensorList Au = sharded({});
  exchange_->agree("adjointness_test", c10::str("seed ", seed, ", u ", layout(u)), [&] {
    check_tensor("adjointness_test: u", u);
    Au.local = local_.A(u, params);
  });
  ShardedTensorList v = Au;
  for (std::size_t k = 0; k < local_.size(); ++k) {
    v.local[k] = adjoin::randn_like(Au.local[k], seed + static_cast<std::uint64_t>(local_indices()[k]));
  }
  return adjoint_mismatch(u, Au, v, adjoint_into(Exchange::Memory::own, v, {.params = params}, u));
}

}  // namespace adjoin
