// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of pseudoinverses and proximal steps in one process, backwards and forwards, against those of dense
// matrices that torch follows by itself.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <tuple>

#include "adjoin/operators/function.hpp"
#include "adjoin/physics/stacked.hpp"
#include "autograd.hpp"
#include "dense.hpp"

namespace adjoin {

using test::cubes;
using test::RealFunction;
using testing::double_types;
using testing::expect_close;
using testing::random;
using testing::rows_times;

namespace {

// First, second and mixed derivatives, and tangents, of two functions of one tensor.
void expect_equal_derivatives(const RealFunction& ours, const RealFunction& dense, const at::Tensor& at,
                              const char* what, double tolerance = 1e-7) {
  SCOPED_TRACE(what);
  const auto [first, second] = test::two_orders(ours, at);
  const auto [dense_first, dense_second] = test::two_orders(dense, at);
  expect_close(first, dense_first, tolerance);
  expect_close(second, dense_second, tolerance);
}

void expect_equal_tangents(const RealFunction& ours, const RealFunction& dense, const at::Tensor& at, const char* what,
                           double tolerance = 1e-7) {
  SCOPED_TRACE(what);
  const at::Tensor direction = randn_like(at, 5);
  expect_close(test::tangent_along(ours, at, direction), test::tangent_along(dense, at, direction), tolerance);
  expect_close(test::gradient_along(ours, at, direction), test::gradient_along(dense, at, direction), tolerance);
}

at::Tensor dense_dagger(const at::Tensor& M, const at::Tensor& y) { return at::matmul(y, at::linalg_pinv(M).t()); }

// γ one number, or one a row of y.
at::Tensor dense_prox(const at::Tensor& M, const at::Tensor& z, const at::Tensor& y, const at::Tensor& gamma,
                      double weight = 1.0) {
  const at::Tensor g = gamma.to(c10::toRealValueType(M.scalar_type())).reshape({-1, 1, 1}) * weight;
  const at::Tensor H = g * at::matmul(M.t().conj(), M) + at::eye(M.size(1), M.options().requires_grad(false));
  const at::Tensor right = g.squeeze(2) * at::matmul(y, M.conj()) + z;
  return at::matmul(at::linalg_inv(H), right.unsqueeze(2)).squeeze(2);
}

class SolveGradients : public ::testing::TestWithParam<std::tuple<at::ScalarType, Solver>> {
 protected:
  at::ScalarType type = std::get<0>(GetParam());
  DaggerOptions options = {.solver = std::get<1>(GetParam()), .max_iter = 300, .tol = 1e-13};
  at::Tensor M = random({6, 4}, type);
  at::Tensor y = random({2, 6}, type, 1);
  at::Tensor z = random({2, 4}, type, 2);
  at::Tensor gamma = at::tensor({0.3, 1.7}, at::kDouble);
};

TEST_P(SolveGradients, OfThePseudoinverse) {
  for (const at::Tensor& matrix : {M, random({3, 5}, type, 3)}) {
    const at::Tensor at_y = y.narrow(1, 0, matrix.size(0)).contiguous();
    const auto of_y = [&](const at::Tensor& v) { return cubes(rows_times(matrix)->A_dagger(v, options)); };
    const auto dense_of_y = [&](const at::Tensor& v) { return cubes(dense_dagger(matrix, v)); };
    expect_equal_derivatives(of_y, dense_of_y, at_y, "y");
    expect_equal_tangents(of_y, dense_of_y, at_y, "y");
    // Held by the operator; for solutions of minimum norm of M of full row rank, too.
    expect_equal_derivatives([&](const at::Tensor& m) { return cubes(rows_times(m)->A_dagger(at_y, options)); },
                             [&](const at::Tensor& m) { return cubes(dense_dagger(m, at_y)); }, matrix, "M", 1e-5);
    expect_equal_derivatives(
        [&](const at::Tensor& m) { return cubes(rows_times(m)->A_dagger(at_y * m.mean(), options)); },
        [&](const at::Tensor& m) { return cubes(dense_dagger(m, at_y * m.mean())); }, matrix, "M and y", 1e-5);
  }
}

TEST_P(SolveGradients, OfTheProximalStep) {
  const auto of_z = [&](const at::Tensor& t) { return cubes(rows_times(M)->prox_l2(t, y, gamma, options)); };
  const auto of_y = [&](const at::Tensor& t) { return cubes(rows_times(M)->prox_l2(z, t, gamma, options)); };
  const auto of_gamma = [&](const at::Tensor& t) { return cubes(rows_times(M)->prox_l2(z, y, t, options)); };
  const auto dense_of_z = [&](const at::Tensor& t) { return cubes(dense_prox(M, t, y, gamma)); };
  const auto dense_of_y = [&](const at::Tensor& t) { return cubes(dense_prox(M, z, t, gamma)); };
  const auto dense_of_gamma = [&](const at::Tensor& t) { return cubes(dense_prox(M, z, y, t)); };
  expect_equal_derivatives(of_z, dense_of_z, z, "z");
  expect_equal_derivatives(of_y, dense_of_y, y, "y");
  expect_equal_derivatives(of_gamma, dense_of_gamma, gamma, "gamma");
  expect_equal_derivatives(of_gamma, dense_of_gamma, gamma.narrow(0, 0, 1), "one gamma");
  expect_equal_derivatives([&](const at::Tensor& t) { return cubes(rows_times(t)->prox_l2(z, y, gamma, options)); },
                           [&](const at::Tensor& t) { return cubes(dense_prox(t, z, y, gamma)); }, M, "M");
  expect_equal_tangents(of_z, dense_of_z, z, "z");
  expect_equal_tangents(of_y, dense_of_y, y, "y");
  expect_equal_tangents(of_gamma, dense_of_gamma, gamma, "gamma");
}

INSTANTIATE_TEST_SUITE_P(Solvers, SolveGradients,
                         ::testing::Combine(::testing::ValuesIn(double_types),
                                            ::testing::Values(Solver::CG, Solver::LSMR)));

}  // namespace

// Parts of one matrix, in stacks, with both inner products and with weights of measurements.
TEST(SolveGradientsOfStacks, AreThoseOfOneMatrix) {
  const at::Tensor M = random({7, 4});
  const at::Tensor y = random({2, 7}, at::kDouble, 1);
  const at::Tensor z = random({2, 4}, at::kDouble, 2);
  const at::Tensor w = at::rand({7}, at::kDouble) + 0.5;
  const at::Tensor gamma = at::tensor({0.4}, at::kDouble);
  const auto parts = [](const at::Tensor& t) { return TensorList{t.narrow(1, 0, 3), t.narrow(1, 3, 4)}; };
  for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
    const double weight = reduction == Reduction::mean ? 0.5 : 1.0;
    std::vector<StackedLinearPhysics> alive;  // until their backward passes are done
    alive.reserve(100);
    const auto stack = [&](const at::Tensor& m) -> const StackedLinearPhysics& {
      const TensorList rows = parts(m.t());
      return alive.emplace_back(std::vector<LinearPhysicsPtr>{rows_times(rows[0].t()), rows_times(rows[1].t())},
                                StackOptions{.reduction = reduction});
    };
    const DaggerOptions options = {.max_iter = 300, .tol = 1e-13};
    const auto dagger = [&](const at::Tensor& m, const at::Tensor& v) { return stack(m).A_dagger(parts(v), options); };
    const auto prox = [&](const at::Tensor& m, const at::Tensor& v, const at::Tensor& g) {
      return stack(m).prox_l2(z, parts(v), g, options);
    };
    const auto weighted = [&](const at::Tensor& m, const at::Tensor& v, const at::Tensor& of) {
      DaggerOptions own = options;
      own.weights = {of.narrow(0, 0, 3), of.narrow(0, 3, 4)};
      return stack(m).prox_l2(z, parts(v), 0.4, own);
    };
    const auto dense_weighted = [&](const at::Tensor& m, const at::Tensor& v, const at::Tensor& of) {
      return dense_prox(m * of.sqrt().unsqueeze(1), z, v * of.sqrt(), gamma, weight);
    };
    expect_equal_derivatives([&](const auto& t) { return cubes(dagger(M, t)); },
                             [&](const auto& t) { return cubes(dense_dagger(M, t)); }, y, "A_dagger, y");
    expect_equal_derivatives([&](const auto& t) { return cubes(dagger(t, y)); },
                             [&](const auto& t) { return cubes(dense_dagger(t, y)); }, M, "A_dagger, M", 1e-5);
    expect_equal_derivatives([&](const auto& t) { return cubes(prox(M, t, gamma)); },
                             [&](const auto& t) { return cubes(dense_prox(M, z, t, gamma, weight)); }, y, "prox_l2, y");
    expect_equal_derivatives([&](const auto& t) { return cubes(prox(t, y, gamma)); },
                             [&](const auto& t) { return cubes(dense_prox(t, z, y, gamma, weight)); }, M, "prox_l2, M");
    expect_equal_derivatives([&](const auto& t) { return cubes(prox(M, y, t)); },
                             [&](const auto& t) { return cubes(dense_prox(M, z, y, t, weight)); }, gamma, "prox_l2, γ");
    expect_equal_derivatives([&](const auto& t) { return cubes(weighted(M, t, w)); },
                             [&](const auto& t) { return cubes(dense_weighted(M, t, w)); }, y, "weighted, y");
    expect_equal_derivatives([&](const auto& t) { return cubes(weighted(M, y, t)); },
                             [&](const auto& t) { return cubes(dense_weighted(M, y, t)); }, w, "weights");
    expect_close(stack(M).A_dagger_mean(parts(y.clone().requires_grad_()), options),
                 stack(M).A_dagger_mean(parts(y), options), 1e-12);
  }
}

