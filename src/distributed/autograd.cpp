// SPDX-License-Identifier: BSD-3-Clause
// Collective calls as nodes of autograd: each rank records its local part, and the backward pass sums over the ranks.
#include "adjoin/distributed/autograd.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/distributed/parameters.hpp"

namespace adjoin {

namespace {

// The places of the outputs that are spread so.
std::vector<std::size_t> places_of(Spread::Kind kind, const std::vector<Spread>& outputs) {
  std::vector<std::size_t> places;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (outputs[k].kind == kind) {
      places.push_back(k);
    }
  }
  return places;
}

// Of those outputs, which are items: each belongs to the rank of its operator.
Sharding sharding_of(const std::vector<std::size_t>& items, const std::vector<Spread>& outputs,
                     const Sharding& operators, int ranks) {
  std::vector<int> owners;
  owners.reserve(items.size());
  for (const std::size_t k : items) {
    owners.push_back(operators.owner(outputs[k].operator_index));
  }
  return {std::move(owners), ranks};
}

// What local() makes on each rank, combined over the ranks: sums by one reduction, items by one gather.
Tensors combined(const RecordedCall& call, CallPlans& plans, const std::vector<Spread>& outputs,
                 c10::function_ref<Tensors()> local) {
  const std::vector<std::size_t> sums = places_of(Spread::replicated, outputs);
  const std::vector<std::size_t> items = places_of(Spread::item, outputs);
  Exchange& exchange = *call.exchange;
  if (sums.empty() && items.empty()) {
    return call.message_follows ? exchange.call(call.name, {}, local) : exchange.local(local);
  }
  return exchange.call(call.name, {}, [&] {
    Tensors results;
    bool is_made = false;
    const auto make = [&] {
      if (!std::exchange(is_made, true)) {
        results = local();
      }
    };
    if (!sums.empty()) {
      Tensors parts;
      const at::Tensor sum = exchange.reduce(plans.sums, [&](const at::Tensor& /*out*/) {
        make();
        for (const std::size_t k : sums) {
          parts.push_back(results[k]);
        }
        return parts.size() == 1 ? parts[0] : joined(parts);
      });
      const Tensors wholes = sums.size() == 1 ? Tensors{sum} : parted(sum, parts);
      for (std::size_t k = 0; k < sums.size(); ++k) {
        results[sums[k]] = wholes[k];
      }
    }
    if (!items.empty()) {
      const Communicator& communicator = exchange.communicator();
      const Sharding sharding = sharding_of(items, outputs, *call.sharding, communicator.size());
      const std::vector<std::int64_t>& mine = sharding.items_of(communicator.rank());
      const auto one = [&](std::size_t position) {
        make();
        return results[items[static_cast<std::size_t>(mine[position])]];
      };
      const auto own = [&](const TensorList& /*out*/) {
        TensorList list;
        for (std::size_t position = 0; position < mine.size(); ++position) {
          list.push_back(one(position));
        }
        return list;
      };
      if (mine.empty()) {  // nobody will ask for an item, but other outputs may be wanted
        exchange.deferring(make, [] {});
      }
      const TensorList all = exchange.gather(plans.items, sharding, call.gather_strategy, own, one);
      for (std::size_t k = 0; k < items.size(); ++k) {
        results[items[k]] = all[k];
      }
    }
    return results;
  });
}

// An input as autograd sees it from outside, and the tensor that stands for it in the local graph.
struct Input {
  at::Tensor tensor;
  at::Tensor leaf;
  Spread spread;
};

// The local part of a call as autograd recorded it.
struct LocalGraph {
  RecordedCall call;
  std::vector<Input> inputs;
  std::vector<Spread> output_spreads;
  Tensors outputs;  // this rank's contributions
};

std::shared_ptr<CallPlans> plans_of_gradients(const std::shared_ptr<CallPlans>& plans) {
  if (!plans->gradients) {
    plans->gradients = std::make_unique<CallPlans>();
  }
  return {plans, plans->gradients.get()};
}

// Contributions to the gradients of those inputs that want one, from gradients of the outputs. `again`: to be
// differentiated in turn.
Tensors local_gradients(const LocalGraph& graph, const Tensors& output_gradients, bool again) {
  Tensors sources;
  for (const Input& input : graph.inputs) {
    if (input.leaf.requires_grad()) {
      sources.push_back(input.leaf);
    }
  }
  Tensors outputs;
  Tensors gradients;
  for (std::size_t k = 0; k < graph.outputs.size(); ++k) {
    if (graph.outputs[k].defined() && graph.outputs[k].requires_grad() && output_gradients[k].defined()) {
      outputs.push_back(graph.outputs[k]);
      gradients.push_back(output_gradients[k]);
    }
  }
  Tensors found(sources.size());
  if (!outputs.empty()) {
    found = torch::autograd::grad(outputs, sources, gradients, /*retain_graph=*/true, again, /*allow_unused=*/true);
  }
  std::size_t k = 0;
  for (const Input& input : graph.inputs) {
    if (input.leaf.requires_grad()) {
      if (!found[k].defined() && (again || input.spread.kind != Spread::owned)) {
        found[k] = at::zeros_like(input.leaf);
      }
      ++k;
    }
  }
  return found;
}

Tensors with_graph(const RecordedCall& call, CallPlans& plans, std::vector<Input> inputs,
                   const std::vector<Spread>& outputs, const std::function<Tensors()>& part);

// Gradients of all inputs, undefined for those that want none, from gradients of the combined outputs.
Tensors gradients_of(const std::shared_ptr<LocalGraph>& graph, const Tensors& output_gradients) {
  const bool again = c10::GradMode::is_enabled();
  const std::shared_ptr<CallPlans> plans = plans_of_gradients(graph->call.plans);
  RecordedCall call = graph->call;
  call.name = "gradient";
  call.plans = plans;
  call.message_follows = call.message_follows || call.parameters != nullptr;
  call.parameters = nullptr;  // they are among the inputs already
  std::vector<Spread> spreads;
  for (const Input& input : graph->inputs) {
    if (input.leaf.requires_grad()) {
      spreads.push_back(input.spread);
    }
  }
  Tensors found;
  if (again) {
    std::vector<Input> inputs = graph->inputs;
    Tensors leaves;
    for (std::size_t k = 0; k < output_gradients.size(); ++k) {
      leaves.push_back(output_gradients[k].detach().requires_grad_(output_gradients[k].requires_grad()));
      inputs.push_back({output_gradients[k], leaves.back(), graph->output_spreads[k]});
    }
    found = with_graph(call, *plans, std::move(inputs), spreads,
                       [graph, leaves] { return local_gradients(*graph, leaves, true); });
  } else {
    found = combined(call, *plans, spreads, [&] { return local_gradients(*graph, output_gradients, false); });
  }
  Tensors results;
  std::size_t k = 0;
  for (const Input& input : graph->inputs) {
    results.push_back(input.leaf.requires_grad() ? found[k++] : at::Tensor());
  }
  return results;
}

// The combined outputs as one differentiable operation of the inputs, by the graph of the local part.
Tensors with_graph(const RecordedCall& call, CallPlans& plans, std::vector<Input> inputs,
                   const std::vector<Spread>& outputs, const std::function<Tensors()>& part) {
  auto graph = std::make_shared<LocalGraph>(LocalGraph{call, std::move(inputs), outputs, {}});
  Tensors tensors;
  for (const Input& input : graph->inputs) {
    tensors.push_back(input.tensor);
  }
  const auto forward = [&] {
    return combined(call, plans, outputs, [&] {
      const at::AutoGradMode recording(
          std::ranges::any_of(graph->inputs, [](const Input& input) { return input.leaf.requires_grad(); }));
      graph->outputs = part();
      Tensors values;
      for (const at::Tensor& output : graph->outputs) {
        values.push_back(output.defined() ? output.detach() : at::Tensor());
      }
      return values;
    });
  };
  return differentiable(tensors, forward, [graph](const Tensors& gradients) { return gradients_of(graph, gradients); });
}

// The same of dual inputs: their tangents are inputs, and those of the outputs outputs, of a part of duals.
Tensors of_duals(const RecordedCall& call, const RecordedInputs& inputs, const std::vector<Spread>& outputs,
                 const std::function<Tensors(const Tensors&)>& part) {
  RecordedInputs all;
  std::vector<std::size_t> dual;
  for (std::size_t k = 0; k < inputs.tensors.size(); ++k) {
    all.add(primal_of(inputs.tensors[k]), inputs.spreads[k]);
    if (is_dual(inputs.tensors[k])) {
      dual.push_back(k);
    }
  }
  for (const std::size_t k : dual) {
    all.add(tangent_of(inputs.tensors[k]), inputs.spreads[k]);
  }
  const std::size_t count = inputs.tensors.size();
  const auto part_of_duals = [part, dual, count](const Tensors& leaves) {
    Tensors primals(leaves.begin(), leaves.begin() + static_cast<std::ptrdiff_t>(count));
    for (std::size_t k = 0; k < dual.size(); ++k) {
      primals[dual[k]] = with_tangent(primals[dual[k]], leaves[count + k]);
    }
    Tensors results = part(primals);
    const std::size_t results_count = results.size();
    for (std::size_t k = 0; k < results_count; ++k) {
      const at::Tensor result = results[k];
      const at::Tensor tangent = result.defined() ? tangent_of(result) : at::Tensor();
      results.push_back(tangent.defined() || !result.defined() ? tangent : at::zeros_like(result));
      results[k] = result.defined() ? primal_of(result) : result;
    }
    return results;
  };
  std::vector<Spread> both = outputs;
  both.insert(both.end(), outputs.begin(), outputs.end());
  RecordedCall with_own_plans = call;
  with_own_plans.plans = std::make_shared<CallPlans>();
  Tensors results = recorded(with_own_plans, all, both, part_of_duals);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    results[k] = with_tangent(results[k], results[outputs.size() + k]);
  }
  results.resize(outputs.size());
  return results;
}

}  // namespace

