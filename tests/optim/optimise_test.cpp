// SPDX-License-Identifier: BSD-3-Clause
// The iteration loop: stop rules, history, monitors, on one rank and on many.
#include "adjoin/optim/optimise.hpp"

#include <limits>

#include "adjoin/optim/distributed_data_fidelity.hpp"
#include "optim/support.hpp"

namespace adjoin::test {
namespace {

// x ← x/2.
Iterate halve(const at::Tensor& x, int /*iteration*/) { return {.x = 0.5 * x}; }

TEST(Optimise, StopsAtTheLimitOrWhenTheChangeIsSmall) {
  const at::Tensor x0 = at::full({2}, 8.0, at::kDouble);
  const OptimResult limited = optimise("test", x0, halve, {.max_iter = 3});
  EXPECT_EQ(limited.reason, StopReason::max_iterations);
  EXPECT_EQ(limited.iterations, 3);
  expect_near(limited.x, at::full({2}, 1.0, at::kDouble), 1e-15);
  const OptimResult converged = optimise(
      "test", x0, [](const at::Tensor& x, int k) { return Iterate{.x = x + std::pow(0.1, k)}; }, {.tol = 1e-4});
  EXPECT_EQ(converged.reason, StopReason::converged);
  EXPECT_LE(converged.history.back().change, 1e-4);
  EXPECT_GT(converged.history[converged.history.size() - 2].change, 1e-4);
  EXPECT_EQ(optimise("test", x0, halve, {.max_iter = 0}).iterations, 0);
}

TEST(Optimise, HistoryRecordsEveryIteration) {
  const at::Tensor x0 = at::full({4}, 8.0, at::kDouble);
  const OptimResult result =
      optimise("test", x0, [](const at::Tensor& x, int k) { return Iterate{.x = 0.5 * x, .objective = 10.0 - k}; },
               {.max_iter = 3, .truth = at::zeros({4}, at::kDouble), .peak = 2.0});
  ASSERT_EQ(result.history.size(), 3U);
  EXPECT_EQ(result.history[1].iteration, 2);
  EXPECT_EQ(result.history[1].objective, 8.0);
  EXPECT_NEAR(result.history[1].change, 1.0, 1e-15);  // from 4 to 2
  EXPECT_NEAR(result.history[1].psnr, 0.0, 1e-12);    // rms error 2 of peak 2
  EXPECT_GE(result.history[2].seconds, result.history[0].seconds);
  EXPECT_TRUE(std::isnan(optimise("test", x0, halve, {.max_iter = 1}).history[0].psnr));
}

TEST(Optimise, HistoryAsJson) {
  const IterationRecord first{.iteration = 1, .seconds = 0.5, .change = 0.1, .objective = 2.0};
  const IterationRecord second{.iteration = 2, .seconds = 1.0, .change = 0.25, .psnr = 30.5};
  EXPECT_EQ(to_json({first, second}),
            "[{\"iteration\": 1, \"seconds\": 0.5, \"change\": 0.10000000000000001, \"objective\": 2, "
            "\"psnr\": null},\n {\"iteration\": 2, \"seconds\": 1, \"change\": 0.25, \"objective\": null, "
            "\"psnr\": 30.5}]");
  EXPECT_EQ(to_json({}), "[]");
}

TEST(Optimise, AMonitorMayStop) {
  const OptimResult result =
      optimise("test", at::ones({2}), halve,
               {.monitor = [](const IterationRecord& r, const at::Tensor&) { return r.iteration < 4; }});
  EXPECT_EQ(result.reason, StopReason::stopped_by_monitor);
  EXPECT_EQ(result.iterations, 4);
}

TEST(Optimise, AMonitorThatStopsOrThrowsOnOneRankDoesSoOnAll) {
  DistributedContext context;
  const DistributedStackedLinearPhysics stack(context, 4, matrices(at::kFloat));
  const DistributedDataFidelity f(stack, std::make_shared<L2>());
  const auto run = [&](const OptimMonitor& monitor) {
    return optimise("test", at::ones({2}), halve, {.monitor = monitor},
                    [&](const std::function<bool()>& question) { return f.on_all_ranks(question); });
  };
  const bool odd = context.rank() + 1 == context.size();
  EXPECT_EQ(run([&](const IterationRecord& r, const at::Tensor&) { return !odd || r.iteration < 3; }).iterations, 3);
  const RankFailure failure = expect_failure_everywhere(context, [&] {
    run([&](const IterationRecord&, const at::Tensor&) -> bool {
      return odd ? throw std::runtime_error("the disk is full") : true;
    });
  });
  EXPECT_EQ(failure.reason, "the disk is full");
}

TEST(Optimise, BadOptionsAreErrors) {
  const at::Tensor x0 = at::ones({2});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(optimise("test", x0, halve, {.max_iter = -1}), InvalidArgument);
  EXPECT_THROW(optimise("test", x0, halve, {.tol = -1.0}), InvalidArgument);
  EXPECT_THROW(optimise("test", x0, halve, {.tol = nan}), InvalidArgument);
  EXPECT_THROW(optimise("test", x0, halve, {.lambda = 0.0}), InvalidArgument);
  EXPECT_THROW(optimise("test", x0, halve, {.step = -0.5}), InvalidArgument);
  EXPECT_THROW(optimise("test", x0, halve, {.peak = 0.0}), InvalidArgument);
  EXPECT_THROW(optimise("test", {}, halve), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test
