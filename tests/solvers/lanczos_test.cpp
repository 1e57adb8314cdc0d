// SPDX-License-Identifier: BSD-3-Clause
// Bounds of Lanczos against known spectra.
#include "adjoin/solvers/lanczos.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "adjoin/core/errors.hpp"
#include "support.hpp"

namespace adjoin {
namespace {

using testing::geometric;
using testing::map_of;
using testing::randn;
using testing::with_eigenvalues;

std::vector<double> uniform(std::size_t n, std::uint64_t seed) {
  const at::Tensor values = randn({static_cast<std::int64_t>(n)}, at::kDouble, seed).abs();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + n};
}

std::vector<std::vector<double>> spectra(std::uint64_t seed) {
  std::vector<double> clustered = uniform(40, seed);
  for (std::size_t i = 0; i < 20; ++i) {
    clustered[i] = 5.0 - 1e-9 * static_cast<double>(i);
  }
  std::vector<double> low_rank = uniform(3, seed);
  low_rank.resize(40, 0.0);
  std::vector<double> dense_at_the_top(40);
  for (std::size_t i = 0; i < 40; ++i) {
    dense_at_the_top[i] = 1.0 - std::pow(static_cast<double>(i) / 40.0, 3.0);
  }
  return {uniform(40, seed), geometric(1.0, 1e-8, 40), clustered, low_rank, dense_at_the_top, {2.5, 1.0}};
}

TEST(Lanczos, BoundsEncloseTheLargestEigenvalueAtEveryIterationCount) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    for (const std::vector<double>& values : spectra(seed)) {
      const double truth = *std::ranges::max_element(values);
      const auto dtype = seed % 2 == 0 ? at::kDouble : at::kComplexDouble;
      const at::Tensor H = with_eigenvalues(values, dtype, seed);
      for (int iterations : {1, 2, 3, 5, 10, 20, 60}) {
        const auto result = largest_eigenvalue(map_of(H), H[0], {.max_iter = iterations, .tol = 0.0, .seed = seed});
        EXPECT_LE(result.lower, truth * (1.0 + 1e-13)) << iterations;
        EXPECT_GE(result.upper, truth) << iterations;
        // Sharper than what Kuczyński and Woźniakowski can say of an unknown spectrum.
        const double n = static_cast<double>(values.size()) * (seed % 2 == 0 ? 1.0 : 2.0);
        const double epsilon = std::pow(std::log(1.648 * std::sqrt(n) / 1e-6) / (2 * iterations - 1), 2.0);
        EXPECT_TRUE(std::isfinite(result.upper));
        if (epsilon < 1.0) {
          EXPECT_LE(result.upper, result.lower / (1.0 - epsilon));
        }
      }
    }
  }
}

TEST(Lanczos, BoundsCloseAsIterationsGrow) {
  const auto values = spectra(3)[4];
  const at::Tensor H = with_eigenvalues(values);
  double previous = std::numeric_limits<double>::infinity();
  for (int iterations : {2, 4, 8, 16, 32}) {
    const auto result = largest_eigenvalue(map_of(H), H[0], {.max_iter = iterations, .tol = 0.0});
    EXPECT_LT(result.upper - result.lower, previous);
    previous = result.upper - result.lower;
  }
  EXPECT_LT(previous, 0.04);
}

TEST(Lanczos, UpperBoundFailsAboutAsRarelyAsAsked) {
  // At one step on a large matrix the bound is nearly an equality in probability.
  const at::Tensor values = at::zeros({200}, at::kDouble);
  values[0] = 1.0;
  int failures = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const auto result = largest_eigenvalue([&](const at::Tensor& x) { return values * x; }, values,
                                           {.max_iter = 1, .seed = seed, .failure_probability = 0.1});
    failures += result.upper < 1.0 ? 1 : 0;
  }
  EXPECT_LE(failures, 400 * 0.16);
}

TEST(Lanczos, ReachesTheTolerance) {
  for (auto dtype : {at::kDouble, at::kComplexDouble, at::kFloat, at::kComplexFloat}) {
    const at::Tensor H = with_eigenvalues(geometric(3.0, 0.1, 60), dtype);
    const auto result = largest_eigenvalue(map_of(H), H[0], {.max_iter = 200, .tol = 1e-4});
    EXPECT_EQ(result.reason, StopReason::converged) << dtype;
    EXPECT_LT(result.iterations, 60);
    EXPECT_NEAR(result.lower, 3.0, 3e-4) << dtype;
    EXPECT_LE(result.residual, 3e-4);
  }
}

