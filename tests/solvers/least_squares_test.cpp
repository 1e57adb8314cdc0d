// SPDX-License-Identifier: BSD-3-Clause
// LSQR and LSMR against dense pseudoinverses, with their counts of messages.
#include "adjoin/solvers/least_squares.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "adjoin/core/errors.hpp"
#include "support.hpp"

namespace adjoin::least_squares_test {
namespace {

using testing::adjoint_of;
using testing::CountingSum;
using testing::geometric;
using testing::map_of;
using testing::randn;
using testing::relative_error;
using testing::sharded;
using testing::with_singular_values;

using Map = LinearMap<at::Tensor, at::Tensor>;

enum class Method : std::uint8_t { LSQR, LSMR };

template <class Y>
SolverResult<at::Tensor> solve(Method method, const LinearMap<at::Tensor, Y>& A,
                               const LinearMap<Y, at::Tensor>& A_adjoint, const Y& y,
                               const LeastSquaresOptions& options = {}, const std::optional<at::Tensor>& x0 = {}) {
  return method == Method::LSQR ? lsqr<Y>(A, A_adjoint, y, options, x0) : lsmr<Y>(A, A_adjoint, y, options, x0);
}

struct Settings {
  int max_iter = 400;
  double tol = 1e-14;
  double damping = 0.0;
  std::int64_t items = 1;
};

LeastSquaresOptions make(const Settings& settings) {
  LeastSquaresOptions options;
  options.max_iter = settings.max_iter;
  options.tol = settings.tol;
  options.damping = settings.damping;
  options.items = settings.items;
  return options;
}

class LeastSquaresTest : public ::testing::TestWithParam<Method> {
 protected:
  static SolverResult<at::Tensor> solve(const at::Tensor& matrix, const at::Tensor& y,
                                        const LeastSquaresOptions& options = make({}),
                                        const std::optional<at::Tensor>& x0 = {}) {
    return least_squares_test::solve<at::Tensor>(GetParam(), map_of(matrix), adjoint_of(matrix), y, options, x0);
  }

