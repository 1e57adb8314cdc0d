// SPDX-License-Identifier: BSD-3-Clause
// Adjoint-like methods of stacks; the solves are in stacked_solves.cpp.
#include "adjoin/distributed/stacked_linear_physics.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/operator_failure.hpp"
#include "adjoin/physics/fused.hpp"
#include "core/duals.hpp"
#include "distributed/like_input.hpp"

namespace adjoin {

// What A_adjoint, A_vjp and the gradient of A differ in.
struct DistributedStackedLinearPhysics::Transposed {
  const char* name;
  const char* argument;  // of the measurements
  const char* image;     // null: there is no image
};

const DistributedStackedLinearPhysics::Transposed DistributedStackedLinearPhysics::adjoint = {"A_adjoint",
                                                                                              "A_adjoint: y", nullptr};
const DistributedStackedLinearPhysics::Transposed DistributedStackedLinearPhysics::vjp = {"A_vjp", "A_vjp: v",
                                                                                          "A_vjp: x"};
const DistributedStackedLinearPhysics::Transposed DistributedStackedLinearPhysics::gradient = {"gradient", "gradient",
                                                                                               "gradient: x"};

namespace {

std::unique_ptr<LocalStack> linear_ones(const std::vector<PhysicsPtr>& operators, bool fuse) {
  std::vector<LinearPhysicsPtr> linear;
  for (const PhysicsPtr& made : operators) {
    for_operator(static_cast<std::int64_t>(linear.size()), [&] {
      linear.push_back(std::dynamic_pointer_cast<LinearPhysics>(made));
      check(linear.back() != nullptr, "factory: must return a linear operator, got a ", made->name());
    });
  }
  return std::make_unique<LocalLinearPhysics>(std::move(linear), fuse);
}

}  // namespace

DistributedStackedLinearPhysics::DistributedStackedLinearPhysics(DistributedContext& context,
                                                                 std::int64_t num_operators,
                                                                 const PhysicsFactory& factory,
                                                                 const DistributedOptions& options)
    : DistributedStackedPhysics(
          context, num_operators, factory, options,
          [&](const std::vector<PhysicsPtr>& operators) { return linear_ones(operators, options.fuse); }),
      reduction_(options.reduction),
      local_(static_cast<const LocalLinearPhysics&>(local()).stack()) {}

DistributedStackedLinearPhysics::~DistributedStackedLinearPhysics() = default;

// The sum times a weight; in place where the sum lies in `out`, never in an operator's own tensor.
at::Tensor DistributedStackedLinearPhysics::weighted(const at::Tensor& sum, const at::Tensor& out,
                                                     double weight) const {
  if (!sum.defined() || weight == 1.0) {
    return sum;
  }
  if (out.defined() && sum.const_data_ptr() == out.const_data_ptr()) {
    return at::Tensor(out).mul_(weight);
  }
  return sum * weight;
}

// What a rank without operators has in place of its part of a sum.
at::Tensor DistributedStackedLinearPhysics::or_nothing(const at::Tensor& sum) const {
  return sum.defined() ? sum : at::zeros({}, at::TensorOptions(dtype_.value_or(at::kFloat)).device(context_.device()));
}

double DistributedStackedLinearPhysics::weight_of(const CallOptions& options) const {
  return !options.reduction                      ? weight()
         : *options.reduction == Reduction::mean ? 1.0 / static_cast<double>(num_operators())
                                                 : 1.0;
}

// ---- Σ A_iᵀ y_i --------------------------------------------------------------------------------------------------

at::Tensor DistributedStackedLinearPhysics::A_adjoint(const Measurements& y, const CallOptions& options) const {
  check_no_grid("A_adjoint");
  return transposed(adjoint, {}, y, options, weight_of(options));
}

at::Tensor DistributedStackedLinearPhysics::A_vjp(const at::Tensor& x, const Measurements& v,
                                                  const CallOptions& options) const {
  check_no_grid("A_vjp");
  return transposed(vjp, x, v, options, weight_of(options));
}

at::Tensor DistributedStackedLinearPhysics::pulled_back(const at::Tensor& x, const TensorList& v,
                                                        const Params& params) const {
  return transposed(gradient, x, v, {.params = params}, 1.0);
}

at::Tensor DistributedStackedLinearPhysics::transposed(const Transposed& kind, const at::Tensor& x,
                                                       const Measurements& v, const CallOptions& options,
                                                       double weight) const {
  const auto part = [&](const at::Tensor& out) {
    if (kind.image != nullptr) {
      check_tensor(kind.image, x);
      return weighted(local_.A_vjp_sum(x, local_part(kind.argument, v), out, options.params), out, weight);
    }
    return weighted(local_.A_adjoint_sum(local_part(kind.argument, v), out, options.params), out, weight);
  };
  if (!options.gather) {
    return or_nothing(exchange_->local([&] { return part({}); }));
  }
  if (records_gradients(v.list()) || uses_followed(options.params)) {
    return followed(kind, x, v, options.params, weight);
  }
  CallArguments arguments;
  if (kind.image != nullptr) {
    arguments.add_tensor("x", x);
  }
  if (v.is_whole(*space_)) {
    arguments.add_list(kind.image != nullptr ? "v" : "y", v.list());
  }
  if (options.reduction) {
    arguments.add("reduction", to_string(*options.reduction));
  }
  return exchange_->call(kind.name, arguments, [&] { return exchange_->reduce(image_plans_->sums, part); });
}

// The gradient of a whole list is a whole list, so that replicated measurements have replicated gradients; that of the
// owned part is the owned part, and needs no message.
at::Tensor DistributedStackedLinearPhysics::followed(const Transposed& kind, const at::Tensor& x, const Measurements& v,
                                                     const Params& params, double weight) const {
  const bool whole = v.is_whole(*space_);
  const TensorList list = v.list();
  if (uses_followed(params)) {
    const std::size_t count = list.size();
    const auto part = [this, &kind, x = x.defined() ? x.detach() : x, count, params,
                       weight](const Tensors& inputs) -> Tensors {
      const at::ArrayRef<at::Tensor> all(inputs);
      const TensorList given(all.slice(0, count).vec());
      const TensorList own = local_part(kind.argument, given);
      const Params own_params = with_tensors(params, all.slice(count));
      return {weighted(
          kind.image != nullptr ? local_.A_vjp_sum(x, own, {}, own_params) : local_.A_adjoint_sum(own, {}, own_params),
          {}, weight)};
    };
    return recorded(recording(kind.name, image_plans_),
                    RecordedInputs().add(list, whole ? Spread::item : Spread::owned).add(params), {Spread::replicated},
                    part)[0];
  }
  const auto of = [&](const TensorList& inputs) { return transposed(kind, x, inputs, {.params = params}, weight); };
  if (std::ranges::any_of(list, is_dual)) {
    return with_tangent(of(primals_of(list)), of(tangents_of(list)));
  }
  const auto forward = [&]() -> Tensors {
    TensorList detached;
    for (const at::Tensor& entry : list) {
      detached.push_back(entry.detach());
    }
    return {of(detached)};
  };
  const auto backward = [this, whole, params, weight, real = which_are_real(list), version = local_.version(),
                         keep = weak_from_this().lock()](const Tensors& gradients) -> Tensors {
    const auto measured = [&] { return A(gradients[0], {.gather = whole, .params = params}); };
    TensorList results;
    if (whole) {
      results = of_unchanged(version, measured);
    } else {  // no message
      check_unchanged(version);
      results = measured();
    }
    return like_inputs(std::move(results), weight, real).tensors();
  };
  return differentiable(list.tensors(), forward, backward)[0];
}

// ---- Σ A_iᵀ A_i x ------------------------------------------------------------------------------------------------

at::Tensor DistributedStackedLinearPhysics::normal_part(const at::Tensor& x, const at::Tensor& out,
                                                        const Params& params, double weight) const {
  check_tensor("A_adjoint_A: x", x);
  return weighted(local_.A_adjoint_A_sum(x, out, params), out, weight);
}

at::Tensor DistributedStackedLinearPhysics::A_adjoint_A(const at::Tensor& x, const CallOptions& options) const {
  check_no_grid("A_adjoint_A");
  const double weight = weight_of(options);
  if (!options.gather) {
    return or_nothing(exchange_->local([&] { return normal_part(x, {}, options.params, weight); }));
  }
  if (uses_followed(options.params)) {
    const auto part = [this, params = options.params, weight](const Tensors& inputs) -> Tensors {
      return {normal_part(inputs[0], {}, with_tensors(params, at::ArrayRef<at::Tensor>(inputs).slice(1)), weight)};
    };
    return recorded(recording("A_adjoint_A", image_plans_),
                    RecordedInputs().add(x, Spread::replicated).add(options.params), {Spread::replicated}, part)[0];
  }
  if (is_dual(x)) {
    return with_tangent(A_adjoint_A(primal_of(x), options), A_adjoint_A(tangent_of(x), options));
  }
  if (records_gradients(x)) {
    const auto forward = [&]() -> Tensors { return {A_adjoint_A(x.detach(), options)}; };
    const auto backward = [this, options, real = !x.is_complex(), version = local_.version(),
                           keep = weak_from_this().lock()](const Tensors& gradients) -> Tensors {
      const auto normal_of = [&] { return A_adjoint_A(gradients[0], options); };
      return {like_input(of_unchanged(version, normal_of), real)};
    };
    return differentiable({x}, forward, backward)[0];
  }
  CallArguments arguments("x", x);
  if (options.reduction) {
    arguments.add("reduction", to_string(*options.reduction));
  }
  return exchange_->call("A_adjoint_A", arguments,
                         [&] { return normal(Exchange::Memory::own, x, options.params, weight); });
}

// By the joint form of all ranks where there is one, of which each rank makes its images.
at::Tensor DistributedStackedLinearPhysics::normal(Exchange::Memory memory, const at::Tensor& x, const Params& params,
                                                   double weight) const {
  const auto part = [&](const at::Tensor& out) { return normal_of_whole(x, out, params, weight); };
  JointNormal::ForCall joint(joint_normal_, *exchange_, local_, x, params);
  return exchange_->reduce(image_plans_->sums, part, {.memory = memory, .agreement = &joint, .like = x});
}

at::Tensor DistributedStackedLinearPhysics::normal_of_whole(const at::Tensor& x, const at::Tensor& out,
                                                            const Params& params, double weight) const {
  if (!joint_normal_.exists()) {
    return normal_part(x, out, params, weight);
  }
  check_tensor("A_adjoint_A: x", x);
  if (!joint_normal_.form().defined()) {
    return fit_or_empty(out, x.sizes(), x.options());  // no image of it is this rank's
  }
  return weighted(local_.apply_normal_form(joint_normal_.form(), x, rank(), group().size(), out), out, weight);
}

TensorList DistributedStackedLinearPhysics::A_A_adjoint(const TensorList& y, const CallOptions& options) const {
  check_no_grid("A_A_adjoint");
  CallArguments arguments;
  arguments.add("gather", options.gather);
  if (Measurements(y).is_whole(*space_)) {
    arguments.add_list("y", y);
  }
  return exchange_->call("A_A_adjoint", arguments,
                         [&] { return A(A_adjoint(y, {.params = options.params}), options); });
}

ShardedTensorList DistributedStackedLinearPhysics::A_A_adjoint(const ShardedTensorList& y, const Params& params) const {
  check_no_grid("A_A_adjoint");
  return exchange_->call("A_A_adjoint", {}, [&] {
    return sharded(A(A_adjoint(y, {.params = params}), {.gather = false, .params = params}));
  });
}

// ---- The terms by themselves -------------------------------------------------------------------------------------

// What `part` makes of the inputs for each operator of this rank, or of all ranks.
template <class Part>
TensorList DistributedStackedLinearPhysics::each(const char* name, const RecordedInputs& inputs,
                                                 const CallOptions& options, const Part& part) const {
  check_no_grid(name);
  if (!options.gather) {
    return exchange_->local([&] { return part(inputs.tensors, options.params); });
  }
  // Streaming would need the terms one by one, so what would be broadcast is concatenated here.
  const GatherStrategy strategy =
      gather_strategy_ == GatherStrategy::naive ? GatherStrategy::naive : GatherStrategy::concatenated;
  if (uses_followed(options.params) || records_gradients(TensorList(inputs.tensors))) {
    const std::size_t count = inputs.tensors.size();
    const auto items = [this, part, params = options.params, count](const Tensors& all) {
      const at::ArrayRef<at::Tensor> given(all);
      const TensorList own = part(given.slice(0, count).vec(), with_tensors(params, given.slice(count)));
      Tensors results(static_cast<std::size_t>(num_operators()));
      for (std::size_t k = 0; k < own.size(); ++k) {
        results[static_cast<std::size_t>(local_indices()[k])] = own[k];
      }
      return results;
    };
    RecordedInputs all = inputs;
    RecordedCall call = recording(name, each_plans_);
    call.gather_strategy = strategy;
    return TensorList(recorded(call, all.add(options.params), item_spreads(), items));
  }
  return exchange_->call(name, {}, [&] {
    return exchange_->gather(
        each_plans_->items, sharding_, strategy,
        [&](const TensorList& /*out*/) { return part(inputs.tensors, options.params); },
        [](std::size_t /*position*/) { return at::Tensor(); });
  });
}

TensorList DistributedStackedLinearPhysics::A_adjoint_each(const Measurements& y, const CallOptions& options) const {
  const Spread::Kind spread = y.is_whole(*space_) ? Spread::item : Spread::owned;
  return each("A_adjoint_each", RecordedInputs().add(y.list(), spread), options,
              [this](const Tensors& inputs, const Params& params) {
                const TensorList list(inputs);
                return local_.A_adjoint_each(local_part("A_adjoint_each: y", list), params);
              });
}

TensorList DistributedStackedLinearPhysics::A_vjp_each(const at::Tensor& x, const Measurements& v,
                                                       const CallOptions& options) const {
  const Spread::Kind spread = v.is_whole(*space_) ? Spread::item : Spread::owned;
  return each("A_vjp_each", RecordedInputs().add(x, Spread::replicated).add(v.list(), spread), options,
              [this](const Tensors& inputs, const Params& params) {
                const TensorList list(at::ArrayRef<at::Tensor>(inputs).slice(1).vec());
                check_tensor("A_vjp_each: x", inputs[0]);
                return local_.A_vjp_each(inputs[0], local_part("A_vjp_each: v", list), params);
              });
}

TensorList DistributedStackedLinearPhysics::A_adjoint_A_each(const at::Tensor& x, const CallOptions& options) const {
  return each("A_adjoint_A_each", RecordedInputs().add(x, Spread::replicated), options,
              [this](const Tensors& inputs, const Params& params) {
                check_tensor("A_adjoint_A_each: x", inputs[0]);
                return local_.A_adjoint_A_each(inputs[0], params);
              });
}

// ---- Measurements ------------------------------------------------------------------------------------------------

ShardedTensorList DistributedStackedLinearPhysics::shard(const Measurements& y) const {
  return sharded(local_part("y", y));
}

TensorList DistributedStackedLinearPhysics::gather(const ShardedTensorList& y) const {
  if (has_grid()) {
    check(!records_gradients(y.local),
          "gather: gradients do not pass through measurements that are gathered on a grid");
    return gather_slices("gather", {}, [&] { return local_part("y", y); });
  }
  if (records_gradients(y.local)) {
    const auto items = [this](const Tensors& own) {
      const TensorList list(own);
      const TensorList part = local_part("y", list);
      Tensors results(static_cast<std::size_t>(num_operators()));
      for (std::size_t k = 0; k < part.size(); ++k) {
        results[static_cast<std::size_t>(local_indices()[k])] = part[k];
      }
      return results;
    };
    return TensorList(recorded(recording("gather", measurement_plans_), RecordedInputs().add(y.local, Spread::owned),
                               item_spreads(), items));
  }
  return exchange_->call("gather", {}, [&] {
    return exchange_->gather(
        measurement_plans_->items, sharding_, gather_strategy_,
        [&](const TensorList& /*out*/) { return local_part("y", y); },
        [&](std::size_t position) { return local_part("y", y)[position]; });
  });
}

}  // namespace adjoin
