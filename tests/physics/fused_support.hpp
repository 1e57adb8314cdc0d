// SPDX-License-Identifier: BSD-3-Clause
// What the tests of fused operators have in common.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/fused.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return adjoin::norm(a - b) / adjoin::norm(b);
}

/// Results alone, into a tensor of the right size, and beside one of another, which is left as it is.
inline void expect_fused_equals_plain(const FusedStack& fused,
                                      const std::vector<std::shared_ptr<const LinearPhysics>>& stack,
                                      const at::Tensor& x) {
  const double tolerance = at::toRealValueType(x.scalar_type()) == at::kFloat ? 1e-6 : 1e-13;
  const TensorList y = fused.A(x, {});
  ASSERT_EQ(y.size(), stack.size());
  at::Tensor adjoint = at::zeros_like(x);
  at::Tensor normal = at::zeros_like(x);
  for (std::size_t i = 0; i < stack.size(); ++i) {
    EXPECT_LT(relative_difference(y[i], stack[i]->A(x)), tolerance);
    adjoint += stack[i]->A_adjoint(y[i]);
    normal += stack[i]->A_adjoint_A(x);
  }
  const at::Tensor smaller = at::full({1}, 7.0, x.options());
  TensorList places;
  TensorList none_fits;
  for (const at::Tensor& one : y) {
    places.push_back(at::empty_like(one));
    none_fits.push_back(places.size() % 2 == 0 ? smaller : at::Tensor());
  }
  for (const TensorList& out : {places, none_fits}) {
    const TensorList again = fused.A(x, out);
    for (std::size_t i = 0; i < stack.size(); ++i) {
      EXPECT_TRUE(at::equal(again[i], y[i]));
    }
  }
  for (const at::Tensor& out : {at::Tensor(), at::empty_like(x), smaller}) {
    EXPECT_LT(relative_difference(fused.A_adjoint(y, out), adjoint), tolerance);
    EXPECT_LT(relative_difference(fused.A_adjoint_A(x, out), normal), tolerance);
  }
  EXPECT_TRUE(at::equal(smaller, at::full({1}, 7.0, x.options())));
}

}  // namespace adjoin
