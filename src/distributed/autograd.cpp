#include "adjoin/distributed/autograd.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

namespace adjoin {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Forward = std::function<std::vector<at::Tensor>()>;
using Backward = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

void (*translate_exception)(const std::exception_ptr&) = nullptr;

struct BackwardHolder : torch::CustomClassHolder {
  explicit BackwardHolder(Backward f) : call(std::move(f)) {}
  Backward call;
};

struct Collective : torch::autograd::Function<Collective> {
  // The inputs are passed for autograd to see them, as an ArrayRef: it does not look into a vector.
  static variable_list forward(AutogradContext* ctx, at::ArrayRef<at::Tensor> /*inputs*/, const Forward& forward,
                               Backward backward) {
    ctx->saved_data["backward"] = c10::IValue::make_capsule(c10::make_intrusive<BackwardHolder>(std::move(backward)));
    return forward();
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto capsule = ctx->saved_data["backward"].toCapsule();
    try {
      variable_list results = static_cast<BackwardHolder&>(*capsule).call(gradients);
      results.resize(results.size() + 2);  // the two functions have no gradient
      return results;
    } catch (...) {
      if (translate_exception != nullptr) {
        translate_exception(std::current_exception());
      }
      throw;
    }
  }
};

// The local part of a call, as autograd recorded it.
struct LocalGraph {
  std::vector<at::Tensor> inputs;      // detached from their history
  std::vector<at::Tensor> parameters;  // that require gradients
  std::vector<at::Tensor> outputs;     // this rank's
};

std::shared_ptr<LocalGraph> make_graph(const Recording& recording) {
  auto graph = std::make_shared<LocalGraph>();
  for (const at::Tensor& input : recording.inputs) {
    graph->inputs.push_back(input.detach());
    if (input.requires_grad()) {
      graph->inputs.back().requires_grad_();
    }
  }
  if (recording.parameters != nullptr && recording.parameters->recorded()) {
    graph->parameters = recording.parameters->tensors();
  }
  return graph;
}

// The inputs of the call as autograd sees it.
std::vector<at::Tensor> recorded_inputs(const Recording& recording) {
  std::vector<at::Tensor> inputs = recording.inputs;
  if (recording.parameters != nullptr && recording.parameters->recorded()) {
    const std::vector<at::Tensor> routes = recording.parameters->routes();
    inputs.insert(inputs.end(), routes.begin(), routes.end());
  }
  return inputs;
}

// Gradients of inputs and parameters from those of this rank's outputs: undefined where nothing depends on them.
std::vector<at::Tensor> local_gradients(const LocalGraph& graph, const std::vector<at::Tensor>& output_gradients) {
  std::vector<at::Tensor> sources;
  std::vector<std::size_t> places;
  const std::size_t count = graph.inputs.size() + graph.parameters.size();
  for (std::size_t i = 0; i < count; ++i) {
    const at::Tensor& source = i < graph.inputs.size() ? graph.inputs[i] : graph.parameters[i - graph.inputs.size()];
    if (source.requires_grad()) {
      sources.push_back(source);
      places.push_back(i);
    }
  }
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> gradients;
  for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
    if (graph.outputs[i].defined() && graph.outputs[i].requires_grad() && output_gradients[i].defined()) {
      outputs.push_back(graph.outputs[i]);
      gradients.push_back(output_gradients[i]);
    }
  }
  std::vector<at::Tensor> results(count);
  if (outputs.empty()) {
    return results;
  }
  const std::vector<at::Tensor> found = torch::autograd::grad(outputs, sources, gradients, /*retain_graph=*/true,
                                                              /*create_graph=*/false, /*allow_unused=*/true);
  for (std::size_t k = 0; k < found.size(); ++k) {
    results[places[k]] = found[k];
  }
  return results;
}

