// SPDX-License-Identifier: BSD-3-Clause
// Pseudoinverses, proximal points and norms against dense ones, for every solver.
#include "adjoin/physics/linear_physics.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/matrix.hpp"
#include "dense.hpp"

namespace adjoin {

using testing::all_solvers;
using testing::double_types;
using testing::expect_close;
using testing::random;
using testing::rows_times;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// argmin γ/2 ‖M x − y‖² + 1/2 ‖x − z‖² for rows x, y, z.
at::Tensor dense_prox(const at::Tensor& M, const at::Tensor& z, const at::Tensor& y, double gamma) {
  const at::Tensor H = gamma * at::matmul(M.t().conj(), M) + at::eye(M.size(1), M.options());
  const at::Tensor b = gamma * at::matmul(y, M.conj()) + z;
  return at::linalg_solve(H, b.t()).t().contiguous();
}

}  // namespace

TEST(LinearPhysics, EverySolverFindsThePseudoinverse) {
  for (const auto type : double_types) {
    for (const auto& [m, n] : {std::pair<std::int64_t, std::int64_t>{9, 5}, {5, 9}}) {
      const at::Tensor M = random({m, n}, type);
      const at::Tensor y = random({3, m}, type, 1);
      const at::Tensor expected = at::matmul(y, at::linalg_pinv(M).t());
      for (const Solver solver : all_solvers) {
        SCOPED_TRACE(to_string(solver));
        const at::Tensor x = rows_times(M)->A_dagger(y, {.solver = solver, .max_iter = 200, .tol = 1e-13});
        expect_close(x, expected, 1e-8);
      }
    }
  }
}

TEST(LinearPhysics, EverySolverFindsTheMinimumNormSolutionOfRankDeficientProblems) {
  const at::Tensor M = at::matmul(random({8, 3}), random({3, 6}, at::kDouble, 1));
  const at::Tensor y = random({2, 8}, at::kDouble, 2);
  const at::Tensor expected = at::matmul(y, at::linalg_pinv(M, 1e-10).t());
  for (const Solver solver : all_solvers) {
    SCOPED_TRACE(to_string(solver));
    const at::Tensor x = rows_times(M)->A_dagger(y, {.solver = solver, .max_iter = 50, .tol = 1e-10});
    expect_close(x, expected, 1e-7);
  }
}

TEST(LinearPhysics, EverySolverFindsTheProximalPoint) {
  for (const auto type : double_types) {
    const at::Tensor M = random({5, 7}, type);
    const at::Tensor y = random({3, 5}, type, 1);
    const at::Tensor z = random({3, 7}, type, 2);
    for (const Solver solver : all_solvers) {
      SCOPED_TRACE(to_string(solver));
      for (const double gamma : {0.1, 10.0}) {
        const at::Tensor x = rows_times(M)->prox_l2(z, y, gamma, {.solver = solver, .max_iter = 200, .tol = 1e-13});
        expect_close(x, dense_prox(M, z, y, gamma), 1e-8);
      }
    }
  }
}

TEST(LinearPhysics, ClosedFormsAreUsedUnlessAStartIsGiven) {
  const at::Tensor M = random({4, 6});
  const Matrix physics(M);
  const at::Tensor y = random({2, 4});
  const at::Tensor start = random({2, 6}, at::kDouble, 1);
  expect_close(physics.A_dagger(y, {.max_iter = 0}), at::matmul(y, at::linalg_pinv(M).t()), 1e-12);
  EXPECT_TRUE(physics.A_dagger(y, {.max_iter = 0, .init = start}).equal(start));
}

TEST(LinearPhysics, FromAStartTheSolutionKeepsItsNullSpaceComponent) {
  const at::Tensor M = random({4, 6});
  const at::Tensor pinv = at::linalg_pinv(M);
  const at::Tensor y = random({2, 4});
  const at::Tensor start = random({2, 6}, at::kDouble, 1);
  const at::Tensor expected = at::matmul(y, pinv.t()) + start - at::matmul(start, at::matmul(pinv, M).t());
  for (const Solver solver : all_solvers) {
    SCOPED_TRACE(to_string(solver));
    const DaggerOptions options = {.solver = solver, .tol = 1e-13, .init = start};
    expect_close(rows_times(M)->A_dagger(y, options), expected, 1e-8);
  }
}

TEST(LinearPhysics, TheMonitorSeesTheIterationsAndCanStopThem) {
  for (const Solver solver : all_solvers) {
    SCOPED_TRACE(to_string(solver));
    int seen = 0;
    const Monitor stop_after_two = [&](const IterationInfo& info) { return (seen = info.iteration) < 2; };
    rows_times(random({9, 5}))
        ->A_dagger(random({1, 9}), {.solver = solver, .verbose = true, .monitor = stop_after_two});
    EXPECT_EQ(seen, 2);
  }
}

