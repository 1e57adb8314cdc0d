// SPDX-License-Identifier: BSD-3-Clause
// In the steady state a call sends exactly what it must, and not one message more.
#include "distributed/support.hpp"

namespace adjoin::test::message_count_test {
namespace {

constexpr std::int64_t n = 7;

class Messages : public testing::Test {
 protected:
  // Collectives of one call in the steady state.
  template <class Call>
  MessageCounters count(Call&& call) {
    call();
    call();
    context.communicator().reset_counters();
    call();
    return context.communicator().counters();
  }

  std::int64_t expected(std::int64_t collectives) const { return context.size() == 1 ? 0 : collectives; }

  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(at::kDouble)};
  at::Tensor x = random_image(at::kDouble, 1);
  TensorList y = stack.A(x);
  std::int64_t image_bytes = static_cast<std::int64_t>(x.nbytes());
};

TEST_F(Messages, AdjointLikeCallsAreOneReductionOfTheImagesSize) {
  const auto check_one_image = [&](const MessageCounters& counted) {
    EXPECT_EQ(counted.collectives, expected(1));
    EXPECT_EQ(counted.reductions, expected(1));
    if (context.size() > 1) {
      EXPECT_GE(counted.bytes, image_bytes);
      EXPECT_LE(counted.bytes, image_bytes + 64);
    }
  };
  check_one_image(count([&] { (void)stack.A_adjoint(y); }));
  check_one_image(count([&] { (void)stack.A_vjp(x, y); }));
  check_one_image(count([&] { (void)stack.A_adjoint_A(x); }));
}

TEST_F(Messages, ASumOfMeasurementsIsOneReduction) {
  const DistributedStackedLinearPhysics alike(context, n, [](std::int64_t index, at::Device, const Params&) {
    return std::make_shared<Matrix>(matrix_of(4 * index, at::kDouble), image_shape);
  });
  const MessageCounters counted = count([&] { (void)alike.A_reduced(x, Reduction::sum); });
  EXPECT_EQ(counted.collectives, expected(1));
  EXPECT_EQ(counted.reductions, expected(1));
}

TEST_F(Messages, AWithGatherIsOneGather) {
  const MessageCounters counted = count([&] { (void)stack.A(x); });
  EXPECT_EQ(counted.collectives, expected(1));
  EXPECT_EQ(counted.gathers, expected(1));
}

TEST_F(Messages, BroadcastStrategyIsOneBroadcastAnOperator) {
  const DistributedStackedLinearPhysics streaming(context, n, matrices(at::kDouble),
                                                  {.gather_strategy = GatherStrategy::broadcast});
  EXPECT_EQ(count([&] { (void)streaming.A(x); }).collectives, expected(n));
}

TEST_F(Messages, CallsWithoutGatherSendNothing) {
  const CallOptions local{.gather = false};
  EXPECT_EQ(count([&] {
              (void)stack.A(x, local);
              (void)stack.A_sharded(x);
              (void)stack.A_adjoint(y, local);
              (void)stack.A_vjp(x, y, local);
              (void)stack.A_adjoint_A(x, local);
              (void)stack.A_adjoint_each(y, local);
              (void)stack.A_dagger(y, {.gather = false});
              (void)stack.compute_sqnorm(x, {.gather = false});
            }).collectives,
            0);
}

TEST_F(Messages, AAdjointWithoutGatherIsTheInnerReductionAlone) {
  EXPECT_EQ(count([&] { (void)stack.A_A_adjoint(y, {.gather = false}); }).collectives, expected(1));
  EXPECT_EQ(count([&] { (void)stack.A_A_adjoint(y); }).collectives, expected(2));
}

// Counts of an iteration, as the difference between solves of 6 and of 16 iterations.
TEST_F(Messages, AnIterationIsOneImageReductionAndAtMostOneSmallOne) {
  const TensorList noisy = [&] {
    TensorList list;
    for (std::size_t i = 0; i < y.size(); ++i) {
      list.push_back(y[i] + random_tensor(y[i].sizes(), at::kDouble, 50 + i));
    }
    return list;
  }();
  const auto solve = [&](Solver solver, int iterations) {
    return count([&] {
      (void)stack.A_dagger(noisy, {.solver = solver, .max_iter = iterations, .tol = 0.0, .local_only = false});
    });
  };
  struct Expected {
    Solver solver;
    std::int64_t image;
    std::int64_t small;
  };
  for (const auto& [solver, image, small] : {Expected{Solver::CG, 1, 0}, Expected{Solver::LSQR, 1, 1},
                                             Expected{Solver::LSMR, 1, 1}, Expected{Solver::MINRES, 1, 0}}) {
    const MessageCounters few = solve(solver, 6);
    const MessageCounters many = solve(solver, 16);
    EXPECT_EQ(many.collectives - few.collectives, expected(10 * (image + small))) << to_string(solver);
    EXPECT_LE(many.bytes - few.bytes, 10 * (image * (image_bytes + 24) + small * 64)) << to_string(solver);
  }
}

TEST_F(Messages, NormBoundsSendAFewNumbersOnly) {
  const MessageCounters counted = count([&] { (void)stack.sqnorm_bounds(x); });
  EXPECT_EQ(counted.collectives, expected(1));
  EXPECT_LE(counted.bytes, 256);
}

}  // namespace
}  // namespace adjoin::test::message_count_test