// The backward pass of a call: `own` picks the gradients of this rank's outputs.
Backward backward_of(Exchange& exchange, const Recording& recording, const std::shared_ptr<LocalGraph>& graph,
                     std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)> own) {
  return [&exchange, graph, own = std::move(own), replicated = recording.replicated, plan = recording.gradient_plan,
          keep = recording.keep](const std::vector<at::Tensor>& gradients) {
    const std::size_t inputs = graph->inputs.size();
    std::vector<at::Tensor> results;
    std::vector<std::size_t> places;
    const auto local = [&] {
      results = local_gradients(*graph, own(gradients));
      std::vector<at::Tensor> partial;
      for (std::size_t i = 0; i < inputs; ++i) {
        if (graph->inputs[i].requires_grad()) {
          partial.push_back(results[i].defined() ? results[i] : at::zeros_like(graph->inputs[i]));
          places.push_back(i);
        }
      }
      return partial;
    };
    const bool sum =
        replicated && std::ranges::any_of(graph->inputs, [](const at::Tensor& t) { return t.requires_grad(); });
    if (!sum) {
      local();
      return results;
    }
    std::vector<at::Tensor> sums = sum_over_ranks(exchange, *plan, local);
    results.resize(inputs + graph->parameters.size());
    for (std::size_t k = 0; k < places.size(); ++k) {
      results[places[k]] = sums[k];
    }
    return results;
  };
}

// All tensors as one real vector.
at::Tensor joined(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor dense = tensor.resolve_conj().contiguous();
    flat.push_back((dense.is_complex() ? at::view_as_real(dense) : dense).reshape({-1}));
  }
  return at::cat(flat);
}

std::vector<at::Tensor> parted(const at::Tensor& vector, const std::vector<at::Tensor>& like) {
  std::vector<at::Tensor> parts;
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

}  // namespace

void set_backward_translator(void (*translate)(const std::exception_ptr&)) { translate_exception = translate; }

std::vector<at::Tensor> differentiable(const std::vector<at::Tensor>& inputs, const Forward& forward,
                                       Backward backward) {
  return Collective::apply(at::ArrayRef<at::Tensor>(inputs), forward, std::move(backward));
}

std::vector<at::Tensor> sum_over_ranks(Exchange& exchange, ReducePlan& plan,
                                       c10::function_ref<std::vector<at::Tensor>()> local) {
  std::vector<at::Tensor> tensors;
  const at::Tensor sum = exchange.reduce("gradient", plan, [&](const at::Tensor& /*out*/) {
    tensors = local();
    return tensors.size() == 1 ? tensors[0] : joined(tensors);
  });
  return tensors.size() == 1 ? std::vector<at::Tensor>{sum} : parted(sum, tensors);
}

at::Tensor reduce_recorded(Exchange& exchange, const char* what, ReducePlan& plan, const Recording& recording,
                           const std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>& part) {
  const auto graph = make_graph(recording);
  const auto forward = [&] {
    return std::vector<at::Tensor>{exchange.reduce(what, plan, [&](const at::Tensor& /*out*/) {
      const at::AutoGradMode recording_on(true);
      graph->outputs = {part(graph->inputs)};
      return graph->outputs[0].defined() ? graph->outputs[0].detach() : at::Tensor();
    })};
  };
  const auto own = [](const std::vector<at::Tensor>& gradients) { return gradients; };
  return differentiable(recorded_inputs(recording), forward, backward_of(exchange, recording, graph, own))[0];
}

TensorList gather_recorded(
    Exchange& exchange, GatherPlan& plan, const Sharding& sharding, const Recording& recording,
    const std::function<at::Tensor(std::size_t position, const std::vector<at::Tensor>& inputs)>& one) {
  const auto graph = make_graph(recording);
  const std::vector<std::int64_t> indices = exchange.indices();
  const auto forward = [&] {
    const auto all = [&](const TensorList& /*out*/) {
      const at::AutoGradMode recording_on(true);
      TensorList values;
      for (std::size_t position = 0; position < indices.size(); ++position) {
        graph->outputs.push_back(one(position, graph->inputs));
        values.push_back(graph->outputs.back().detach());
      }
      return values;
    };
    // The results are needed all together, so none is streamed.
    return exchange
        .gather(plan, sharding, GatherStrategy::concatenated, all,
                [](std::size_t /*position*/) { return at::Tensor(); })
        .tensors();
  };
  const auto own = [indices](const std::vector<at::Tensor>& gradients) {
    std::vector<at::Tensor> mine;
    mine.reserve(indices.size());
    for (const std::int64_t index : indices) {
      mine.push_back(gradients[static_cast<std::size_t>(index)]);
    }
    return mine;
  };
  return TensorList(differentiable(recorded_inputs(recording), forward, backward_of(exchange, recording, graph, own)));
}

}  // namespace adjoin
