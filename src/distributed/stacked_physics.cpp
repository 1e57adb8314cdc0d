#include "adjoin/distributed/stacked_physics.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/operator_failure.hpp"
#include "adjoin/core/serialize.hpp"

namespace adjoin {

namespace {

std::string describe(std::int64_t num_operators, const DistributedOptions& options) {
  return c10::str("num_operators ", num_operators, ", reduction ", to_string(options.reduction), ", dtype ",
                  options.dtype ? c10::toString(*options.dtype) : "any", ", gather_strategy ",
                  to_string(options.gather_strategy), ", costs [", c10::Join(", ", options.costs), "]");
}

Sharding agreed_sharding(const DistributedContext& context, std::int64_t num_operators,
                         const DistributedOptions& options) {
  Exchange(context.shared_communicator(), context.device(), {})
      .agree("DistributedStackedPhysics", describe(num_operators, options), [&] {
        check(num_operators >= 1, "num_operators: must be at least 1, got ", num_operators);
        check(options.costs.empty() || static_cast<std::int64_t>(options.costs.size()) == num_operators,
              "costs: must hold one cost for each of ", num_operators, " operators, got ", options.costs.size());
        if (options.dtype) {
          check(at::isFloatingType(*options.dtype) || at::isComplexType(*options.dtype),
                "dtype: must be floating-point or complex, got ", *options.dtype);
        }
      });
  return options.costs.empty() ? Sharding::round_robin(num_operators, context.size())
                               : Sharding::by_cost(options.costs, context.size());
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

}  // namespace

DistributedStackedPhysics::DistributedStackedPhysics(DistributedContext& context, std::int64_t num_operators,
                                                     const DistributedOptions& options)
    : context_(context),
      sharding_(agreed_sharding(context, num_operators, options)),
      dtype_(options.dtype),
      gather_strategy_(options.gather_strategy),
      exchange_(std::make_shared<Exchange>(context.shared_communicator(), context.device(), local_indices())),
      space_(std::make_shared<MeasurementSpace>(
          local_indices(), num_operators,
          options.reduction == Reduction::mean ? 1.0 / static_cast<double>(num_operators) : 1.0,
          exchange_->alone() ? nullptr : exchange_)) {}

DistributedStackedPhysics::DistributedStackedPhysics(DistributedContext& context, std::int64_t num_operators,
                                                     const PhysicsFactory& factory, const DistributedOptions& options)
    : DistributedStackedPhysics(context, num_operators, options) {
  local_ = std::make_unique<StackedPhysics>(make_operators<Physics>(factory, options.factory_kwargs, "an operator"));
  local_->accept(names_on_all_ranks(local_->parameter_names()));
}

DistributedStackedPhysics::~DistributedStackedPhysics() = default;

template <class P>
std::vector<std::shared_ptr<P>> DistributedStackedPhysics::make_operators(const PhysicsFactory& factory,
                                                                          const Params& factory_kwargs,
                                                                          const char* expected) const {
  Params shared = factory_kwargs;
  if (!exchange_->alone()) {
    Communicator& communicator = exchange_->communicator();
    shared = deserialize_params(communicator.broadcast_bytes(rank() == 0 ? serialize(shared) : std::string(), 0));
  }
  std::vector<std::shared_ptr<P>> operators;
  exchange_->agree("factory", "", [&] {
    check(static_cast<bool>(factory), "factory: must be callable, got an empty function");
    shared = on_device(std::move(shared), context_.device());
    for (const std::int64_t index : local_indices()) {
      for_operator(static_cast<std::int64_t>(operators.size()), [&] {
        const PhysicsPtr made = factory(index, context_.device(), shared);
        check(made != nullptr, "factory: must return ", expected, ", got a null pointer");
        operators.push_back(std::dynamic_pointer_cast<P>(made));
        check(operators.back() != nullptr, "factory: must return ", expected, ", got a ", made->name());
      });
    }
  });
  return operators;
}

template std::vector<PhysicsPtr> DistributedStackedPhysics::make_operators(const PhysicsFactory&, const Params&,
                                                                           const char*) const;
template std::vector<LinearPhysicsPtr> DistributedStackedPhysics::make_operators(const PhysicsFactory&, const Params&,
                                                                                 const char*) const;

ParameterNames DistributedStackedPhysics::names_on_all_ranks(const ParameterNames& mine) const {
  ParameterNames all = mine;
  if (!exchange_->alone()) {
    const std::string message = serialize({{"names", mine.names}, {"any", mine.any}});
    for (const std::string& bytes : exchange_->communicator().all_gather_bytes(message)) {
      const Params theirs = deserialize_params(bytes);
      all += {.names = theirs.get<std::vector<std::string>>("names"), .any = theirs.get<bool>("any")};
    }
  }
  return all;
}

TensorList DistributedStackedPhysics::A(const at::Tensor& x, const CallOptions& options) const {
  return gathered(Step::A, x, options);
}

TensorList DistributedStackedPhysics::forward(const at::Tensor& x, const CallOptions& options) const {
  return gathered(Step::forward, x, options);
}

void DistributedStackedPhysics::check_unchanged(std::int64_t version) const {
  if (local_version() != version) {
    throw Error(
        "an operator was updated, or a tensor that it is made of changed in place, since the forward pass: its "
        "gradient "
        "would be that of another operator");
  }
}

ShardedTensorList DistributedStackedPhysics::A_sharded(const at::Tensor& x, const Params& params) const {
  return sharded(gathered(Step::A, x, {.gather = false, .params = params}));
}

ShardedTensorList DistributedStackedPhysics::forward_sharded(const at::Tensor& x, const Params& params) const {
  return sharded(gathered(Step::forward, x, {.gather = false, .params = params}));
}

at::Tensor DistributedStackedPhysics::A_reduced(const at::Tensor& x, Reduction reduction,
                                                const CallOptions& options) const {
  return reduced(Step::A, x, reduction, options);
}

at::Tensor DistributedStackedPhysics::forward_reduced(const at::Tensor& x, Reduction reduction,
                                                      const CallOptions& options) const {
  return reduced(Step::forward, x, reduction, options);
}

void DistributedStackedPhysics::set_parameters(std::vector<at::Tensor> replicated, std::vector<at::Tensor> owned) {
  parameters_ = Parameters(exchange_, std::move(replicated), std::move(owned));
}

Recording DistributedStackedPhysics::recording(std::vector<at::Tensor> inputs, bool replicated) const {
  return {.inputs = std::move(inputs),
          .replicated = replicated,
          .parameters = &parameters_,
          .gradient_plan = &gradient_plan_,
          .keep = weak_from_this().lock()};
}

// The measurements of all ranks as one differentiable operation. That of A needs J(x)ᵀ only; that of forward, whose
// noise could not be drawn again, keeps the local graph, as does every one that parameters take part in.
TensorList DistributedStackedPhysics::gathered_with_gradients(Step step, const at::Tensor& x,
                                                              const CallOptions& options) const {
  GatherPlan& plan = gather_plans_[static_cast<std::size_t>(step)];
  if (step == Step::forward || parameters_.recorded()) {
    const auto one = [&](std::size_t position, const std::vector<at::Tensor>& inputs) {
      check_tensor("x", inputs[0]);
      return for_operator(static_cast<std::int64_t>(position),
                          [&] { return local_step_of(step, position, inputs[0], options.params); });
    };
    return gather_recorded(*exchange_, plan, sharding_, recording({x}), one);
  }
  const auto forward = [&] { return gathered(step, x, options).tensors(); };
  const auto backward = [this, x, params = options.params, version = local_version(),
                         keep = weak_from_this().lock()](const std::vector<at::Tensor>& gradients) {
    const auto partial = [&](const at::Tensor& /*out*/) {
      check_unchanged(version);
      TensorList own;
      for (const std::int64_t i : local_indices()) {
        own.push_back(gradients[static_cast<std::size_t>(i)]);
      }
      return local_vjp(x, own, params);
    };
    return std::vector<at::Tensor>{exchange_->reduce("gradient", gradient_plan_, partial)};
  };
  return TensorList(differentiable({x}, forward, backward));
}

TensorList DistributedStackedPhysics::gathered(Step step, const at::Tensor& x, const CallOptions& options) const {
  if (options.gather && (records_gradients(x) || parameters_.recorded())) {
    return gathered_with_gradients(step, x, options);
  }
  const auto all = [&](const TensorList& out) {
    check_tensor("x", x);
    return local_step(step, out, x, options.params);
  };
  if (!options.gather) {
    return exchange_->local([&] { return all({}); });
  }
  return exchange_->gather(gather_plans_[static_cast<std::size_t>(step)], sharding_, gather_strategy_, all,
                           [&](std::size_t position) {
                             check_tensor("x", x);
                             return for_operator(static_cast<std::int64_t>(position),
                                                 [&] { return local_step_of(step, position, x, options.params); });
                           });
}

at::Tensor DistributedStackedPhysics::reduced(Step step, const at::Tensor& x, Reduction reduction,
                                              const CallOptions& options) const {
  const double weight = reduction == Reduction::mean ? 1.0 / static_cast<double>(num_operators()) : 1.0;
  const auto partial = [&](const at::Tensor& /*out*/) {
    check_tensor("x", x);
    at::Tensor sum;
    for (const at::Tensor& y : local_step(step, {}, x, options.params)) {
      sum = sum.defined() ? sum + y : y;
    }
    return sum.defined() && weight != 1.0 ? sum * weight : sum;
  };
  if (options.gather && (records_gradients(x) || parameters_.recorded())) {
    // Sums what autograd follows already: one gather more than needed, and none of the rules for parts twice.
    const TensorList y = gathered(step, x, options);
    at::Tensor sum = y[0];
    for (std::size_t i = 1; i < y.size(); ++i) {
      sum = sum + y[i];
    }
    return sum * weight;
  }
  if (options.gather) {
    return exchange_->reduce("A_reduced", reduced_plan_, partial);
  }
  at::Tensor sum = exchange_->local([&] { return partial({}); });
  return sum.defined() ? sum : at::zeros({}, x.options());
}

TensorList DistributedStackedPhysics::local_step(Step step, const TensorList& /*out*/, const at::Tensor& x,
                                                 const Params& params) const {
  return step == Step::A ? local_->A(x, params) : local_->forward(x, params);
}

at::Tensor DistributedStackedPhysics::local_step_of(Step step, std::size_t position, const at::Tensor& x,
                                                    const Params& params) const {
  const Physics& physics = (*local_)[position];
  const Params own = local_->taken(position, params);
  return step == Step::A ? physics.A(x, own) : physics.forward(x, own);
}

at::Tensor DistributedStackedPhysics::local_vjp(const at::Tensor& x, const TensorList& v, const Params& params) const {
  return local_->A_vjp(x, v, params);
}

void DistributedStackedPhysics::check_tensor(const char* argument, const at::Tensor& tensor) const {
  check(tensor.defined(), argument, ": must be a tensor, got an undefined one");
  check(tensor.device() == context_.device(), argument, ": must be on ", context_.device(), ", got ", tensor.device());
  check(!dtype_ || c10::toRealValueType(tensor.scalar_type()) == c10::toRealValueType(*dtype_), argument,
        ": must have the precision of ", dtype_.value_or(at::kFloat), ", got ", tensor.scalar_type());
}

}  // namespace adjoin
