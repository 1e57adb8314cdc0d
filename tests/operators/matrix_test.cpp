// SPDX-License-Identifier: BSD-3-Clause
// Matrices on batches and images, their pseudoinverses, and stacks fused to one.
#include "adjoin/operators/matrix.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused.hpp"
#include "adjoin/physics/stacked.hpp"
#include "physics/dense.hpp"

namespace adjoin {

using testing::all_types;
using testing::double_types;
using testing::expect_close;
using testing::precision;
using testing::random;

namespace {

std::vector<LinearPhysicsPtr> matrices(const std::vector<std::int64_t>& rows, std::int64_t columns, at::ScalarType type,
                                       const std::vector<std::int64_t>& image_shape = {}) {
  std::vector<LinearPhysicsPtr> operators;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    operators.push_back(std::make_shared<Matrix>(random({rows[i], columns}, type, 10 + i), image_shape));
  }
  return operators;
}

}  // namespace

TEST(Matrix, IsTheProductWithEveryImageOfTheBatch) {
  for (const auto type : all_types) {
    const at::Tensor M = random({5, 4}, type);
    const Matrix physics(M);
    const at::Tensor x = random({3, 4}, type, 1);
    const at::Tensor y = physics.A(x);
    ASSERT_EQ(y.sizes(), at::IntArrayRef({3, 5}));
    for (std::int64_t b = 0; b < 3; ++b) {
      expect_close(y[b], at::mv(M, x[b]), precision(type));
      expect_close(physics.A_adjoint(y)[b], at::mv(M.t().conj(), y[b]), precision(type));
    }
    EXPECT_LE(physics.adjointness_test(x), precision(type));
  }
}

TEST(Matrix, FlattensImages) {
  const at::Tensor M = random({5, 12});
  const Matrix physics(M, {1, 3, 4});
  const at::Tensor x = random({2, 1, 3, 4});
  expect_close(physics.A(x), at::matmul(x.reshape({2, 12}), M.t()), 1e-12);
  EXPECT_EQ(physics.A_adjoint(physics.A(x)).sizes(), x.sizes());
  EXPECT_EQ(physics.A_dagger(physics.A(x)).sizes(), x.sizes());
  EXPECT_LE(physics.adjointness_test(x), 1e-12);
}

TEST(Matrix, PseudoinverseAndNormAreThoseOfTheMatrix) {
  for (const auto type : double_types) {
    for (const auto& [m, n] : {std::pair<std::int64_t, std::int64_t>{6, 4}, {4, 6}}) {
      const at::Tensor M = random({m, n}, type);
      const Matrix physics(M);
      const at::Tensor y = random({2, m}, type, 1);
      expect_close(physics.A_dagger(y), at::matmul(y, at::linalg_pinv(M).t()), 1e-12);
      const double norm = at::linalg_svdvals(M).max().item<double>();
      EXPECT_NEAR(physics.compute_sqnorm(random({2, n}, type)), norm * norm, 1e-12 * norm * norm);
      const SqnormBounds bounds = physics.sqnorm_bounds(random({2, n}, type));
      EXPECT_EQ(bounds.lower, bounds.upper);
    }
  }
}

TEST(Matrix, PseudoinverseOfARankDeficientMatrixHasMinimumNorm) {
  const at::Tensor M = at::matmul(random({6, 2}), random({2, 4}, at::kDouble, 1));
  const Matrix physics(M);
  const at::Tensor y = random({1, 6}, at::kDouble, 2);
  const at::Tensor x = physics.A_dagger(y);
  expect_close(x, at::matmul(y, at::linalg_pinv(M, 1e-10).t()), 1e-10);
  expect_close(physics.A_adjoint(physics.A(x)), physics.A_adjoint(y), 1e-10);
}

TEST(Matrix, ParametersReplaceTheMatrixForACallAndUpdateForGood) {
  Matrix physics(random({5, 4}));
  const at::Tensor other = random({7, 4}, at::kDouble, 1);
  const at::Tensor x = random({2, 4}, at::kDouble, 2);
  const at::Tensor y = random({2, 7}, at::kDouble, 3);
  physics.compute_sqnorm(x);
  physics.A_dagger(random({2, 5}));
  const Params params = {{"matrix", other}};
  const Matrix expected(other);
  expect_close(physics.A(x, params), expected.A(x), 1e-14);
  expect_close(physics.A_adjoint(y, params), expected.A_adjoint(y), 1e-14);
  expect_close(physics.A_dagger(y, {.params = params}), expected.A_dagger(y), 1e-12);
  EXPECT_NEAR(physics.compute_sqnorm(x, {.params = params}), expected.compute_sqnorm(x), 1e-12);
  EXPECT_EQ(physics.A(x).size(1), 5);
  physics.update(params);
  EXPECT_EQ(physics.version(), 1);
  expect_close(physics.A(x), expected.A(x), 1e-14);
  expect_close(physics.A_dagger(y), expected.A_dagger(y), 1e-12);
  EXPECT_NEAR(physics.compute_sqnorm(x), expected.compute_sqnorm(x), 1e-12);
}