TEST(Lanczos, ResidualIsThatOfTheRitzPair) {
  // A dense twin of the process, fully orthogonalised.
  const at::Tensor H = with_eigenvalues(geometric(3.0, 0.1, 40));
  const at::Tensor start = randn_like(H[0], 5);
  std::vector<at::Tensor> basis = {start / start.norm()};
  for (int k = 1; k <= 12; ++k) {
    const at::Tensor V = at::stack(basis, 1);
    const at::Tensor projected = at::matmul(V.mT(), at::matmul(H, V));
    const auto [values, vectors] = at::linalg_eigh(projected);
    const at::Tensor ritz = at::matmul(V, vectors.select(1, -1));
    const double residual = (at::matmul(H, ritz) - values[-1] * ritz).norm().item<double>();
    const auto result = largest_eigenvalue(map_of(H), H[0], {.max_iter = k, .tol = 0.0, .seed = 5});
    EXPECT_NEAR(result.lower, values[-1].item<double>(), 1e-12) << k;
    EXPECT_NEAR(result.residual, residual, 1e-11) << k;
    at::Tensor next = at::matmul(H, basis.back());
    for (int pass = 0; pass < 2; ++pass) {
      for (const at::Tensor& v : basis) {
        next = next - at::dot(v, next) * v;
      }
    }
    basis.push_back(next / next.norm());
  }
}

TEST(Lanczos, ExhaustedKrylovSpaceIsExact) {
  // Two different eigenvalues: two steps.
  const at::Tensor H = with_eigenvalues({4.0, 4.0, 4.0, 1.0, 1.0, 1.0});
  const auto result = largest_eigenvalue(map_of(H), H[0], {.tol = 0.0});
  EXPECT_EQ(result.reason, StopReason::converged);
  EXPECT_LE(result.iterations, 3);
  EXPECT_NEAR(result.lower, 4.0, 1e-12);
  EXPECT_NEAR(result.upper, 4.0, 1e-8);
}

TEST(Lanczos, MultipleOfTheIdentityTakesOneStep) {
  for (auto dtype : {at::kDouble, at::kFloat, at::kComplexFloat}) {
    const auto result =
        largest_eigenvalue([](const at::Tensor& x) { return 2.0 * x; }, at::zeros({3, 5}, dtype), {.tol = 0.0});
    EXPECT_EQ(result.iterations, 1);
    EXPECT_EQ(result.reason, StopReason::converged);
    EXPECT_NEAR(result.lower, 2.0, 1e-6);
    EXPECT_GE(result.upper, 2.0 * (1.0 - 1e-7));
    EXPECT_LT(result.upper, dtype == at::kDouble ? 2.0 + 1e-8 : 10.0);
  }
}

TEST(Lanczos, ZeroOperatorDimensionOneAndEmptyVectors) {
  const auto zero = largest_eigenvalue([](const at::Tensor& x) { return at::zeros_like(x); }, at::zeros({7}), {});
  EXPECT_EQ(zero.lower, 0.0);
  EXPECT_EQ(zero.upper, 0.0);
  EXPECT_EQ(zero.reason, StopReason::converged);
  EXPECT_EQ(zero.iterations, 1);
  const auto one =
      largest_eigenvalue([](const at::Tensor& x) { return 3.0 * x; }, at::zeros({1}, at::kDouble), {.tol = 0.0});
  EXPECT_NEAR(one.lower, 3.0, 1e-14);
  EXPECT_GE(one.upper, 3.0);
  EXPECT_NEAR(one.upper, 3.0, 1e-8);
  const auto none = largest_eigenvalue([](const at::Tensor& x) { return x; }, at::zeros({0}), {});
  EXPECT_EQ(none.lower, 0.0);
  EXPECT_EQ(none.iterations, 0);
}

TEST(Lanczos, SeedDecidesTheResult) {
  const at::Tensor H = with_eigenvalues(geometric(3.0, 0.1, 40));
  const auto run = [&](std::uint64_t seed) {
    return largest_eigenvalue(map_of(H), H[0], {.max_iter = 3, .tol = 0.0, .seed = seed}).lower;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Lanczos, IdentityMayReturnItsInput) {
  EXPECT_NEAR(largest_eigenvalue([](const at::Tensor& x) { return x; }, at::zeros({9}), {}).lower, 1.0, 1e-6);
}

TEST(Lanczos, MonitorMayStop) {
  const at::Tensor H = with_eigenvalues(geometric(3.0, 0.1, 40));
  const auto result = largest_eigenvalue(
      map_of(H), H[0], {.tol = 0.0, .monitor = [](const IterationInfo& info) { return info.iteration < 4; }});
  EXPECT_EQ(result.iterations, 4);
  EXPECT_EQ(result.reason, StopReason::stopped_by_monitor);
}

TEST(Lanczos, NotANumberIsAnError) {
  const auto H = [](const at::Tensor& x) { return x * std::numeric_limits<double>::quiet_NaN(); };
  EXPECT_THROW(largest_eigenvalue(H, at::zeros({4}), {}), Error);
}

TEST(Lanczos, BadOptionsAreNamed) {
  const auto run = [](const LanczosOptions& options) {
    largest_eigenvalue([](const at::Tensor& x) { return x; }, at::zeros({4}), options);
  };
  EXPECT_THROW(run({.max_iter = 0}), InvalidArgument);
  EXPECT_THROW(run({.tol = -1.0}), InvalidArgument);
  EXPECT_THROW(run({.failure_probability = 0.0}), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
