#include "adjoin/distributed/autograd.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

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

std::vector<at::Tensor> differentiable(const std::vector<at::Tensor>& inputs, const Forward& forward,
                                       Backward backward) {
  return Collective::apply(at::ArrayRef<at::Tensor>(inputs), forward, std::move(backward));
}

}  // namespace adjoin
