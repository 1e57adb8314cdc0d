// SPDX-License-Identifier: BSD-3-Clause
// Krylov solvers against dense inverses, with their counts of messages and applications.
#include "adjoin/solvers/krylov.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>
#include <string_view>

#include "adjoin/core/errors.hpp"
#include "support.hpp"

namespace adjoin::krylov_test {
namespace {

using testing::CountingSum;
using testing::geometric;
using testing::map_of;
using testing::randn;
using testing::relative_error;
using testing::sharded;
using testing::with_eigenvalues;

using Map = LinearMap<at::Tensor, at::Tensor>;

enum class Method : std::uint8_t { CG, BiCGStab, MINRES };

std::string_view name_of(Method method) {
  return method == Method::CG ? "CG" : method == Method::BiCGStab ? "BiCGStab" : "MINRES";
}

template <class V = at::Tensor>
SolverResult<V> solve(Method method, const LinearMap<V, V>& H, const V& b, const SolverOptions& options = {},
                      const std::optional<V>& x0 = {}, const LinearMap<V, V>& preconditioner = {}) {
  switch (method) {
    case Method::CG:
      return conjugate_gradient<V>(H, b, options, x0, preconditioner);
    case Method::BiCGStab:
      return bicgstab<V>(H, b, options, x0, preconditioner);
    case Method::MINRES:
      return minres<V>(H, b, options, x0, preconditioner);
  }
  throw InvalidArgument("unknown method");
}

std::vector<double> alternating_signs(std::vector<double> values) {
  for (std::size_t i = 1; i < values.size(); i += 2) {
    values[i] = -values[i];
  }
  return values;
}

/// x ↦ H_i x_i for each item i of a batch of matrices.
Map batched(const at::Tensor& matrices) {
  return [matrices](const at::Tensor& x) {
    at::Tensor y = at::empty_like(x);
    for (std::int64_t i = 0; i < x.size(0); ++i) {
      y[i] = at::matmul(matrices[i], x[i]);
    }
    return y;
  };
}

class KrylovTest : public ::testing::TestWithParam<Method> {
 protected:
  const at::Tensor H_ = with_eigenvalues(geometric(1.0, 0.02, 30));
  const at::Tensor b_ = randn({30}, at::kDouble, 5);
};

INSTANTIATE_TEST_SUITE_P(Methods, KrylovTest, ::testing::Values(Method::CG, Method::BiCGStab, Method::MINRES),
                         [](const auto& test) { return std::string(name_of(test.param)); });

TEST_P(KrylovTest, EqualsTheInverseOfADefiniteMatrix) {
  for (auto [dtype, tol, accuracy] : {std::tuple{at::kDouble, 1e-12, 1e-8}, std::tuple{at::kComplexDouble, 1e-12, 1e-8},
                                      std::tuple{at::kFloat, 3e-7, 1e-4}, std::tuple{at::kComplexFloat, 3e-7, 1e-4}}) {
    const at::Tensor H = with_eigenvalues(geometric(1.0, 0.1, 30), dtype);
    const at::Tensor b = randn({30}, dtype, 5);
    const auto result = solve(GetParam(), map_of(H), b, {.tol = tol});
    EXPECT_EQ(result.reason, StopReason::converged) << dtype;
    EXPECT_LT(relative_error(result.x, at::linalg_solve(H, b)), accuracy) << dtype;
    EXPECT_LE(result.relative_residuals.at(0), tol);
  }
}

TEST_P(KrylovTest, ReportedResidualIsTheTrueOne) {
  const auto result = solve(GetParam(), map_of(H_), b_, {.max_iter = 8, .tol = 0.0});
  EXPECT_EQ(result.reason, StopReason::max_iterations);
  EXPECT_EQ(result.iterations, 8);
  EXPECT_NEAR(result.relative_residuals.at(0), relative_error(at::matmul(H_, result.x), b_), 1e-10);
}

TEST_P(KrylovTest, ItemsOfABatchAreSolvedAsIfAlone) {
  // The items need different numbers of iterations, one has a zero right-hand side and one a trivial matrix.
  const at::Tensor matrices = at::stack({with_eigenvalues(geometric(1.0, 0.01, 20)), at::eye(20, at::kDouble) * 3.0,
                                         with_eigenvalues(geometric(1.0, 0.5, 20), at::kDouble, 9),
                                         with_eigenvalues(geometric(1.0, 0.1, 20), at::kDouble, 2)});
  at::Tensor b = randn({4, 20}, at::kDouble, 1);
  b[3].zero_();
  const auto together = solve(GetParam(), batched(matrices), b, {.tol = 1e-10, .items = 4});
  EXPECT_EQ(together.reason, StopReason::converged);
  EXPECT_EQ(together.x[3].abs().max().item<double>(), 0.0);
  EXPECT_EQ(together.relative_residuals.at(3), 0.0);
  int most = 0;
  for (int i = 0; i < 3; ++i) {
    const auto alone = solve(GetParam(), map_of(matrices[i]), b[i], {.tol = 1e-10});
    EXPECT_TRUE(at::equal(together.x[i], alone.x)) << i;
    EXPECT_EQ(together.relative_residuals.at(static_cast<std::size_t>(i)), alone.relative_residuals.at(0));
    most = std::max(most, alone.iterations);
  }
  EXPECT_EQ(together.iterations, most);
}

TEST_P(KrylovTest, EveryKindOfVectorGivesTheSameSolution) {
  const auto split = [](const at::Tensor& v) { return testing::blocks(v, {7, 12, 11}); };
  const auto H_list = [&](const TensorList& x) { return split(at::matmul(H_, at::cat(x.tensors()))); };
  const auto reducer = std::make_shared<CountingSum>();
  const auto H_sharded = [&](const ShardedTensorList& x) { return sharded(H_list(x.local), reducer, x.space->weight); };
  const SolverOptions options{.tol = 1e-11};

  const at::Tensor x = solve(GetParam(), map_of(H_), b_, options).x;
  const auto list = solve<TensorList>(GetParam(), H_list, split(b_), options);
  const auto spread = solve<ShardedTensorList>(GetParam(), H_sharded, sharded(split(b_), reducer, 0.25), options);
  EXPECT_LT(relative_error(at::cat(list.x.tensors()), x), 1e-8);
  EXPECT_LT(relative_error(at::cat(spread.x.local.tensors()), x), 1e-8);
}

TEST_P(KrylovTest, AnIterationCostsTwoSmallReductions) {
  const auto reducer = std::make_shared<CountingSum>();
  const LinearMap<ShardedTensorList, ShardedTensorList> H = [&](const ShardedTensorList& x) {
    return sharded({at::matmul(H_, x.local[0])}, reducer);
  };
  const auto reductions = [&](int iterations) {
    reducer->calls = 0;
    solve<ShardedTensorList>(GetParam(), H, sharded({b_}, reducer), {.max_iter = iterations, .tol = 0.0});
    return reducer->calls;
  };
  EXPECT_EQ(reductions(5) - reductions(4), 2);
  EXPECT_EQ(reductions(0), 1);
}

TEST_P(KrylovTest, AppliesTheOperatorOnceOrTwiceAnIteration) {
  int applications = 0;
  const Map H = [&](const at::Tensor& x) {
    ++applications;
    return at::matmul(H_, x);
  };
  solve(GetParam(), H, b_, {.max_iter = 6, .tol = 0.0});
  EXPECT_EQ(applications, GetParam() == Method::BiCGStab ? 12 : 6);
}

TEST_P(KrylovTest, StartedAtTheSolutionItStopsAtOnce) {
  const at::Tensor solution = at::linalg_solve(H_, b_);
  const at::Tensor before = solution.clone();
  const auto result = solve<at::Tensor>(GetParam(), map_of(H_), b_, {}, solution);
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(result.reason, StopReason::converged);
  EXPECT_TRUE(at::equal(result.x, before));
  EXPECT_FALSE(result.x.is_alias_of(solution));
}

TEST_P(KrylovTest, StartedNearTheSolutionItNeedsFewerIterations) {
  const at::Tensor solution = at::linalg_solve(H_, b_);
  const auto cold = solve(GetParam(), map_of(H_), b_, {.tol = 1e-8});
  const auto warm = solve<at::Tensor>(GetParam(), map_of(H_), b_, {.tol = 1e-8}, solution + 1e-5 * randn({30}));
  EXPECT_LT(warm.iterations, cold.iterations);
  EXPECT_LT(relative_error(warm.x, solution), 1e-5);
}

TEST_P(KrylovTest, PreconditionerSavesIterationsOnAnIllScaledMatrix) {
  const at::Tensor scales = at::tensor(geometric(1.0, 1e4, 60), at::kDouble);
  const at::Tensor H = at::diag(scales) + 0.1 * with_eigenvalues(geometric(1.0, 0.1, 60));
  const at::Tensor b = randn({60}, at::kDouble, 5);
  const Map jacobi = [inverse = H.diag().reciprocal()](const at::Tensor& r) { return inverse * r; };
  const auto plain = solve(GetParam(), map_of(H), b, {.max_iter = 1000, .tol = 1e-11});
  const auto quick = solve<at::Tensor>(GetParam(), map_of(H), b, {.max_iter = 1000, .tol = 1e-11}, {}, jacobi);
  EXPECT_EQ(quick.reason, StopReason::converged);
  EXPECT_LT(2 * quick.iterations, plain.iterations);
  EXPECT_LT(relative_error(quick.x, at::linalg_solve(H, b)), 1e-8);
}

TEST_P(KrylovTest, PreconditionedWarmStartSolvesTheSameProblem) {
  const at::Tensor H = with_eigenvalues(geometric(1.0, 0.02, 30), at::kComplexDouble);
  const at::Tensor b = randn({30}, at::kComplexDouble, 4);
  const Map half_inverse = map_of(with_eigenvalues(geometric(1.0, 7.0, 30), at::kComplexDouble));
  const auto result =
      solve<at::Tensor>(GetParam(), map_of(H), b, {.tol = 1e-11}, randn({30}, at::kComplexDouble, 8), half_inverse);
  EXPECT_EQ(result.reason, StopReason::converged);
  EXPECT_LT(relative_error(result.x, at::linalg_solve(H, b)), 1e-8);
}

TEST_P(KrylovTest, ZeroRightHandSideGivesZeroWithoutIterating) {
  const at::Tensor zero = at::zeros({30}, at::kDouble);
  for (const std::optional<at::Tensor>& x0 : {std::optional<at::Tensor>(), std::optional<at::Tensor>(b_)}) {
    const auto result = solve(GetParam(), map_of(H_), zero, {.tol = 0.0}, x0);
    EXPECT_EQ(result.iterations, 0);
    EXPECT_EQ(result.reason, StopReason::converged);
    EXPECT_TRUE(at::equal(result.x, zero));
  }
}

TEST_P(KrylovTest, IdentityOperatorIsSolvedInOneStepAndItsAliasesDoNoHarm) {
  const Map identity = [](const at::Tensor& x) { return x; };
  const auto result = solve<at::Tensor>(GetParam(), identity, b_, {.tol = 0.0}, {}, identity);
  EXPECT_LT(relative_error(result.x, b_), 1e-14);
  EXPECT_LE(relative_error(solve(GetParam(), identity, b_, {.max_iter = 1}).x, b_), 1e-14);
}

TEST_P(KrylovTest, InputsStayAsTheyWere) {
  const at::Tensor b = b_.clone();
  const at::Tensor x0 = randn({30}, at::kDouble, 2);
  const at::Tensor x0_before = x0.clone();
  solve<at::Tensor>(GetParam(), map_of(H_), b, {}, x0);
  EXPECT_TRUE(at::equal(b, b_));
  EXPECT_TRUE(at::equal(x0, x0_before));
}

TEST_P(KrylovTest, NonContiguousRightHandSide) {
  const at::Tensor b = randn({30, 2}, at::kDouble, 2).select(1, 1);
  ASSERT_FALSE(b.is_contiguous());
  EXPECT_LT(relative_error(solve(GetParam(), map_of(H_), b, {.tol = 1e-11}).x, at::linalg_solve(H_, b)), 1e-8);
}

TEST_P(KrylovTest, MonitorSeesEveryIterationAndMayStop) {
  std::vector<IterationInfo> seen;
  const SolverOptions options{.max_iter = 50, .tol = 1e-13, .monitor = [&](const IterationInfo& info) {
                                seen.push_back(info);
                                return info.iteration < 4;
                              }};
  const auto result = solve(GetParam(), map_of(H_), b_, options);
  EXPECT_EQ(result.reason, StopReason::stopped_by_monitor);
  EXPECT_EQ(result.iterations, 4);
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen.front().iteration, 1);
  EXPECT_EQ(seen.back().max_iter, 50);
  EXPECT_EQ(seen.back().relative_residual, result.relative_residuals.at(0));
}

TEST_P(KrylovTest, NoIterationsGiveTheStartingPoint) {
  const auto result = solve<at::Tensor>(GetParam(), map_of(H_), b_, {.max_iter = 0}, b_);
  EXPECT_EQ(result.reason, StopReason::max_iterations);
  EXPECT_TRUE(at::equal(result.x, b_));
}

TEST_P(KrylovTest, NotANumberIsAnErrorAndNotALoop) {
  const auto message = [&](const Map& H, const at::Tensor& b) -> std::string {
    try {
      solve(GetParam(), H, b);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  at::Tensor bad = b_.clone();
  bad[3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(message(map_of(H_), bad).find("the right-hand side holds NaN or infinity"), std::string::npos);
  bad[3] = std::numeric_limits<double>::infinity();
  EXPECT_NE(message(map_of(H_), bad).find("the right-hand side holds NaN or infinity"), std::string::npos);

  int applications = 0;
  const Map breaks = [&](const at::Tensor& x) {
    at::Tensor y = at::matmul(H_, x);
    if (++applications == (GetParam() == Method::BiCGStab ? 5 : 3)) {
      y[7] = std::numeric_limits<double>::quiet_NaN();
    }
    return y;
  };
  EXPECT_NE(message(breaks, b_).find("the operator returned NaN or infinity at iteration 3"), std::string::npos);
}

TEST_P(KrylovTest, BadOptionsAreNamed) {
  EXPECT_THROW(solve(GetParam(), map_of(H_), b_, {.max_iter = -1}), InvalidArgument);
  EXPECT_THROW(solve(GetParam(), map_of(H_), b_, {.tol = -1.0}), InvalidArgument);
  EXPECT_THROW(solve(GetParam(), map_of(H_), b_, {.tol = std::nan("")}), InvalidArgument);
  EXPECT_THROW(solve(GetParam(), map_of(H_), b_, {.items = 0}), InvalidArgument);
  EXPECT_THROW(solve(GetParam(), map_of(H_), b_, {.items = 7}), InvalidArgument);
}

TEST_P(KrylovTest, TheSolutionHasTheDtypeOfTheStart) {
  const at::Tensor x0 = at::zeros({30}, at::kFloat);
  const at::Tensor H = H_.to(at::kFloat);
  const auto result = solve<at::Tensor>(GetParam(), map_of(H), b_, {.tol = 1e-5}, x0);
  EXPECT_EQ(result.x.scalar_type(), at::kFloat);
  EXPECT_LT(relative_error(result.x.to(at::kDouble), at::linalg_solve(H_, b_)), 1e-3);
  const auto precise = solve<at::Tensor>(GetParam(), map_of(H_), b_.to(at::kFloat), {.tol = 1e-9}, at::zeros_like(b_));
  EXPECT_EQ(precise.x.scalar_type(), at::kDouble);
  EXPECT_THROW(solve<at::Tensor>(GetParam(), map_of(H_), b_.to(at::kComplexDouble), {}, b_), InvalidArgument);
  EXPECT_THROW(solve<at::Tensor>(GetParam(), map_of(H_), b_, {}, at::zeros({29}, at::kDouble)), InvalidArgument);
}

TEST_P(KrylovTest, RecordsNoGradients) {
  const at::Tensor b = b_.clone().requires_grad_();
  EXPECT_FALSE(solve(GetParam(), map_of(H_), b).x.requires_grad());
}

TEST_P(KrylovTest, ConsistentSingularSystemGivesTheMinimumNorm) {
  std::vector<double> values = geometric(1.0, 0.1, 20);
  values.resize(30, 0.0);
  for (auto dtype : {at::kDouble, at::kComplexDouble}) {
    const at::Tensor H = with_eigenvalues(values, dtype);
    const at::Tensor b = at::matmul(H, randn({30}, dtype, 5));
    const auto result = solve(GetParam(), map_of(H), b, {.tol = 1e-12});
    EXPECT_EQ(result.reason, StopReason::converged);
    EXPECT_LT(relative_error(result.x, at::matmul(at::linalg_pinv(H, 1e-10), b)), 1e-8);
  }
}

TEST_P(KrylovTest, ToleranceBelowRoundOffBringsNoNullVectorsIn) {
  for (const auto dtype : {at::kFloat, at::kComplexFloat, at::kDouble, at::kComplexDouble}) {
    for (const auto& [least, rank] : {std::pair{1.0, 40}, std::pair{1.0, 5}, std::pair{0.3, 40}, std::pair{0.3, 3}}) {
      SCOPED_TRACE(c10::str(dtype, ", eigenvalues 1 … ", least, ", rank ", rank));
      std::vector<double> values = geometric(1.0, least, static_cast<std::size_t>(rank));
      values.resize(60, 0.0);
      const at::Tensor H = with_eigenvalues(values, dtype);
      const at::Tensor x = at::matmul(H, randn({60}, dtype, 5));
      const auto result = solve(GetParam(), map_of(H), at::matmul(H, x), {.max_iter = 500, .tol = 1e-30});
      EXPECT_LT(relative_error(result.x, x), c10::toRealValueType(dtype) == at::kDouble ? 1e-12 : 1e-4);
      EXPECT_NE(result.reason, StopReason::max_iterations);
    }
  }
}

TEST(ConjugateGradient, NullVectorAsRightHandSideIsABreakdown) {
  const at::Tensor H = at::diag(at::tensor({1.0, 0.0}, at::kDouble));
  const auto result = conjugate_gradient<at::Tensor>(map_of(H), at::tensor({0.0, 1.0}, at::kDouble));
  EXPECT_EQ(result.reason, StopReason::breakdown);
  EXPECT_TRUE(at::isfinite(result.x).all().item<bool>());
}

TEST(ConjugateGradient, WithZeroToleranceRunsAllIterationsUnlessTheResidualIsExactlyZero) {
  const at::Tensor H = with_eigenvalues(geometric(1.0, 0.1, 10));
  const at::Tensor b = randn({10}, at::kDouble, 5);
  const auto result = conjugate_gradient<at::Tensor>(map_of(H), b, {.max_iter = 40, .tol = 0.0});
  EXPECT_EQ(result.iterations, 40);
  EXPECT_LT(relative_error(result.x, at::linalg_solve(H, b)), 1e-12);
  const auto exact = conjugate_gradient<at::Tensor>([](const at::Tensor& x) { return 2.0 * x; }, b, {.tol = 0.0});
  EXPECT_EQ(exact.iterations, 1);
  EXPECT_EQ(exact.reason, StopReason::converged);
}

TEST(Minres, SolvesIndefiniteSystems) {
  for (auto [dtype, tol, accuracy] : {std::tuple{at::kDouble, 1e-12, 1e-8}, std::tuple{at::kComplexDouble, 1e-12, 1e-8},
                                      std::tuple{at::kFloat, 3e-7, 1e-4}}) {
    const at::Tensor H = with_eigenvalues(alternating_signs(geometric(1.0, 0.1, 40)), dtype);
    const at::Tensor b = randn({40}, dtype, 5);
    const auto result = minres<at::Tensor>(map_of(H), b, {.tol = tol});
    EXPECT_EQ(result.reason, StopReason::converged);
    EXPECT_LT(relative_error(result.x, at::linalg_solve(H, b)), accuracy) << dtype;
  }
}

TEST(Minres, SolvesConsistentSingularIndefiniteSystems) {
  std::vector<double> values = alternating_signs(geometric(1.0, 0.1, 20));
  values.resize(30, 0.0);
  const at::Tensor H = with_eigenvalues(values, at::kComplexDouble);
  const at::Tensor b = at::matmul(H, randn({30}, at::kComplexDouble, 5));
  const auto result = minres<at::Tensor>(map_of(H), b, {.tol = 1e-12});
  EXPECT_EQ(result.reason, StopReason::converged);
  EXPECT_LT(relative_error(result.x, at::matmul(at::linalg_pinv(H, 1e-10), b)), 1e-8);
}

TEST(Minres, InconsistentSingularSystemsGiveTheLeastSquaresSolutionOfMinimumNorm) {
  for (const auto dtype : {at::kDouble, at::kComplexDouble, at::kFloat}) {
    for (const auto& [rank, size] : {std::pair{20, 30}, std::pair{5, 8}, std::pair{29, 30}, std::pair{1, 6}}) {
      for (const bool indefinite : {false, true}) {
        SCOPED_TRACE(c10::str(dtype, ", rank ", rank, " of ", size, indefinite ? ", indefinite" : ""));
        std::vector<double> values =
            rank == 1 ? std::vector<double>{2.0} : geometric(1.0, 0.2, static_cast<std::size_t>(rank));
        values = indefinite ? alternating_signs(values) : values;
        values.resize(static_cast<std::size_t>(size), 0.0);
        const at::Tensor H = with_eigenvalues(values, dtype);
        const at::Tensor b = randn({size}, dtype, 5);
        const at::Tensor least = at::matmul(at::linalg_pinv(H, 1e-4), b);
        const double accuracy = dtype == at::kFloat ? 5e-3 : 1e-6;
        const auto result =
            minres<at::Tensor>(map_of(H), b, {.max_iter = 500, .tol = dtype == at::kFloat ? 1e-6 : 1e-12});
        EXPECT_EQ(result.reason, StopReason::stagnated);
        EXPECT_LT(relative_error(result.x, least), accuracy);
        // From a starting point, the least-squares solution that is nearest to it.
        const at::Tensor x0 = randn({size}, dtype, 8);
        const at::Tensor nearest = x0 + at::matmul(at::linalg_pinv(H, 1e-4), b - at::matmul(H, x0));
        EXPECT_LT(relative_error(minres<at::Tensor>(map_of(H), b, {.max_iter = 500, .tol = 1e-12}, x0).x, nearest),
                  accuracy);
      }
    }
  }
}

TEST(Minres, IllConditionedRegularSystemsAreNotTakenForSingularOnes) {
  for (const auto& [dtype, condition] :
       {std::pair{at::kFloat, 1e4}, std::pair{at::kDouble, 1e8}, std::pair{at::kComplexDouble, 3e8}}) {
    for (const std::int64_t size : {5, 8, 18, 34, 49}) {
      for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        SCOPED_TRACE(c10::str(dtype, ", size ", size, ", seed ", seed));
        const at::Tensor H =
            with_eigenvalues(geometric(1.0, 1.0 / condition, static_cast<std::size_t>(size)), dtype, seed);
        const at::Tensor b = randn({size}, dtype, 5 + seed);
        const at::Tensor near = at::linalg_solve(H, b) * (1.0 + 0.1 * randn({size}, dtype, 90 + seed));
        for (const double tol : {1e-3, 1e-6, 1e-12}) {
          for (const std::optional<at::Tensor>& x0 : {std::optional<at::Tensor>(), std::optional(near)}) {
            const double before = x0 ? relative_error(at::matmul(H, *x0), b) : 1.0;
            const auto result = minres<at::Tensor>(map_of(H), b, {.max_iter = 2000, .tol = tol}, x0);
            EXPECT_LT(relative_error(at::matmul(H, result.x), b), 1.1 * before + 1e-3);
          }
        }
      }
    }
  }
}

TEST(Minres, AnIndefinitePreconditionerIsABreakdown) {
  const at::Tensor H = with_eigenvalues(geometric(1.0, 0.1, 10));
  const auto result = minres<at::Tensor>(map_of(H), randn({10}), {}, {}, map_of(-at::eye(10, at::kDouble)));
  EXPECT_EQ(result.reason, StopReason::breakdown);
  EXPECT_EQ(result.iterations, 0);
}

TEST(BiCGStab, SolvesNonsymmetricSystems) {
  for (auto [dtype, tol, accuracy] : {std::tuple{at::kDouble, 1e-12, 1e-8}, std::tuple{at::kComplexDouble, 1e-12, 1e-8},
                                      std::tuple{at::kFloat, 1e-6, 1e-4}}) {
    const at::Tensor H = at::eye(40, dtype) + 0.3 * randn({40, 40}, dtype, 1) / std::sqrt(40.0);
    const at::Tensor b = randn({40}, dtype, 5);
    const auto result = bicgstab<at::Tensor>(map_of(H), b, {.tol = tol});
    EXPECT_EQ(result.reason, StopReason::converged);
    EXPECT_LT(relative_error(result.x, at::linalg_solve(H, b)), accuracy) << dtype;
  }
}

TEST(BiCGStab, SkewSymmetricSystemIsABreakdownAndStaysFinite) {
  const at::Tensor H = at::tensor({0.0, 1.0, -1.0, 0.0}, at::kDouble).view({2, 2});
  const auto result = bicgstab<at::Tensor>(map_of(H), at::tensor({1.0, 0.0}, at::kDouble));
  EXPECT_EQ(result.reason, StopReason::breakdown);
  EXPECT_TRUE(at::isfinite(result.x).all().item<bool>());
}

TEST(StopReason, HasNames) {
  EXPECT_EQ(to_string(StopReason::converged), "converged");
  EXPECT_EQ(to_string(StopReason::max_iterations), "iteration limit");
}

}  // namespace
}  // namespace adjoin::krylov_test