TEST(LinearPhysics, SqnormIsTheLargestSquaredSingularValue) {
  for (const auto type : double_types) {
    const at::Tensor M = random({30, 20}, type);
    const double norm = at::linalg_svdvals(M).max().item<double>();
    const at::Tensor x0 = random({2, 20}, type, 1);
    EXPECT_NEAR(rows_times(M)->compute_sqnorm(x0, {.tol = 1e-8, .verbose = true}), norm * norm, 1e-8 * norm * norm);
    const SqnormBounds bounds = rows_times(M)->sqnorm_bounds(x0, {.max_iter = 3});
    EXPECT_LE(bounds.lower, norm * norm * (1 + 1e-12));
    EXPECT_GE(bounds.upper, norm * norm * (1 - 1e-12));
    EXPECT_LE(bounds.upper, 1.5 * bounds.lower);
  }
}

TEST(LinearPhysics, SqnormOfTheZeroOperatorIsZero) {
  EXPECT_EQ(rows_times(at::zeros({3, 4}))->compute_sqnorm(at::ones({1, 4})), 0.0);
  EXPECT_EQ(rows_times(at::zeros({3, 4}))->sqnorm_bounds(at::ones({1, 4})).lower, 0.0);
}

TEST(LinearPhysics, AdjointnessTestTellsARightAdjointFromAWrongOne) {
  const at::Tensor M = random({5, 4}, at::kComplexDouble);
  const at::Tensor u = random({3, 4}, at::kComplexDouble, 1);
  EXPECT_LE(rows_times(M)->adjointness_test(u), 1e-12);
  const LinearPhysicsPtr without_conjugate = make_function([=](const at::Tensor& x) { return at::matmul(x, M.t()); },
                                                           [=](const at::Tensor& y) { return at::matmul(y, M); });
  EXPECT_GE(without_conjugate->adjointness_test(u), 1e-3);
  EXPECT_NE(without_conjugate->adjointness_test(u, 1), without_conjugate->adjointness_test(u, 2));
}

TEST(LinearPhysics, CountsCallsOfTheOperatorAndItsAdjoint) {
  const LinearPhysicsPtr physics = rows_times(random({5, 4}));
  const at::Tensor x = random({1, 4});
  physics->A_adjoint_A(x);
  physics->A_A_adjoint(random({1, 5}));
  physics->A_adjoint(random({1, 5}));
  EXPECT_EQ(physics->calls().A, 2);
  EXPECT_EQ(physics->calls().A_adjoint, 3);
}

TEST(LinearPhysics, SolverNamesAreReadInAnyCase) {
  for (const Solver solver : all_solvers) {
    EXPECT_EQ(solver_from_string(to_string(solver)), solver);
  }
  EXPECT_EQ(solver_from_string("lsqr"), Solver::LSQR);
  EXPECT_EQ(solver_from_string("bicgstab"), Solver::BiCGStab);
  try {
    solver_from_string("newton");
    FAIL() << "unknown solver accepted";
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(), "solver: must be CG, LSQR, LSMR, BiCGStab or MINRES, got 'newton'");
  }
}

TEST(LinearPhysics, RefusesOptionsAndTensorsThatMakeNoSense) {
  const LinearPhysicsPtr physics = rows_times(random({5, 4}));
  const at::Tensor y = random({2, 5});
  const at::Tensor z = random({2, 4});
  EXPECT_THROW(physics->A_adjoint({}), InvalidArgument);
  EXPECT_THROW(physics->A_adjoint_A(at::ones({1, 4}, at::kInt)), InvalidArgument);
  EXPECT_THROW(physics->A_A_adjoint({}), InvalidArgument);
  EXPECT_THROW(physics->A_dagger({}), InvalidArgument);
  EXPECT_THROW(physics->compute_sqnorm({}), InvalidArgument);
  EXPECT_THROW(physics->sqnorm_bounds({}), InvalidArgument);
  EXPECT_THROW(physics->prox_l2({}, y, 1.0), InvalidArgument);
  EXPECT_THROW(physics->prox_l2(random({2, 3}), y, 1.0), InvalidArgument);
  EXPECT_THROW(physics->A_dagger(y, {.max_iter = -1}), InvalidArgument);
  EXPECT_THROW(physics->A_dagger(y, {.init = random({2, 3})}), InvalidArgument);
  for (const double bad : {nan, infinity, -1.0}) {
    EXPECT_THROW(physics->A_dagger(y, {.tol = bad}), InvalidArgument);
    EXPECT_THROW(physics->prox_l2(z, y, bad), InvalidArgument);
    EXPECT_THROW(physics->compute_sqnorm(z, {.tol = bad}), InvalidArgument);
  }
  EXPECT_THROW(physics->prox_l2(z, y, 0.0), InvalidArgument);
  EXPECT_THROW(physics->compute_sqnorm(z, {.max_iter = 0}), InvalidArgument);
}

}  // namespace adjoin
