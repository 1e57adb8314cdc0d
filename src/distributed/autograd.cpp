#include "adjoin/distributed/autograd.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

namespace adjoin {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Forward = std::function<std::vector<at::Tensor>()>;
using Backward = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

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
    variable_list results = static_cast<BackwardHolder&>(*capsule).call(gradients);
    results.resize(results.size() + 2);  // the two functions have no gradient
    return results;
  }
};

}  // namespace

bool records_gradients(const at::Tensor& tensor) {
  return tensor.defined() && tensor.requires_grad() && c10::GradMode::is_enabled();
}

bool records_gradients(const TensorList& tensors) {
  return c10::GradMode::is_enabled() && std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& t) {
           return t.defined() && t.requires_grad();
         });
}

std::vector<at::Tensor> differentiable(const std::vector<at::Tensor>& inputs, Forward forward, Backward backward) {
  return Collective::apply(at::ArrayRef<at::Tensor>(inputs), forward, std::move(backward));
}

}  // namespace adjoin
