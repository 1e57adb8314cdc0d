// SPDX-License-Identifier: BSD-3-Clause
// Solvers whose images are sharded: merged inner products, and what is as accurate for all that.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "adjoin/solvers/krylov.hpp"
#include "adjoin/solvers/lanczos.hpp"
#include "support.hpp"

namespace adjoin::sharded_image_test {
namespace {

using testing::CountingSum;
using testing::geometric;
using testing::map_of;
using testing::randn;
using testing::relative_error;
using testing::with_eigenvalues;

ShardedImage whole(const at::Tensor& x, std::shared_ptr<ScalarSum> reducer = nullptr) {
  ImageSpace space = evenly_cut(x.sizes(), {}, 0, 1);
  space.reducer = std::move(reducer);
  return {x.reshape({-1}), std::make_shared<const ImageSpace>(std::move(space))};
}

LinearMap<ShardedImage, ShardedImage> on_slabs(const at::Tensor& H) {
  return [H](const ShardedImage& x) -> ShardedImage { return {at::matmul(H, x.local), x.space}; };
}

TEST(ShardedSolvers, ConjugateGradientsMergeTheirInnerProducts) {
  const at::Tensor H = with_eigenvalues(geometric(1e-2, 1.0, 60));
  const at::Tensor b = randn({60});
  const auto count = [&](int iterations) {
    const auto sum = std::make_shared<CountingSum>();
    (void)conjugate_gradient<ShardedImage>(on_slabs(H), whole(b, sum), {.max_iter = iterations, .tol = 0.0});
    return sum->calls;
  };
  EXPECT_EQ(count(20) - count(10), 10);
}

TEST(ShardedSolvers, TheMergedRecurrenceLosesNoAccuracy) {
  for (const double condition : {1e2, 1e6}) {
    for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexDouble}) {
      const at::Tensor H = with_eigenvalues(geometric(1.0 / condition, 1.0, 80), dtype);
      const at::Tensor x = randn({80}, dtype, 5);
      const at::Tensor b = at::matmul(H, x);
      const SolverOptions options{.max_iter = 2000, .tol = dtype == at::kFloat ? 1e-5 : 1e-12};
      const auto plain = conjugate_gradient<at::Tensor>(map_of(H), b, options);
      const auto merged = conjugate_gradient<ShardedImage>(on_slabs(H), whole(b), options);
      EXPECT_EQ(merged.reason, StopReason::converged);
      EXPECT_LE(merged.iterations, plain.iterations * 11 / 10 + 2) << condition << dtype;
      const double residual = (b - at::matmul(H, merged.x.local)).norm().item<double>() / b.norm().item<double>();
      EXPECT_LE(residual, 10 * options.tol) << condition << dtype;
      // What the recurrence says of the residual is what it is.
      EXPECT_NEAR(merged.relative_residuals[0] / residual, 1.0, dtype == at::kFloat ? 0.9 : 0.5);
    }
  }
}

// ‖r‖ falls by more than the prediction has digits.
TEST(ShardedSolvers, AnIterationThatEndsInTheSolution) {
  const at::Tensor b = randn({30});
  const auto result = conjugate_gradient<ShardedImage>(
      [](const ShardedImage& x) -> ShardedImage { return {2 * x.local, x.space}; }, whole(b), {.tol = 1e-14});
  EXPECT_EQ(result.iterations, 1);
  EXPECT_LE(relative_error(result.x.local, b / 2), 1e-15);
}

TEST(ShardedSolvers, EqualThoseOnTensors) {
  const at::Tensor H = with_eigenvalues(geometric(0.1, 1.0, 40));
  const at::Tensor b = randn({40});
  const at::Tensor x0 = randn({40}, at::kDouble, 3);
  const SolverOptions options{.max_iter = 7, .tol = 0.0};
  const auto compare = [&](const auto& plain, const auto& sharded) {
    EXPECT_LE(relative_error(sharded.x.local, plain.x), 1e-12);
    EXPECT_EQ(sharded.iterations, plain.iterations);
  };
  for (const bool started : {false, true}) {
    const std::optional<at::Tensor> start = started ? std::optional(x0) : std::nullopt;
    const std::optional<ShardedImage> slab = started ? std::optional(whole(x0)) : std::nullopt;
    compare(conjugate_gradient<at::Tensor>(map_of(H), b, options, start),
            conjugate_gradient<ShardedImage>(on_slabs(H), whole(b), options, slab));
    compare(bicgstab<at::Tensor>(map_of(H), b, options, start),
            bicgstab<ShardedImage>(on_slabs(H), whole(b), options, slab));
    compare(minres<at::Tensor>(map_of(H), b, options, start),
            minres<ShardedImage>(on_slabs(H), whole(b), options, slab));
  }
  EXPECT_NEAR(largest_eigenvalue(on_slabs(H), whole(b), {.tol = 0.0}).lower,
              largest_eigenvalue(map_of(H), b, {.tol = 0.0}).lower, 1e-12);
}

}  // namespace
}  // namespace adjoin::sharded_image_test