  const at::Tensor A_ = with_singular_values(40, 25, geometric(1.0, 0.1, 25));
  const at::Tensor y_ = randn({40}, at::kDouble, 5);
};

INSTANTIATE_TEST_SUITE_P(Methods, LeastSquaresTest, ::testing::Values(Method::LSQR, Method::LSMR),
                         [](const auto& test) { return test.param == Method::LSQR ? "LSQR" : "LSMR"; });

TEST_P(LeastSquaresTest, EqualsThePseudoinverse) {
  for (auto [dtype, tol, accuracy] : {std::tuple{at::kDouble, 1e-14, 1e-8}, std::tuple{at::kComplexDouble, 1e-14, 1e-8},
                                      std::tuple{at::kFloat, 3e-7, 1e-4}, std::tuple{at::kComplexFloat, 3e-7, 1e-4}}) {
    for (auto [m, n] : {std::pair{30, 20}, std::pair{20, 30}, std::pair{25, 25}}) {
      const auto values = geometric(1.0, 0.1, static_cast<std::size_t>(std::min(m, n)));
      const at::Tensor A = with_singular_values(m, n, values, dtype);
      const at::Tensor y = randn({m}, dtype, 7);
      const auto result = solve(A, y, make({.tol = tol}));
      EXPECT_LT(relative_error(result.x, at::matmul(at::linalg_pinv(A), y)), accuracy) << m << "x" << n << " " << dtype;
      EXPECT_NEAR(result.relative_residuals.at(0), relative_error(at::matmul(A, result.x), y), 10 * tol);
    }
  }
}

TEST_P(LeastSquaresTest, RankDeficientProblemsGiveTheMinimumNorm) {
  for (auto [m, n] : {std::pair{40, 25}, std::pair{25, 40}}) {
    const at::Tensor A = with_singular_values(m, n, geometric(1.0, 0.1, 15), at::kComplexDouble);
    const at::Tensor y = randn({m}, at::kComplexDouble, 7);
    const auto result = solve(A, y, make({.max_iter = 200, .tol = 1e-13}));
    EXPECT_LT(relative_error(result.x, at::matmul(at::linalg_pinv(A, 1e-10), y)), 1e-8) << m << "x" << n;
  }
}

TEST_P(LeastSquaresTest, IllConditionedConsistentProblemReachesTheAttainableAccuracy) {
  // κ = 1e6: the error of a backward stable solution is about κ times the precision.
  const at::Tensor A = with_singular_values(60, 40, geometric(1.0, 1e-6, 40));
  const at::Tensor x = randn({40}, at::kDouble, 3);
  const auto result = solve(A, at::matmul(A, x), make({.max_iter = 5000, .tol = 1e-15}));
  EXPECT_LT(relative_error(result.x, x), 1e-8);
}

TEST_P(LeastSquaresTest, IllConditionedInconsistentProblemReachesTheAttainableAccuracy) {
  // Here the residual enters with κ².
  const at::Tensor A = with_singular_values(60, 40, geometric(1.0, 1e-6, 40));
  const at::Tensor x = randn({40}, at::kDouble, 3);
  at::Tensor noise = randn({60}, at::kDouble, 4);
  noise = noise - at::matmul(A, at::matmul(at::linalg_pinv(A), noise));
  const auto result = solve(A, at::matmul(A, x) + 1e-3 * noise, make({.max_iter = 5000, .tol = 1e-16}));
  EXPECT_LT(relative_error(result.x, x), 1e-4);
}

TEST_P(LeastSquaresTest, DampingPullsTowardsTheStartingPoint) {
  for (auto dtype : {at::kDouble, at::kComplexDouble}) {
    const at::Tensor A = with_singular_values(30, 40, geometric(1.0, 0.01, 25), dtype);
    const at::Tensor y = randn({30}, dtype, 7);
    const at::Tensor x0 = randn({40}, dtype, 8);
    const double damping = 0.3;
    const at::Tensor normal = at::matmul(A.mH(), A) + damping * damping * at::eye(40, dtype);
    for (const std::optional<at::Tensor>& start : {std::optional<at::Tensor>(), std::optional<at::Tensor>(x0)}) {
      const at::Tensor from = start ? *start : at::zeros({40}, dtype);
      const at::Tensor truth = at::linalg_solve(normal, at::matmul(A.mH(), y) + damping * damping * from);
      const auto result = solve(A, y, make({.damping = damping}), start);
      EXPECT_EQ(result.reason, StopReason::converged);
      EXPECT_LT(relative_error(result.x, truth), 1e-8) << dtype;
      EXPECT_NEAR(result.relative_residuals.at(0), relative_error(at::matmul(A, truth), y), 1e-8);
    }
  }
}

TEST_P(LeastSquaresTest, FromAStartingPointTheSolutionIsTheNearestOne) {
  const at::Tensor A = with_singular_values(20, 30, geometric(1.0, 0.1, 20));
  const at::Tensor y = randn({20}, at::kDouble, 7);
  const at::Tensor x0 = randn({30}, at::kDouble, 8);
  const at::Tensor nearest = x0 + at::matmul(at::linalg_pinv(A), y - at::matmul(A, x0));
  EXPECT_LT(relative_error(solve(A, y, make({}), x0).x, nearest), 1e-8);
}

TEST_P(LeastSquaresTest, StartedAtTheSolutionOfAConsistentProblemItStopsAtOnce) {
  const at::Tensor x = randn({25}, at::kDouble, 3);
  const auto result = solve(A_, at::matmul(A_, x), make({.tol = 1e-6}), x);
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(result.reason, StopReason::converged);
  EXPECT_TRUE(at::equal(result.x, x));
}

TEST_P(LeastSquaresTest, StopsOnceTheGradientIsSmallAgainstTheResidual) {
  const auto result = solve(A_, y_, make({.tol = 1e-5}));
  EXPECT_EQ(result.reason, StopReason::converged);
  EXPECT_LT(result.iterations, 60);
  const at::Tensor r = y_ - at::matmul(A_, result.x);
  const double gradient = at::matmul(A_.mH(), r).norm().item<double>();
  // The estimate of ‖A‖ is about its Frobenius norm.
  EXPECT_LE(gradient, 1e-5 * A_.norm().item<double>() * r.norm().item<double>() * 1.2);
}

TEST_P(LeastSquaresTest, ConditionLimitStops) {
  const at::Tensor A = with_singular_values(60, 40, geometric(1.0, 1e-6, 40));
  LeastSquaresOptions options = make({.max_iter = 5000});
  options.condition_limit = 1e3;
  EXPECT_EQ(solve(A, randn({60}), options).reason, StopReason::ill_conditioned);
}

TEST_P(LeastSquaresTest, ToleranceBelowThePrecisionStagnates) {
  const at::Tensor A = A_.to(at::kFloat);
  const auto result = solve(A, at::matmul(A, at::ones({25}, at::kFloat)), make({.tol = 1e-14}));
  EXPECT_EQ(result.reason, StopReason::stagnated);
  EXPECT_LT(relative_error(result.x, at::ones({25}, at::kFloat)), 1e-4);
}

TEST_P(LeastSquaresTest, ZeroToleranceRunsAllIterations) {
  const auto result = solve(A_, y_, make({.max_iter = 60, .tol = 0.0}));
  EXPECT_EQ(result.iterations, 60);
  EXPECT_EQ(result.reason, StopReason::max_iterations);
  EXPECT_LT(relative_error(result.x, at::matmul(at::linalg_pinv(A_), y_)), 1e-10);
}

TEST_P(LeastSquaresTest, ZeroMeasurementsGiveZeroWithoutIterating) {
  const auto result = solve(A_, at::zeros({40}, at::kDouble), make({.tol = 0.0}));
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(result.reason, StopReason::converged);
  EXPECT_TRUE(at::equal(result.x, at::zeros({25}, at::kDouble)));
}

TEST_P(LeastSquaresTest, MeasurementsOrthogonalToTheRangeGiveZero) {
  const at::Tensor A = at::eye(4, at::kDouble).narrow(1, 0, 2);
  const auto result = solve(A, at::tensor({0.0, 0.0, 1.0, 2.0}, at::kDouble), make({.tol = 0.0}));
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(result.reason, StopReason::converged);
  EXPECT_TRUE(at::equal(result.x, at::zeros({2}, at::kDouble)));
  EXPECT_EQ(result.relative_residuals.at(0), 1.0);
}

TEST_P(LeastSquaresTest, IdentityOperatorIsSolvedExactlyAndItsAliasesDoNoHarm) {
  const Map identity = [](const at::Tensor& x) { return x; };
  const at::Tensor y = y_.clone();
  const auto result = least_squares_test::solve<at::Tensor>(GetParam(), identity, identity, y, make({.tol = 0.0}));
  EXPECT_LT(relative_error(result.x, y_), 1e-14);
  EXPECT_TRUE(at::equal(y, y_));
}

TEST_P(LeastSquaresTest, ItemsOfABatchAreSolvedAsIfAlone) {
  const std::vector<at::Tensor> matrices = {
      with_singular_values(20, 15, geometric(1.0, 0.02, 15)), with_singular_values(20, 15, geometric(1.0, 0.5, 15)),
      with_singular_values(20, 15, geometric(1.0, 0.1, 10)), with_singular_values(20, 15, geometric(2.0, 2.0, 15))};
  const auto each = [&](const auto& x, bool adjoint) {
    std::vector<at::Tensor> results;
    for (std::int64_t i = 0; i < x.size(0); ++i) {
      const at::Tensor& matrix = matrices[static_cast<std::size_t>(i)];
      results.push_back(at::matmul(adjoint ? matrix.mH() : matrix, x[i]));
    }
    return at::stack(results);
  };
  at::Tensor y = randn({4, 20}, at::kDouble, 5);
  y[2].zero_();
  for (double damping : {0.0, 0.2}) {
    const auto together = least_squares_test::solve<at::Tensor>(
        GetParam(), [&](const at::Tensor& x) { return each(x, false); },
        [&](const at::Tensor& v) { return each(v, true); }, y, make({.tol = 1e-10, .damping = damping, .items = 4}));
    EXPECT_EQ(together.reason, StopReason::converged);
    EXPECT_EQ(together.x[2].abs().max().item<double>(), 0.0);
    int most = 0;
    for (std::int64_t i = 0; i < 4; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const auto alone = solve(matrices[k], y[i], make({.tol = 1e-10, .damping = damping}));
      EXPECT_TRUE(at::equal(together.x[i], alone.x)) << i;
      EXPECT_EQ(together.relative_residuals.at(k), alone.relative_residuals.at(0));
      most = std::max(most, alone.iterations);
    }
    EXPECT_EQ(together.iterations, most);
  }
}

TEST_P(LeastSquaresTest, EveryKindOfMeasurementGivesTheSameSolution) {
  const std::vector<std::int64_t> heights = {7, 13, 20};
  const auto A_list = [&](const at::Tensor& x) { return testing::blocks(at::matmul(A_, x), heights); };
  const auto adjoint_list = [&](const TensorList& v) { return at::matmul(A_.mH(), at::cat(v.tensors())); };
  // A weighted inner product needs the adjoint that belongs to it, and does not move the solution.
  const double weight = 0.25;
  const auto reducer = std::make_shared<CountingSum>();
  const auto A_sharded = [&](const at::Tensor& x) { return sharded(A_list(x), reducer, weight); };
  const auto adjoint_sharded = [&](const ShardedTensorList& v) { return weight * adjoint_list(v.local); };

  const at::Tensor x = solve(A_, y_).x;
  const auto list =
      least_squares_test::solve<TensorList>(GetParam(), A_list, adjoint_list, testing::blocks(y_, heights), make({}));
  const auto spread = least_squares_test::solve<ShardedTensorList>(
      GetParam(), A_sharded, adjoint_sharded, sharded(testing::blocks(y_, heights), reducer, weight), make({}));
  EXPECT_LT(relative_error(list.x, x), 1e-10);
  EXPECT_LT(relative_error(spread.x, x), 1e-10);
}

TEST_P(LeastSquaresTest, AnIterationCostsOneOfEachMapAndOneSmallReduction) {
  const auto reducer = std::make_shared<CountingSum>();
  int forward = 0;
  int adjoint = 0;
  const auto A = [&](const at::Tensor& x) {
    ++forward;
    return sharded({at::matmul(A_, x)}, reducer);
  };
  const auto A_adjoint = [&](const ShardedTensorList& v) {
    ++adjoint;
    return at::matmul(A_.mH(), v.local[0]);
  };
  least_squares_test::solve<ShardedTensorList>(GetParam(), A, A_adjoint, sharded({y_}, reducer),
                                               make({.max_iter = 7, .tol = 1e-14}));
  EXPECT_EQ(forward, 7);
  EXPECT_EQ(adjoint, 8);
  EXPECT_EQ(reducer->calls, 8);
  EXPECT_EQ(reducer->largest, 1U);
  least_squares_test::solve<ShardedTensorList>(GetParam(), A, A_adjoint, sharded({y_}, reducer),
                                               make({.max_iter = 7, .tol = 1e-14}), at::ones({25}, at::kDouble));
  EXPECT_EQ(forward, 7 + 8);
  EXPECT_EQ(reducer->calls, 8 + 8);
}

TEST_P(LeastSquaresTest, RankWithoutMeasurementsTakesPart) {
  // The other rank's part comes in through the sum, as it would over the network.
  class OtherRank : public ScalarSum {
   public:
    explicit OtherRank(double value) : value_(value) {}
    void sum(std::span<c10::complex<double>> values) override {
      for (auto& value : values) {
        value += value_;
      }
    }

   private:
    double value_;
  };
  const auto A = [&](const at::Tensor&) { return sharded({}, std::make_shared<OtherRank>(4.0)); };
  const auto A_adjoint = [](const ShardedTensorList&) { return at::ones({3}, at::kDouble); };
  const auto result = least_squares_test::solve<ShardedTensorList>(
      GetParam(), A, A_adjoint, sharded({}, std::make_shared<OtherRank>(4.0)), make({.max_iter = 1, .tol = 0.0}));
  EXPECT_EQ(result.iterations, 1);
  EXPECT_GT(result.x.norm().item<double>(), 0.0);
}

TEST_P(LeastSquaresTest, RealImageOfComplexMeasurements) {
  const at::Tensor A = with_singular_values(20, 12, geometric(1.0, 0.1, 12), at::kComplexDouble);
  const at::Tensor y = randn({20}, at::kComplexDouble, 5);
  const auto result = least_squares_test::solve<at::Tensor>(
      GetParam(), [&](const at::Tensor& x) { return at::matmul(A, x.to(at::kComplexDouble)); },
      [&](const at::Tensor& v) { return at::real(at::matmul(A.mH(), v)); }, y, make({}));
  const at::Tensor stacked = at::cat({at::real(A), at::imag(A)});
  const at::Tensor truth = at::matmul(at::linalg_pinv(stacked), at::cat({at::real(y), at::imag(y)}));
  EXPECT_EQ(result.x.scalar_type(), at::kDouble);
  EXPECT_LT(relative_error(result.x, truth), 1e-8);
}

TEST_P(LeastSquaresTest, TheSolutionHasTheDtypeOfTheStart) {
  const at::Tensor A = A_.to(at::kFloat);
  const auto result = solve(A, y_, make({.tol = 1e-6}), at::zeros({25}, at::kFloat));
  EXPECT_EQ(result.x.scalar_type(), at::kFloat);
  EXPECT_LT(relative_error(result.x.to(at::kDouble), at::matmul(at::linalg_pinv(A_), y_)), 1e-3);
  const Map turned = [&](const at::Tensor& x) { return at::complex(at::zeros({40}, at::kDouble), at::matmul(A_, x)); };
  const Map back = [&](const at::Tensor& v) {
    return at::complex(at::zeros({25}, at::kDouble), at::matmul(A_.t(), v));
  };
  EXPECT_THROW(least_squares_test::solve<at::Tensor>(
                   GetParam(), turned, [&](const at::Tensor& v) { return back(at::real(v)); },
                   y_.to(at::kComplexDouble), make({}), at::zeros({25}, at::kDouble)),
               InvalidArgument);
}

TEST_P(LeastSquaresTest, InputsStayAsTheyWere) {
  const at::Tensor y = y_.clone();
  const at::Tensor x0 = randn({25}, at::kDouble, 2);
  const at::Tensor x0_before = x0.clone();
  const auto result = solve(A_, y, make({}), x0);
  EXPECT_TRUE(at::equal(y, y_));
  EXPECT_TRUE(at::equal(x0, x0_before));
  EXPECT_FALSE(result.x.is_alias_of(x0));
}

TEST_P(LeastSquaresTest, MonitorSeesEveryIterationAndMayStop) {
  LeastSquaresOptions options = make({});
  int calls = 0;
  options.monitor = [&](const IterationInfo& info) { return (calls = info.iteration) < 3; };
  const auto result = solve(A_, y_, options);
  EXPECT_EQ(result.reason, StopReason::stopped_by_monitor);
  EXPECT_EQ(result.iterations, 3);
  EXPECT_EQ(calls, 3);
}

TEST_P(LeastSquaresTest, NotANumberIsAnErrorAndNotALoop) {
  const auto message = [&](const Map& A, const Map& A_adjoint, const at::Tensor& y) -> std::string {
    try {
      least_squares_test::solve<at::Tensor>(GetParam(), A, A_adjoint, y);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto breaking = [](const at::Tensor& matrix, int at_call) -> Map {
    return [=, calls = std::make_shared<int>(0)](const at::Tensor& x) {
      at::Tensor result = at::matmul(matrix, x);
      if (++*calls == at_call) {
        result[2] = std::numeric_limits<double>::quiet_NaN();
      }
      return result;
    };
  };
  at::Tensor bad = y_.clone();
  bad[3] = std::numeric_limits<double>::infinity();
  EXPECT_NE(message(map_of(A_), adjoint_of(A_), bad).find("y holds NaN or infinity"), std::string::npos);
  EXPECT_NE(message(breaking(A_, 2), adjoint_of(A_), y_).find("A returned NaN or infinity at iteration 2"),
            std::string::npos);
  EXPECT_NE(message(map_of(A_), breaking(A_.mH(), 4), y_).find("A_adjoint returned NaN or infinity at iteration 3"),
            std::string::npos);
}

TEST_P(LeastSquaresTest, BadOptionsAreNamed) {
  EXPECT_THROW(solve(A_, y_, make({.damping = -1.0})), InvalidArgument);
  EXPECT_THROW(solve(A_, y_, make({.damping = std::nan("")})), InvalidArgument);
  EXPECT_THROW(solve(A_, y_, make({.max_iter = -1})), InvalidArgument);
  EXPECT_THROW(solve(A_, y_, make({.items = 3})), InvalidArgument);
}

TEST(Lsmr, GradientFallsMonotonically) {
  const at::Tensor A = with_singular_values(60, 40, geometric(1.0, 1e-3, 40));
  const at::Tensor y = randn({60}, at::kDouble, 5);
  double previous = std::numeric_limits<double>::infinity();
  for (int iterations = 1; iterations <= 40; ++iterations) {
    const auto x = lsmr<at::Tensor>(map_of(A), adjoint_of(A), y, make({.max_iter = iterations, .tol = 0.0})).x;
    const double gradient = at::matmul(A.mH(), y - at::matmul(A, x)).norm().item<double>();
    EXPECT_LE(gradient, previous * (1.0 + 1e-8)) << iterations;
    previous = gradient;
  }
}

}  // namespace
}  // namespace adjoin::least_squares_test
