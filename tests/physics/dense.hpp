// SPDX-License-Identifier: BSD-3-Clause
// Dense references for the tests of linear operators.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "adjoin/core/vector_space.hpp"
#include "adjoin/operators/function.hpp"

namespace adjoin::testing {

inline const std::vector<at::ScalarType> all_types = {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble};
inline const std::vector<at::ScalarType> double_types = {at::kDouble, at::kComplexDouble};
inline const std::vector<Solver> all_solvers = {Solver::CG, Solver::LSQR, Solver::LSMR, Solver::BiCGStab,
                                                Solver::MINRES};

inline at::Tensor random(at::IntArrayRef shape, at::ScalarType type = at::kDouble, std::uint64_t seed = 0) {
  return adjoin::randn_like(at::empty(shape, type), seed);
}

/// What a sum of a few dozen products may lose.
inline double precision(at::ScalarType type) { return type == at::kFloat || type == at::kComplexFloat ? 1e-5 : 1e-12; }

/// a and b have the same shape and dtype and differ by at most `tolerance` times the largest entry of b.
inline void expect_close(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  ASSERT_EQ(a.sizes(), b.sizes());
  ASSERT_EQ(a.scalar_type(), b.scalar_type());
  if (b.numel() > 0) {
    const double scale = std::max(at::abs(b).max().item<double>(), 1e-30);
    EXPECT_LE(at::abs(a - b).max().item<double>(), tolerance * scale);
  }
}

inline void expect_close(const TensorList& a, const TensorList& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    expect_close(a[i], b[i], tolerance);
  }
}

/// The operator of the rows x ↦ x Mᵀ, as callables, so with no closed forms.
inline LinearPhysicsPtr rows_times(const at::Tensor& matrix) {
  return make_function([matrix](const at::Tensor& x) { return at::matmul(x, matrix.t()); },
                       [matrix](const at::Tensor& y) { return at::matmul(y, matrix.conj()); });
}

}  // namespace adjoin::testing