TEST(SolveGradientsOfOperators, ThatHaveTheirAdjointsByAutogradReachWhatTheyAreMadeOf) {
  const auto squares = [](const at::Tensor& w) {
    return make_function([w](const at::Tensor& x) { return at::matmul(x, at::matmul(w, w.t())); }, {},
                         {.image_shape = {-1, 3}});
  };
  const at::Tensor w = random({3, 3}, at::kDouble, 4) + 2.0 * at::eye(3, at::kDouble);
  const at::Tensor y = random({2, 3}, at::kDouble, 5);
  const DaggerOptions options = {.max_iter = 300, .tol = 1e-13};
  expect_equal_derivatives([&](const auto& t) { return cubes(squares(t)->A_adjoint(y)); },
                           [&](const auto& t) { return cubes(at::matmul(y, at::matmul(t, t.t()))); }, w, "A_adjoint");
  expect_equal_derivatives(
      [&](const auto& t) { return cubes(squares(t)->prox_l2(y, y, 0.5, options)); },
      [&](const auto& t) { return cubes(dense_prox(at::matmul(t, t.t()), y, y, at::tensor({0.5}))); }, w, "prox_l2",
      1e-6);
}

TEST(SolveGradientsOfOperators, NoticeChangedMeasurements) {
  const at::Tensor leaf = random({2, 5}).requires_grad_();
  const at::Tensor gamma = at::ones({}, at::kDouble).requires_grad_();
  const at::Tensor y = leaf * 1.0;
  const at::Tensor x = rows_times(random({5, 3}))->prox_l2(random({2, 3}), y, gamma);
  y.detach().mul_(2.0);
  EXPECT_ANY_THROW((void)torch::autograd::grad({x.sum()}, {leaf}));
}

TEST(SolveGradientsOfOperators, AreNotRecordedWhereNobodyAsks) {
  const at::Tensor y = random({2, 5});
  EXPECT_FALSE(rows_times(random({5, 3}))->A_dagger(y).requires_grad());
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(rows_times(random({5, 3}).requires_grad_())->A_dagger(y.requires_grad_()).requires_grad());
}

}  // namespace adjoin