at::Tensor joined(const Tensors& tensors) {
  Tensors flat;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor dense = tensor.resolve_conj().contiguous();
    flat.push_back((dense.is_complex() ? at::view_as_real(dense) : dense).reshape({-1}));
  }
  return at::cat(flat);
}

Tensors parted(const at::Tensor& vector, const Tensors& like) {
  Tensors parts;
  std::int64_t begin = 0;
  for (const at::Tensor& tensor : like) {
    const std::int64_t length = tensor.numel() * (tensor.is_complex() ? 2 : 1);
    const at::Tensor piece = vector.narrow(0, begin, length).to(c10::toRealValueType(tensor.scalar_type()));
    begin += length;
    if (tensor.is_complex()) {
      std::vector<std::int64_t> sizes = tensor.sizes().vec();
      sizes.push_back(2);
      parts.push_back(at::view_as_complex(piece.clone().view(sizes)));
    } else {
      parts.push_back(piece.view(tensor.sizes()));
    }
  }
  return parts;
}

RecordedInputs& RecordedInputs::add(const at::Tensor& tensor, Spread spread) {
  tensors.push_back(tensor);
  spreads.push_back(spread);
  return *this;
}

RecordedInputs& RecordedInputs::add(const TensorList& list, Spread::Kind kind) {
  for (std::size_t k = 0; k < list.size(); ++k) {
    add(list[k], {kind, kind == Spread::item ? static_cast<std::int64_t>(k) : -1});
  }
  return *this;
}

