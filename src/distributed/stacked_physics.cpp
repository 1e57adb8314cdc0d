// SPDX-License-Identifier: BSD-3-Clause
// Calls of A and forward: this rank's operators, then one gather, or none.
#include "adjoin/distributed/stacked_physics.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/operator_failure.hpp"
#include "adjoin/core/serialize.hpp"

namespace adjoin {

// What A and forward differ in.
struct DistributedStackedPhysics::Step {
  const char* name;
  const char* reduced_name;
  TensorList (LocalStack::*all)(const TensorList& out, const at::Tensor& x, const Params& params) const;
  at::Tensor (Physics::*one)(const at::Tensor& x, const Params& params) const;
  std::shared_ptr<CallPlans> DistributedStackedPhysics::* plans;
  // Whether another call of it, or of its adjoint, is its derivative: the noise of forward could not be drawn again.
  bool is_repeatable;
};

const DistributedStackedPhysics::Step DistributedStackedPhysics::step_A = {
    "A", "A_reduced", &LocalStack::A, &Physics::A, &DistributedStackedPhysics::A_plans_, true};
const DistributedStackedPhysics::Step DistributedStackedPhysics::step_forward = {
    "forward", "forward_reduced", &LocalStack::forward, &Physics::forward, &DistributedStackedPhysics::forward_plans_,
    false};

namespace {

CallArguments arguments_of(std::int64_t num_operators, const DistributedOptions& options) {
  CallArguments arguments;
  arguments.add("num_operators", num_operators)
      .add("reduction", to_string(options.reduction))
      .add("dtype", std::string_view(options.dtype ? c10::toString(*options.dtype) : "any"))
      .add("gather_strategy", to_string(options.gather_strategy))
      .add("costs", c10::str("[", c10::Join(", ", options.costs), "]"))
      .add("grid", options.grid ? options.grid->text() : std::string("none"));
  return arguments;
}

Sharding sharding_of(int ranks, std::int64_t num_operators, const DistributedOptions& options) {
  check(num_operators >= 1, "num_operators: must be at least 1, got ", num_operators);
  check(options.costs.empty() || static_cast<std::int64_t>(options.costs.size()) == num_operators,
        "costs: must hold one cost for each of ", num_operators, " operators, got ", options.costs.size());
  if (options.dtype) {
    check(at::isFloatingType(*options.dtype) || at::isComplexType(*options.dtype),
          "dtype: must be floating-point or complex, got ", *options.dtype);
  }
  return options.costs.empty() ? Sharding::round_robin(num_operators, ranks) : Sharding::by_cost(options.costs, ranks);
}

Params on_device(Params params, at::Device device) {
  for (const auto& [name, value] : Params(params)) {
    if (const auto* tensor = std::get_if<at::Tensor>(&value)) {
      params.set(name, tensor->to(device));
    } else if (const auto* tensors = std::get_if<TensorList>(&value)) {
      params.set(name, tensors->to(device));
    }
  }
  return params;
}

constexpr const char* making = "the making";

}  // namespace

// ---- Making ------------------------------------------------------------------------------------------------------

DistributedStackedPhysics::DistributedStackedPhysics(DistributedContext& context, std::int64_t num_operators,
                                                     const PhysicsFactory& factory, const DistributedOptions& options,
                                                     const MakeLocal& make_local)
    : context_(context),
      dtype_(options.dtype),
      gather_strategy_(options.gather_strategy),
      everyone_(std::make_shared<Exchange>(context, "a stack")),
      exchange_(group_exchange(num_operators, options)),
      sharding_(everyone_->call(
          making, {}, [&] { return sharding_of(exchange_->communicator().size(), num_operators, options); })) {
  everyone_->set_indices(local_indices());
  exchange_->set_indices(local_indices());
  if (options.grid) {
    slices_ = std::make_shared<SliceShare>(*options.grid, context.rank(), everyone_);
  }
  space_ = std::make_shared<MeasurementSpace>(
      local_indices(), num_operators,
      options.reduction == Reduction::mean ? 1.0 / static_cast<double>(num_operators) : 1.0,
      everyone_->alone() ? nullptr : everyone_, slices_ != nullptr ? slices_->items() : std::nullopt);
  everyone_->call(making, arguments_of(num_operators, options), [&] {
    Params shared = options.factory_kwargs;
    if (!everyone_->alone()) {
      Communicator& communicator = everyone_->communicator();
      shared =
          deserialize_params(communicator.broadcast_bytes(context.rank() == 0 ? serialize(shared) : std::string(), 0));
    }
    std::vector<std::int64_t> axes;
    everyone_->agree([&] {
      check(static_cast<bool>(factory), "factory: must be callable, got an empty function");
      shared = on_device(std::move(shared), context_.device());
      std::vector<PhysicsPtr> operators;
      for (const std::int64_t index : local_indices()) {
        for_operator(static_cast<std::int64_t>(operators.size()), [&] {
          operators.push_back(factory(index, context_.device(), shared));
          check(operators.back() != nullptr, "factory: must return an operator, got a null pointer");
          if (slices_ != nullptr) {
            const SliceWise own = slices_->restricted(operators.back());
            operators.back() = own.part;
            axes.push_back(own.measurement_axis);
          }
        });
      }
      local_ = make_local(std::move(operators));
    });
    local_->accept(names_on_all_ranks(local_->parameter_names()));
    if (slices_ != nullptr) {
      share_axes(axes);
    }
  });
  everyone_->number(context, "stack");
  exchange_->share_name(*everyone_);
}

// The ranks of a grid are split once all of them are known to want this one.
std::shared_ptr<Exchange> DistributedStackedPhysics::group_exchange(std::int64_t num_operators,
                                                                    const DistributedOptions& options) const {
  if (!options.grid) {
    return everyone_;
  }
  return everyone_->call(making, arguments_of(num_operators, options), [&] {
    const SliceGrid& grid = *options.grid;
    everyone_->agree([&] { grid.check_for(context_.size()); });
    if (grid.slices == 1) {
      return everyone_;
    }
    const int rank = context_.rank();
    return std::make_shared<Exchange>(context_, "a stack",
                                      context_.communicator().split(rank / grid.operators, rank % grid.operators));
  });
}

void DistributedStackedPhysics::share_axes(const std::vector<std::int64_t>& mine) {
  at::Tensor axes = at::zeros({num_operators()}, at::kLong);
  for (std::size_t k = 0; k < mine.size(); ++k) {
    axes[local_indices()[k]] = mine[k];
  }
  everyone_->communicator().all_reduce(axes, ReduceOp::max);
  slices_->set_axes({axes.const_data_ptr<std::int64_t>(), axes.const_data_ptr<std::int64_t>() + num_operators()},
                    sharding_);
}

DistributedStackedPhysics::DistributedStackedPhysics(DistributedContext& context, std::int64_t num_operators,
                                                     const PhysicsFactory& factory, const DistributedOptions& options)
    : DistributedStackedPhysics(context, num_operators, factory, options, [&](std::vector<PhysicsPtr> operators) {
        check(!options.grid, "grid: takes a stack of linear operators");
        return std::make_unique<LocalPhysics>(std::move(operators));
      }) {}

// Without waiting for ranks that keep their stack longer, as a garbage collector may.
DistributedStackedPhysics::~DistributedStackedPhysics() {
  if (exchange_ != everyone_) {
    exchange_->communicator().leave(/*at_once=*/true);
  }
}

ParameterNames DistributedStackedPhysics::names_on_all_ranks(const ParameterNames& mine) const {
  ParameterNames all = mine;
  if (!everyone_->alone()) {
    const std::string message = serialize({{"names", mine.names}, {"any", mine.any}});
    for (const std::string& bytes : everyone_->communicator().all_gather_bytes(message)) {
      const Params theirs = deserialize_params(bytes);
      all += {.names = theirs.get<std::vector<std::string>>("names"), .any = theirs.get<bool>("any")};
    }
  }
  return all;
}

void DistributedStackedPhysics::check_unchanged(std::int64_t version) const {
  if (local_->version() != version) {
    throw Error(
        "an operator was updated, or a tensor that it is made of changed in place, since the forward pass: its "
        "gradient would be that of another operator");
  }
}

void DistributedStackedPhysics::refuse(const char* method) const { everyone_->refuse(method); }

void DistributedStackedPhysics::set_parameters(std::vector<at::Tensor> replicated, std::vector<at::Tensor> owned) {
  parameters_ = Parameters(exchange_, std::move(replicated), std::move(owned));
}

void DistributedStackedPhysics::check_gradients_arrive() const {
  for (std::size_t position = 0; position < local_indices().size(); ++position) {
    if (!local()[position].requires_grad()) [[likely]] {
      continue;
    }
    for (const at::Tensor& tensor : local()[position].tensors_with_gradients()) {
      const char* lost = nullptr;
      if (is_dual(tensor)) {
        lost = " carries a tangent, which the stack does not carry on: give it to the call by keyword";
      } else if (c10::GradMode::is_enabled() && !parameters_.contain(tensor)) {
        lost =
            " requires gradients, but was not among the parameters when the stack was made: make the stack anew, or "
            "give it to the call by keyword";
      }
      if (lost != nullptr) {
        exchange_->call("gradients", {}, [&] {
          for_operator(static_cast<std::int64_t>(position), [&] {
            throw InvalidArgument(c10::str(local()[position].name(), ": its tensor of shape ", tensor.sizes(), lost));
          });
        });
      }
    }
  }
}

// ---- Measuring ---------------------------------------------------------------------------------------------------

TensorList DistributedStackedPhysics::A(const at::Tensor& x, const CallOptions& options) const {
  return measured(step_A, x, options);
}

TensorList DistributedStackedPhysics::forward(const at::Tensor& x, const CallOptions& options) const {
  return measured(step_forward, x, options);
}

ShardedTensorList DistributedStackedPhysics::A_sharded(const at::Tensor& x, const Params& params) const {
  return sharded(measured(step_A, x, {.gather = false, .params = params}));
}

ShardedTensorList DistributedStackedPhysics::forward_sharded(const at::Tensor& x, const Params& params) const {
  return sharded(measured(step_forward, x, {.gather = false, .params = params}));
}

at::Tensor DistributedStackedPhysics::A_reduced(const at::Tensor& x, Reduction reduction,
                                                const CallOptions& options) const {
  return reduced(step_A, x, reduction, options);
}

at::Tensor DistributedStackedPhysics::forward_reduced(const at::Tensor& x, Reduction reduction,
                                                      const CallOptions& options) const {
  return reduced(step_forward, x, reduction, options);
}

TensorList DistributedStackedPhysics::measured(const Step& step, const at::Tensor& x,
                                               const CallOptions& options) const {
  check_no_grid(step.name);
  const auto all = [&](const TensorList& out) {
    check_tensor("x", x);
    return (local().*step.all)(out, x, options.params);
  };
  if (!options.gather) {
    return exchange_->local([&] { return all({}); });
  }
  if (records_gradients(x) || uses_followed(options.params)) {
    return followed(step, x, options.params);
  }
  return exchange_->call(step.name, {"x", x}, [&] {
    return exchange_->gather((this->*step.plans)->items, sharding_, gather_strategy_, all, [&](std::size_t position) {
      check_tensor("x", x);
      return for_operator(static_cast<std::int64_t>(position),
                          [&] { return (local()[position].*step.one)(x, local().taken(position, options.params)); });
    });
  });
}

TensorList DistributedStackedPhysics::followed(const Step& step, const at::Tensor& x, const Params& params) const {
  const auto keep = weak_from_this().lock();
  if (step.is_repeatable && !uses_followed(params)) {
    if (is_dual(x) && is_linear()) {
      TensorList y = measured(step, primal_of(x), {.params = params});
      const TensorList tangents = measured(step, tangent_of(x), {.params = params});
      for (std::size_t i = 0; i < y.size(); ++i) {
        y[i] = with_tangent(y[i], tangents[i]);
      }
      return y;
    }
    if (!is_dual(x)) {
      const auto forward = [&] { return measured(step, x.detach(), {.params = params}).tensors(); };
      // Notices, as torch does, when x is changed before it is used again.
      const auto saved = std::make_shared<torch::autograd::SavedVariable>(is_linear() ? at::Tensor() : x, false);
      const auto backward = [this, saved, params, keep, version = local().version(),
                             like = is_linear() ? x.detach() : at::Tensor()](const Tensors& gradients) -> Tensors {
        return {of_unchanged(version, [&] {
          return pulled_back(like.defined() ? like : saved->unpack(), TensorList(gradients), params);
        })};
      };
      return TensorList(differentiable({x}, forward, backward));
    }
  }
  const auto part = [this, &step, params](const Tensors& inputs) {
    check_tensor("x", inputs[0]);
    const Params own_params = with_tensors(params, at::ArrayRef<at::Tensor>(inputs).slice(1));
    Tensors results(static_cast<std::size_t>(num_operators()));
    for (std::size_t position = 0; position < local_indices().size(); ++position) {
      results[static_cast<std::size_t>(local_indices()[position])] =
          for_operator(static_cast<std::int64_t>(position),
                       [&] { return (local()[position].*step.one)(inputs[0], local().taken(position, own_params)); });
    }
    return results;
  };
  return TensorList(recorded(recording(step.name, this->*step.plans),
                             RecordedInputs().add(x, Spread::replicated).add(params), item_spreads(), part));
}

at::Tensor DistributedStackedPhysics::pulled_back(const at::Tensor& x, const TensorList& v,
                                                  const Params& params) const {
  if (records_gradients(x) || records_gradients(v)) {
    const auto part = [this, params](const Tensors& inputs) -> Tensors {
      return {local().A_vjp(inputs[0], owned_items(at::ArrayRef<at::Tensor>(inputs).slice(1)), {}, params)};
    };
    return recorded(recording("gradient", gradient_plans_),
                    RecordedInputs().add(x, Spread::replicated).add(v, Spread::item), {Spread::replicated}, part)[0];
  }
  return exchange_->call("gradient", {}, [&] {
    return exchange_->reduce(gradient_plans_->sums, [&](const at::Tensor& out) {
      return local().A_vjp(x, owned_items(v.tensors()), out, params);
    });
  });
}

at::Tensor DistributedStackedPhysics::reduced(const Step& step, const at::Tensor& x, Reduction reduction,
                                              const CallOptions& options) const {
  check_no_grid(step.reduced_name);
  const double weight = reduction == Reduction::mean ? 1.0 / static_cast<double>(num_operators()) : 1.0;
  const auto part = [&](const at::Tensor& /*out*/) {
    check_tensor("x", x);
    at::Tensor sum;
    for (const at::Tensor& y : (local().*step.all)({}, x, options.params)) {
      sum = sum.defined() ? sum + y : y;
    }
    return sum.defined() && weight != 1.0 ? sum * weight : sum;
  };
  if (!options.gather) {
    const at::Tensor sum = exchange_->local([&] { return part({}); });
    return sum.defined() ? sum : at::zeros({}, x.options());
  }
  if (records_gradients(x) || uses_followed(options.params)) {
    // Sums what autograd follows already: one gather more than needed, and none of the rules for parts twice.
    const TensorList y = measured(step, x, options);
    at::Tensor sum = y[0];
    for (std::size_t i = 1; i < y.size(); ++i) {
      sum = sum + y[i];
    }
    return sum * weight;
  }
  CallArguments arguments("x", x);
  arguments.add("reduction", to_string(reduction));
  return exchange_->call(step.reduced_name, arguments,
                         [&] { return exchange_->reduce((this->*step.plans)->sums, part); });
}

// ---- What the methods share --------------------------------------------------------------------------------------

RecordedCall DistributedStackedPhysics::recording(const char* name, const std::shared_ptr<CallPlans>& plans) const {
  return {.name = name,
          .exchange = exchange_,
          .sharding = &sharding_,
          .gather_strategy = gather_strategy_,
          .parameters = &parameters_,
          .plans = plans,
          .keep = weak_from_this().lock()};
}

std::vector<Spread> DistributedStackedPhysics::item_spreads() const {
  std::vector<Spread> spreads;
  for (std::int64_t i = 0; i < num_operators(); ++i) {
    spreads.emplace_back(Spread::item, i);
  }
  return spreads;
}

TensorList DistributedStackedPhysics::local_part(const char* argument, const Measurements& y) const {
  TensorList part = y.owned(argument, *space_);
  for (std::size_t k = 0; k < part.size(); ++k) {
    check_tensor(argument, part[k]);
    part[k] = slices_ != nullptr ? slices_->own(argument, part[k], local_indices()[k]) : part[k];
  }
  return part;
}

TensorList DistributedStackedPhysics::owned_items(at::ArrayRef<at::Tensor> items) const {
  TensorList part;
  for (const std::int64_t i : local_indices()) {
    part.push_back(items[static_cast<std::size_t>(i)]);
  }
  return part;
}

void DistributedStackedPhysics::check_tensor(const char* argument, const at::Tensor& tensor) const {
  check(tensor.defined(), argument, ": must be a tensor, got an undefined one");
  check(tensor.device() == context_.device(), argument, ": must be on ", context_.device(), ", got ", tensor.device());
  check(!dtype_ || c10::toRealValueType(tensor.scalar_type()) == c10::toRealValueType(*dtype_), argument,
        ": must have the precision of ", dtype_.value_or(at::kFloat), ", got ", tensor.scalar_type());
}

}  // namespace adjoin
