// SPDX-License-Identifier: BSD-3-Clause
// Nodes of autograd that call our own backward passes, which are recorded themselves so that they differentiate again.
#include "adjoin/core/differentiable.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <algorithm>
#include <iterator>
#include <unordered_set>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"

namespace adjoin {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Backward = std::function<Tensors(const Tensors& gradients, const Tensors& outputs)>;

void (*translate_exception)(const std::exception_ptr&) = nullptr;

struct BackwardHolder : torch::CustomClassHolder {
  BackwardHolder(Backward f, bool outputs) : call(std::move(f)), needs_outputs(outputs) {}
  Backward call;
  bool needs_outputs;
};

struct Operation : torch::autograd::Function<Operation> {
  // The inputs are passed for autograd to see them, as an ArrayRef: it does not look into a vector.
  static variable_list forward(AutogradContext* ctx, at::ArrayRef<at::Tensor> /*inputs*/,
                               const std::function<Tensors()>& forward, Backward backward, bool keep_outputs) {
    ctx->saved_data["backward"] =
        c10::IValue::make_capsule(c10::make_intrusive<BackwardHolder>(std::move(backward), keep_outputs));
    variable_list outputs = forward();
    if (keep_outputs) {
      ctx->save_for_backward(outputs);
    }
    return outputs;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto capsule = ctx->saved_data["backward"].toCapsule();
    const auto& holder = static_cast<BackwardHolder&>(*capsule);
    try {
      // torch frees outputs after a backward pass; what needs none may be run again, as a shared sum of gradients is.
      variable_list results = holder.call(gradients, holder.needs_outputs ? ctx->get_saved_variables() : Tensors());
      results.resize(results.size() + 3);  // functions and flag have no gradient
      return results;
    } catch (...) {
      if (translate_exception != nullptr) {
        translate_exception(std::current_exception());
      }
      throw;
    }
  }
};

// A tensor cut off from its history, for a recording of its own; a dual one stays dual.
at::Tensor fresh(const at::Tensor& tensor) {
  const at::Tensor leaf = primal_of(tensor).detach().requires_grad_();
  return is_dual(tensor) ? with_tangent(leaf, tangent_of(tensor)) : leaf;
}

// Gradients of f(inputs) · cotangents with respect to `inputs`, then `leaves`; recorded where grad mode is on.
Tensors pulled_back(const std::function<Tensors(const Tensors&)>& f, const Tensors& inputs, const Tensors& leaves,
                    const Tensors& cotangents) {
  const bool again = c10::GradMode::is_enabled();
  const at::AutoGradMode recording(true);
  Tensors sources;
  for (const at::Tensor& input : inputs) {  // in a recording they are cut off from their history already
    sources.push_back(again && input.requires_grad() ? input : fresh(input));
  }
  const Tensors results = f(sources);
  sources.insert(sources.end(), leaves.begin(), leaves.end());
  Tensors outputs;
  Tensors weights;
  for (std::size_t k = 0; k < results.size(); ++k) {
    if (results[k].requires_grad()) {
      outputs.push_back(results[k]);
      weights.push_back(cotangents.empty() ? at::ones_like(results[k]) : cotangents[k]);
    }
  }
  Tensors found(sources.size());
  if (!outputs.empty()) {
    found = torch::autograd::grad(outputs, sources, weights, /*retain_graph=*/true, again, /*allow_unused=*/true);
  }
  for (std::size_t k = 0; k < sources.size(); ++k) {
    if (!found[k].defined()) {
      found[k] = at::zeros_like(sources[k]);
    }
  }
  return found;
}

Tensors recomputed(const Tensors& inputs, const Tensors& leaves, const std::function<Tensors(const Tensors&)>& f);

// The same of dual inputs: their tangents are inputs, and those of the results results, of an f of duals.
Tensors recomputed_of_duals(const Tensors& inputs, const Tensors& leaves,
                            const std::function<Tensors(const Tensors&)>& f) {
  Tensors all;
  std::vector<std::size_t> dual;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    all.push_back(primal_of(inputs[k]));
    if (is_dual(inputs[k])) {
      dual.push_back(k);
    }
  }
  for (const std::size_t k : dual) {
    all.push_back(tangent_of(inputs[k]));
  }
  const auto both = [f, dual, count = inputs.size()](const Tensors& given) {
    Tensors points(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(count));
    for (std::size_t k = 0; k < dual.size(); ++k) {
      points[dual[k]] = with_tangent(points[dual[k]], given[count + k]);
    }
    const Tensors of_duals = f(points);
    Tensors results;
    for (const at::Tensor& result : of_duals) {
      results.push_back(primal_of(result));
    }
    for (const at::Tensor& result : of_duals) {
      results.push_back(is_dual(result) ? tangent_of(result) : at::zeros_like(result));
    }
    return results;
  };
  Tensors results = recomputed(all, leaves, both);
  const std::size_t half = results.size() / 2;
  for (std::size_t k = 0; k < half; ++k) {
    results[k] = with_tangent(results[k], results[half + k]);
  }
  results.resize(half);
  return results;
}

