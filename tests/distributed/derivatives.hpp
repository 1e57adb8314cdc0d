// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of two functions, compared: those of a distributed call, and those of an expression that torch follows by
// itself.
#pragma once

#include <string>

#include "autograd.hpp"
#include "distributed/support.hpp"

namespace adjoin::test {

inline void expect_equal_derivatives(const RealFunction& ours, const RealFunction& dense, const at::Tensor& at,
                                     double tolerance, const std::string& what) {
  const auto [first, second] = two_orders(ours, at);
  const auto [expected_first, expected_second] = two_orders(dense, at);
  expect_near(first, expected_first, tolerance, what + ", first order");
  expect_near(second, expected_second, tolerance, what + ", second order");
}

inline void expect_equal_tangents(const RealFunction& ours, const RealFunction& dense, const at::Tensor& at,
                                  double tolerance, const std::string& what) {
  const at::Tensor direction = random_tensor(at.sizes(), at.scalar_type(), 78);
  expect_near(tangent_along(ours, at, direction), tangent_along(dense, at, direction), tolerance, what + ", tangent");
}

}  // namespace adjoin::test
