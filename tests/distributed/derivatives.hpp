// Derivatives of two functions, compared: those of a distributed call, and those of an expression that torch follows by
// itself.
#pragma once

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "adjoin/core/gradients.hpp"
#include "distributed/support.hpp"

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
  const at::Tensor weights = random_tensor(x.sizes(), x.scalar_type(), 77);
  return {first.detach(), torch::autograd::grad({at::real(first * weights.conj()).sum()}, {x})[0]};
}

inline void expect_equal_derivatives(const RealFunction& ours, const RealFunction& dense, const at::Tensor& at,
                                     double tolerance, const std::string& what) {
  const auto [first, second] = two_orders(ours, at);
  const auto [expected_first, expected_second] = two_orders(dense, at);
  expect_near(first, expected_first, tolerance, what + ", first order");
  expect_near(second, expected_second, tolerance, what + ", second order");
}

// The tangent of f in a direction.
inline at::Tensor tangent_along(const RealFunction& f, const at::Tensor& at, const at::Tensor& direction) {
  const DualLevel level;
  return tangent_of(f(with_tangent(at.detach().clone(), direction))).clone();
}

inline void expect_equal_tangents(const RealFunction& ours, const RealFunction& dense, const at::Tensor& at,
                                  double tolerance, const std::string& what) {
  const at::Tensor direction = random_tensor(at.sizes(), at.scalar_type(), 78);
  expect_near(tangent_along(ours, at, direction), tangent_along(dense, at, direction), tolerance, what + ", tangent");
}

}  // namespace adjoin::test
