// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of functions of tensors, by autograd.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/core/vector_space.hpp"

namespace adjoin::test {

// The level of dual tensors.
class DualLevel {
 public:
  DualLevel() : index_(torch::autograd::ForwardADLevel::get_next_idx()) {}
  ~DualLevel() { torch::autograd::ForwardADLevel::release_idx(index_); }
  DualLevel(const DualLevel&) = delete;
  DualLevel& operator=(const DualLevel&) = delete;

 private:
  std::uint64_t index_;
};

// Real and nonlinear, so that second derivatives do not vanish.
inline at::Tensor cubes(const at::Tensor& t) { return at::real(t * t.conj() * t * t.conj()).sum(); }
inline at::Tensor cubes(const TensorList& list) {
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (const at::Tensor& t : list) {
    sum = sum + cubes(t);
  }
  return sum;
}

using RealFunction = std::function<at::Tensor(const at::Tensor& x)>;

inline at::Tensor gradient_of(const RealFunction& f, const at::Tensor& at) {
  const at::Tensor x = at.detach().clone().requires_grad_();
  return torch::autograd::grad({f(x)}, {x})[0];
}

// The gradient of f, and of the sum of its entries beside another function of x.
inline std::pair<at::Tensor, at::Tensor> two_orders(const RealFunction& f, const at::Tensor& at) {
  const at::Tensor x = at.detach().clone().requires_grad_();
  const at::Tensor first = torch::autograd::grad({f(x) + cubes(x)}, {x}, {}, {}, /*create_graph=*/true)[0];
  const at::Tensor weights = adjoin::randn_like(x.detach(), 77);
  return {first.detach(), torch::autograd::grad({at::real(first * weights.conj()).sum()}, {x})[0]};
}

// The tangent of f in a direction.
inline at::Tensor tangent_along(const RealFunction& f, const at::Tensor& at, const at::Tensor& direction) {
  const DualLevel level;
  return tangent_of(f(with_tangent(at.detach().clone(), direction))).clone();
}

// The tangent of the gradient of f in a direction: second derivatives, forwards over backwards.
inline at::Tensor gradient_along(const RealFunction& f, const at::Tensor& at, const at::Tensor& direction) {
  const DualLevel level;
  const at::Tensor leaf = at.detach().clone().requires_grad_();
  const at::Tensor x = with_tangent(leaf, direction);
  const at::Tensor gradient = torch::autograd::grad({f(x)}, {x}, {}, {}, /*create_graph=*/true)[0];
  return tangent_of(gradient).detach().clone();
}

}  // namespace adjoin::test
