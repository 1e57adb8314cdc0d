// SPDX-License-Identifier: BSD-3-Clause
// Public calls that check their arguments and count, and vector-Jacobian products by autograd.
#include "adjoin/physics/physics.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "adjoin/core/differentiable.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/core/modes.hpp"

namespace adjoin {

at::Tensor Physics::A(const at::Tensor& x, const Params& params) const {
  check_tensor("A", "x", x);
  check_params("A", params);
  count_A();
  return without_autocast([&](const at::Tensor& image) { return A_impl(image, params); }, x);
}

at::Tensor Physics::forward(const at::Tensor& x, const Params& params) const {
  check_tensor("forward", "x", x);
  check_params("forward", params);
  count_A();
  return without_autocast([&](const at::Tensor& image) { return forward_impl(image, params); }, x);
}

at::Tensor Physics::A_vjp(const at::Tensor& x, const at::Tensor& v, const Params& params) const {
  check_tensor("A_vjp", "x", x);
  check_tensor("A_vjp", "v", v);
  check_params("A_vjp", params);
  count_A_adjoint();
  return without_autocast([&](const at::Tensor& a, const at::Tensor& b) { return A_vjp_impl(a, b, params); }, x, v);
}

at::Tensor Physics::forward_impl(const at::Tensor& x, const Params& params) const {
  at::Tensor y = A_impl(x, params);
  if (noise_) {
    y = noise_impl(y, params);
  }
  return sensor_ ? sensor_(y) : y;
}

void Physics::update(const Params& params) {
  check_params("update", params);
  const std::int64_t next = version() + 1;
  update_impl(params);
  updates_ += next - version();
}

void Physics::made_of(std::initializer_list<at::Tensor> tensors, std::initializer_list<const Physics*> parts) {
  made_of(tensors, std::span(parts.begin(), parts.size()));
}

void Physics::made_of(std::initializer_list<at::Tensor> tensors, std::span<const Physics* const> parts) {
  const std::int64_t before = version();
  tensors_.assign(tensors.begin(), tensors.end());
  parts_.assign(parts.begin(), parts.end());
  updates_ += before - version();
}

TensorList Physics::tensors_with_gradients() const {
  TensorList found;
  for (const at::Tensor& tensor : tensors_) {
    if (is_differentiated(tensor)) {
      found.push_back(tensor);
    }
  }
  for (const Physics* part : parts_) {
    for (const at::Tensor& tensor : part->tensors_with_gradients()) {
      found.push_back(tensor);
    }
  }
  return found;
}

at::Tensor Physics::A_vjp_impl(const at::Tensor& x, const at::Tensor& v, const Params& params) const {
  const bool recorded = c10::GradMode::is_enabled();
  const c10::InferenceMode record(false);
  at::Tensor input = x.is_inference() ? x.clone() : x;
  if (!recorded || !input.requires_grad()) {
    input = input.detach().requires_grad_();
  }
  const at::Tensor y = A_impl(input, params);
  if (!y.requires_grad()) {
    throw Error(c10::str(name(), "::A_vjp: A is not differentiable by autograd, so its adjoint must be given"));
  }
  // What A is made of beside its input counts, too.
  const bool differentiable = recorded && (x.requires_grad() || v.requires_grad() || leaves_of({y}).size() > 1);
  check(v.sizes() == y.sizes(), name(), "::A_vjp: v must have the shape of A(x), ", y.sizes(), ", got ", v.sizes());
  const at::Tensor gradient =
      torch::autograd::grad({y}, {input}, {v}, differentiable, differentiable, /*allow_unused=*/true)[0];
  return gradient.defined() ? gradient : at::zeros_like(x);
}

at::Tensor Physics::noise_impl(const at::Tensor& y, const Params& /*params*/) const { return noise_(y); }

void Physics::update_impl(const Params& /*params*/) {}

void Physics::refuse(const char* method, const char* argument, const at::Tensor& tensor) const {
  const std::string what = c10::str(name(), "::", method, ": ", argument);
  check(tensor.defined(), what, " must be a tensor, got an undefined one");
  check(tensor.layout() == c10::kStrided, what, " must be a dense tensor, got a ", tensor.layout(), " one");
  throw InvalidArgument(c10::str(what, " must be floating or complex, got ", tensor.scalar_type()));
}

}  // namespace adjoin
