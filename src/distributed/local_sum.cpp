// SPDX-License-Identifier: BSD-3-Clause
// A reduction of whatever a function returns for this rank's operators, with its gradients.
#include "adjoin/distributed/local_sum.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "adjoin/core/operator_failure.hpp"

namespace adjoin {

LocalSum::LocalSum(const DistributedContext& context, std::string name, std::vector<std::int64_t> indices)
    : exchange_(std::make_shared<Exchange>(context, name)) {
  exchange_->set_indices(std::move(indices));
  exchange_->call("the making", {}, [&] { exchange_->agree([] {}); });
  exchange_->number(context, name);
}

void LocalSum::set_parameters(std::vector<at::Tensor> replicated, std::vector<at::Tensor> owned) {
  parameters_ = Parameters(exchange_, std::move(replicated), std::move(owned));
}

at::Tensor LocalSum::operator()(const Term& term, const Tensors& inputs, bool gather) const {
  const auto part = [this, term](const Tensors& tensors) {
    at::Tensor sum;
    for (std::size_t position = 0; position < exchange_->indices().size(); ++position) {
      for_operator(static_cast<std::int64_t>(position), [&] {
        const at::Tensor own = term(position, tensors);
        sum = sum.defined() ? sum + own : own;
      });
    }
    return sum;
  };
  if (!gather) {
    const at::Tensor sum = exchange_->local([&] { return part(inputs); });
    return sum.defined() ? sum : at::zeros({}, inputs[0].options().requires_grad(false));
  }
  if (parameters_.recorded() || records_gradients(TensorList(inputs))) {
    RecordedInputs all;
    for (const at::Tensor& input : inputs) {
      all.add(input, Spread::replicated);
    }
    return recorded({.name = "a sum",
                     .exchange = exchange_,
                     .parameters = &parameters_,
                     .plans = plans_,
                     .keep = weak_from_this().lock()},
                    all, {Spread::replicated},
                    [part](const Tensors& tensors) -> Tensors { return {part(tensors)}; })[0];
  }
  CallArguments arguments;
  arguments.add_tensor("x", inputs[0]);
  return exchange_->call("a sum", arguments, [&] {
    return exchange_->reduce(plans_->sums, [&](const at::Tensor& /*out*/) { return part(inputs); });
  });
}

}  // namespace adjoin