// f(inputs) as one operation of `inputs` and `leaves`, which calls f anew for its derivatives.
Tensors recomputed(const Tensors& inputs, const Tensors& leaves, const std::function<Tensors(const Tensors&)>& f) {
  if (std::ranges::any_of(inputs, is_dual)) {
    return recomputed_of_duals(inputs, leaves, f);
  }
  Tensors all = inputs;
  all.insert(all.end(), leaves.begin(), leaves.end());
  const auto forward = [&] {
    Tensors detached;
    std::ranges::transform(inputs, std::back_inserter(detached), [](const at::Tensor& t) { return t.detach(); });
    return f(detached);
  };
  const auto backward = [f, inputs, leaves](const Tensors& gradients) {
    Tensors given = inputs;
    given.insert(given.end(), gradients.begin(), gradients.end());
    const auto slopes = [f, leaves, count = inputs.size()](const Tensors& at) {
      const auto middle = at.begin() + static_cast<std::ptrdiff_t>(count);
      return pulled_back(f, Tensors(at.begin(), middle), leaves, Tensors(middle, at.end()));
    };
    return recomputed(given, leaves, slopes);
  };
  return differentiable(all, forward, backward);
}

}  // namespace

Tensors differentiable(const Tensors& inputs, const std::function<Tensors()>& forward,
                       std::function<Tensors(const Tensors&)> backward) {
  return Operation::apply(
      at::ArrayRef<at::Tensor>(inputs), forward,
      Backward([backward = std::move(backward)](const Tensors& gradients, const Tensors& /*outputs*/) {
        return backward(gradients);
      }),
      false);
}

Tensors differentiable_by_outputs(const Tensors& inputs, const std::function<Tensors()>& forward, Backward backward) {
  return Operation::apply(at::ArrayRef<at::Tensor>(inputs), forward, std::move(backward), true);
}

Tensors differentiable_once(const Tensors& inputs, const Tensors& results, const char* what) {
  if (!c10::GradMode::is_enabled()) {
    return results;
  }
  Tensors defined;
  std::ranges::copy_if(results, std::back_inserter(defined), [](const at::Tensor& t) { return t.defined(); });
  Tensors wrapped = differentiable(
      inputs, [&] { return defined; },
      [what](const Tensors& /*gradients*/) -> Tensors {
        throw Error(c10::str(what, " cannot be differentiated again"));
      });
  auto next = wrapped.begin();
  Tensors all;
  for (const at::Tensor& result : results) {
    all.push_back(result.defined() ? *next++ : result);
  }
  return all;
}

namespace {

using NodePtr = decltype(torch::autograd::Edge::function);

NodePtr node_of(const at::Tensor& tensor) {
  return tensor.defined() && tensor.requires_grad() ? torch::autograd::impl::gradient_edge(tensor).function : nullptr;
}

// Calls visit(node) once for each of these nodes and of those that they come from.
template <class Visit>
void for_each_source(std::vector<NodePtr> open, const Visit& visit) {
  std::unordered_set<const torch::autograd::Node*> seen;
  while (!open.empty()) {
    const NodePtr node = std::move(open.back());
    open.pop_back();
    if (node == nullptr || !seen.insert(node.get()).second) {
      continue;
    }
    visit(*node);
    for (const torch::autograd::Edge& edge : node->next_edges()) {
      open.push_back(edge.function);
    }
  }
}

}  // namespace

Tensors leaves_of(const Tensors& tensors) {
  std::vector<NodePtr> nodes;
  for (const at::Tensor& tensor : tensors) {
    nodes.push_back(node_of(tensor));
  }
  Tensors leaves;
  for_each_source(std::move(nodes), [&](const torch::autograd::Node& node) {
    if (const auto* const leaf = dynamic_cast<const torch::autograd::AccumulateGrad*>(&node)) {
      leaves.push_back(leaf->variable);
    }
  });
  return leaves;
}

bool are_independent(const Tensors& tensors) {
  std::vector<NodePtr> own;  // kept: nothing else holds the node of a leaf
  std::vector<NodePtr> sources;
  for (const at::Tensor& tensor : tensors) {
    if (own.emplace_back(node_of(tensor)) != nullptr) {
      for (const torch::autograd::Edge& edge : own.back()->next_edges()) {
        sources.push_back(edge.function);
      }
    }
  }
  bool none_met = true;
  for_each_source(std::move(sources), [&](const torch::autograd::Node& node) {
    none_met = none_met && std::ranges::none_of(own, [&](const NodePtr& one) { return one.get() == &node; });
  });
  return none_met;
}

Tensors partial_gradients(const Tensors& inputs, const Tensors& leaves,
                          std::function<at::Tensor(const Tensors& inputs)> f) {
  const auto value = [f = std::move(f)](const Tensors& at) { return Tensors{f(at)}; };
  return recomputed(inputs, leaves, [value, leaves](const Tensors& at) { return pulled_back(value, at, leaves, {}); });
}

void set_backward_translator(void (*translate)(const std::exception_ptr&)) { translate_exception = translate; }

}  // namespace adjoin