RecordedInputs& RecordedInputs::add(const Params& params) {
  for (const auto& [name, value] : params) {
    if (const auto* tensor = std::get_if<at::Tensor>(&value)) {
      add(*tensor, Spread::replicated);
    } else if (const auto* list = std::get_if<TensorList>(&value)) {
      add(*list, Spread::replicated);
    }
  }
  return *this;
}

Params with_tensors(const Params& params, at::ArrayRef<at::Tensor> tensors) {
  Params result = params;
  std::size_t k = 0;
  for (const auto& [name, value] : params) {
    if (std::holds_alternative<at::Tensor>(value)) {
      result.set(name, tensors[k++]);
    } else if (const auto* list = std::get_if<TensorList>(&value)) {
      result.set(name, TensorList(tensors.slice(k, list->size()).vec()));
      k += list->size();
    }
  }
  return result;
}

Tensors recorded(const RecordedCall& call, const RecordedInputs& inputs, const std::vector<Spread>& outputs,
                 std::function<Tensors(const Tensors&)> part) {
  if (std::ranges::any_of(inputs.tensors, is_dual)) {
    return of_duals(call, inputs, outputs, part);
  }
  std::vector<Input> all;
  Tensors leaves;
  const bool recording = c10::GradMode::is_enabled();
  for (std::size_t k = 0; k < inputs.tensors.size(); ++k) {
    const at::Tensor& tensor = inputs.tensors[k];
    leaves.push_back(tensor.defined() ? tensor.detach().requires_grad_(recording && tensor.requires_grad()) : tensor);
    all.push_back({tensor, leaves.back(), inputs.spreads[k]});
  }
  if (call.parameters != nullptr && call.parameters->recorded()) {
    const Tensors own = call.parameters->tensors();
    const Tensors routes = call.parameters->routes();
    for (std::size_t k = 0; k < own.size(); ++k) {
      all.push_back({routes[k], own[k], Spread::owned});
    }
  }
  return with_graph(call, *call.plans, std::move(all), outputs,
                    [part = std::move(part), leaves = std::move(leaves)] { return part(leaves); });
}

bool records_gradients(const Params& params) {
  return !params.empty() && std::ranges::any_of(params, [](const Params::Entry& entry) {
    const auto* const tensor = std::get_if<at::Tensor>(&entry.second);
    const auto* const list = std::get_if<TensorList>(&entry.second);
    return (tensor != nullptr && records_gradients(*tensor)) || (list != nullptr && records_gradients(*list));
  });
}

}  // namespace adjoin
