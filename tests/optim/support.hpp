// SPDX-License-Identifier: BSD-3-Clause
// The small stacks of the distributed room's tests, all algorithms, and what a prox is.
#pragma once

#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "adjoin/optim/algorithms.hpp"
#include "distributed/support.hpp"

namespace adjoin::test {

using Algorithm = std::function<OptimResult(const DataTerm&, const Prior&, const at::Tensor&, const OptimOptions&)>;

/// Every algorithm by its name, half-quadratic splitting with these gammas.
inline std::map<std::string, Algorithm> algorithms(const std::vector<double>& gammas) {
  return {{"gradient descent", &gradient_descent},
          {"proximal gradient", &proximal_gradient},
          {"FISTA", &fista},
          {"monotone FISTA", &monotone_fista},
          {"primal-dual", &primal_dual},
          {"HQS", [gammas](const DataTerm& f, const Prior& g, const at::Tensor& x0,
                           const OptimOptions& o) { return hqs(f, g, x0, gammas, o); }},
          {"ADMM", [](const DataTerm& f, const Prior& g, const at::Tensor& x0,
                      const OptimOptions& o) { return admm(f, g, x0, 0.5, o); }},
          {"ordered subsets", [](const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& o) {
             return ordered_subsets(f, g, x0, {.count = 2}, o);
           }}};
}

/// p = prox_{γ f}(u) for convex f if and only if J(v) ≥ J(p) + 1/2 ‖v − p‖² for every v, with
/// J(v) = γ f(v) + 1/2 ‖v − u‖². Tried around p, at all scales, and at u.
template <class Function>
void expect_is_prox(const Function& f, const at::Tensor& u, double gamma, const at::Tensor& p, double slack = 1e-9) {
  ASSERT_EQ(p.sizes(), u.sizes());
  ASSERT_EQ(p.scalar_type(), u.scalar_type());
  const auto objective = [&](const at::Tensor& v) {
    return gamma * f(v) + 0.5 * adjoin::squared_norm(v - u)[0].real();
  };
  const double least = objective(p);
  ASSERT_TRUE(std::isfinite(least));
  const auto expect_above = [&](const at::Tensor& v) {
    const double distance = adjoin::squared_norm(v - p)[0].real();
    EXPECT_GE(objective(v), least + 0.5 * distance - slack * (1.0 + std::abs(least)));
  };
  expect_above(u);
  for (std::uint64_t seed = 1000; seed < 1020; ++seed) {
    const at::Tensor direction = random_tensor(u.sizes(), u.scalar_type(), seed);
    for (const double size : {1.0, 1e-2, 1e-4}) {
      expect_above(p + size * direction);
    }
  }
  // One entry at a time, the likeliest to show a wrong branch.
  for (std::int64_t i = 0; i < std::min<std::int64_t>(u.numel(), 30); ++i) {
    for (const double size : {1e-2, -1e-2}) {
      at::Tensor v = p.clone();
      v.view(-1)[i] += size;
      expect_above(v);
    }
  }
}

}  // namespace adjoin::test