TEST(Matrix, FusedStackEqualsThePlainOne) {
  struct Case {
    std::vector<std::int64_t> rows;
    std::int64_t columns;
    std::vector<std::int64_t> image_shape;
  };
  // With more rows than columns and with fewer, and a single operator.
  const std::vector<Case> cases = {{{5, 2, 7}, 6, {}}, {{2, 1}, 6, {1, 2, 3}}, {{9}, 4, {}}};
  for (const auto type : all_types) {
    for (const auto& [rows, columns, image_shape] : cases) {
      const auto operators = matrices(rows, columns, type, image_shape);
      const StackedLinearPhysics fused(operators);
      const StackedLinearPhysics plain(operators, {.fuse = false});
      std::vector<std::int64_t> shape = {3, columns};
      if (!image_shape.empty()) {
        shape = {3, 1, 2, 3};
      }
      const at::Tensor x = random(shape, type, 1);
      const TensorList y = plain.A(x);
      expect_close(fused.A(x), y, precision(type));
      expect_close(fused.A_adjoint(y), plain.A_adjoint(y), precision(type));
      expect_close(fused.A_adjoint_A(x), plain.A_adjoint_A(x), precision(type));
      const at::Tensor out = at::empty_like(x);
      EXPECT_TRUE(fused.A_adjoint_sum(y, out).is_same(out));
      expect_close(out, plain.A_adjoint(y), precision(type));
      EXPECT_TRUE(fused.A_adjoint_A_sum(x, out).is_same(out));
      expect_close(out, plain.A_adjoint_A(x), precision(type));
    }
  }
}

TEST(Matrix, FusedStackIsUsedAndRenewedByUpdate) {
  auto operators = matrices({3, 4}, 5, at::kDouble);
  const StackedLinearPhysics stack(operators);
  const at::Tensor x = random({2, 5});
  stack.A(x);
  stack.A_adjoint_A(x);
  EXPECT_EQ(operators[0]->calls().A, 0);
  operators[1]->update({{"matrix", random({6, 5}, at::kDouble, 99)}});
  const StackedLinearPhysics plain(operators, {.fuse = false});
  expect_close(stack.A(x), plain.A(x), 1e-12);
  expect_close(stack.A_adjoint_A(x), plain.A_adjoint_A(x), 1e-12);
  EXPECT_EQ(stack.A(x)[1].size(1), 6);
}

TEST(Matrix, FusionGivesWayToParametersAndGradients) {
  const auto operators = matrices({3, 3}, 5, at::kDouble);
  const StackedLinearPhysics stack(operators);
  const at::Tensor other = random({2, 5}, at::kDouble, 99);
  const at::Tensor x = random({2, 5});
  expect_close(stack.A_adjoint_A(x, {{"matrix", other}}), 2 * Matrix(other).A_adjoint_A(x), 1e-12);
  const at::Tensor leaf = x.clone().requires_grad_();
  stack.A_adjoint_A(leaf).sum().backward();
  expect_close(leaf.grad(), stack.A_adjoint_A(at::ones_like(x)), 1e-12);
}

TEST(Matrix, FusedStackFallsBackToThePlainErrors) {
  const StackedLinearPhysics stack(matrices({3, 3}, 5, at::kDouble));
  EXPECT_THROW(stack.A(random({2, 4})), OperatorFailure);
  EXPECT_THROW(stack.A(random({2, 5}, at::kFloat)), OperatorFailure);
  EXPECT_THROW(stack.A_adjoint({random({2, 3}), random({2, 4})}), OperatorFailure);
  EXPECT_THROW(stack.A_adjoint({random({2, 3}), {}}), OperatorFailure);
}

TEST(Matrix, RefusesWhatItCannotMultiply) {
  EXPECT_THROW(Matrix({}), InvalidArgument);
  EXPECT_THROW(Matrix(random({5})), InvalidArgument);
  EXPECT_THROW(Matrix(at::ones({2, 2}, at::kLong)), InvalidArgument);
  EXPECT_THROW(Matrix(at::empty({0, 4})), InvalidArgument);
  EXPECT_THROW(Matrix(random({5, 4}), {1, 3}), InvalidArgument);
  Matrix physics(random({5, 4}));
  EXPECT_THROW(physics.A(random({4})), InvalidArgument);
  EXPECT_THROW(physics.A(random({2, 5})), InvalidArgument);
  EXPECT_THROW(physics.A(random({2, 4}, at::kFloat)), InvalidArgument);
  EXPECT_THROW(physics.A_adjoint(random({2, 4})), InvalidArgument);
  EXPECT_THROW(physics.A_dagger(random({2, 4})), InvalidArgument);
  EXPECT_THROW(physics.update({{"matrix", random({5, 3})}}), InvalidArgument);
  EXPECT_EQ(physics.version(), 0);
}

}  // namespace adjoin
