// SPDX-License-Identifier: BSD-3-Clause
// Blurs whose normal operators add up to one that the ranks compute together.
#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/physics/algebra.hpp"
#include "distributed/support.hpp"

namespace adjoin::test::joint_normal_test {
namespace {

constexpr std::int64_t n = 5;

LinearPhysicsPtr circular_blur(std::int64_t index) {
  const double sigma = 1.0 + 0.25 * static_cast<double>(index);
  return std::make_shared<Blur>(gaussian_kernel({sigma, sigma + 0.5}, 10.0),
                                BlurOptions{.padding = Padding::Circular, .method = ConvolutionMethod::Fft});
}

PhysicsFactory blurs() {
  return [](auto index, auto /*device*/, const auto& /*shared*/) { return circular_blur(index); };
}

StackedLinearPhysics whole() {
  std::vector<LinearPhysicsPtr> all;
  for (std::int64_t i = 0; i < n; ++i) {
    all.push_back(circular_blur(i));
  }
  return StackedLinearPhysics(all, {.fuse = false});
}

class JointNormals : public testing::Test {
 protected:
  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, blurs()};
};

at::Tensor image(at::IntArrayRef sizes, at::ScalarType dtype) { return random_tensor(sizes, dtype, 3); }

TEST_F(JointNormals, EqualThePlainSumForAnyShapeAndDtype) {
  const StackedLinearPhysics plain = whole();
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    const double tolerance = at::toRealValueType(dtype) == at::kFloat ? 1e-6 : 1e-13;
    for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{1, 3, 32, 40}, {2, 3, 33, 31}, {1, 1, 32, 40}}) {
      const at::Tensor x = image(sizes, dtype);
      for (int call = 0; call < 2; ++call) {
        expect_near(stack.A_adjoint_A(x), plain.A_adjoint_A(x), tolerance);
      }
    }
  }
}

TEST_F(JointNormals, FollowAnUpdateOnOneRankOnly) {
  const at::Tensor x = image({1, 3, 32, 40}, at::kDouble);
  (void)stack.A_adjoint_A(x);
  const at::Tensor filter = gaussian_kernel({3.0, 1.0}).to(at::kDouble);
  if (context.rank() == 0) {
    stack.local_operators()[0].update({{"filter", filter}});
  }
  const StackedLinearPhysics plain = whole();
  plain[0].update({{"filter", filter}});
  expect_near(stack.A_adjoint_A(x), plain.A_adjoint_A(x), 1e-13);
}

TEST_F(JointNormals, FollowAChangeInPlaceOnOneRankOnly) {
  const at::Tensor x = image({1, 3, 32, 40}, at::kDouble);
  const StackedLinearPhysics plain = whole();
  const auto double_first_filter = [](const StackedLinearPhysics& operators) {
    at::Tensor(dynamic_cast<const Blur&>(operators[0]).filter()).mul_(2.0);
  };
  for (int call = 0; call < 3; ++call) {
    expect_near(stack.A_adjoint_A(x), plain.A_adjoint_A(x), 1e-6);
    if (context.rank() == 0) {
      double_first_filter(stack.local_operators());
    }
    double_first_filter(plain);
  }
}

TEST_F(JointNormals, AreNotLostByAnImageThatIsRefused) {
  const at::Tensor x = image({1, 3, 64, 64}, at::kDouble);
  const auto messages = [&] {
    for (int call = 0; call < 2; ++call) {
      (void)stack.A_adjoint_A(x);
    }
    context.communicator().reset_counters();
    const at::Tensor result = stack.A_adjoint_A(x);
    return std::pair(result, context.communicator().counters().collectives);
  };
  const auto [before, messages_before] = messages();
  EXPECT_THROW((void)stack.A_adjoint_A(image({1, 3, 4, 4}, at::kDouble)), Error);  // smaller than the kernels
  const auto [after, messages_after] = messages();
  EXPECT_TRUE(at::equal(after, before));
  EXPECT_EQ(messages_after, messages_before);
}

TEST_F(JointNormals, WeighTheMean) {
  const DistributedStackedLinearPhysics mean(context, n, blurs(), {.reduction = Reduction::mean});
  const at::Tensor x = image({1, 3, 32, 40}, at::kDouble);
  expect_near(mean.A_adjoint_A(x), whole().A_adjoint_A(x) / static_cast<double>(n), 1e-13);
}

TEST_F(JointNormals, GiveWayWhereOneRankHasParametersOrNoFusedForm) {
  const at::Tensor x = image({1, 3, 32, 40}, at::kDouble);
  const at::Tensor expected = whole().A_adjoint_A(x);
  const DistributedStackedLinearPhysics mixed(context, n, [](auto index, auto /*device*/, const auto& /*shared*/) {
    return index == 0 ? scale(1.0, circular_blur(0)) : circular_blur(index);
  });
  const at::Tensor filter = gaussian_kernel({3.0, 1.0}).to(at::kDouble);
  at::Tensor with_filter = at::zeros_like(x);  // in place of those of rank 0
  const StackedLinearPhysics plain = whole();
  for (std::size_t i = 0; i < n; ++i) {
    const bool first_rank = stack.sharding().owner(static_cast<std::int64_t>(i)) == 0;
    with_filter += plain[i].A_adjoint_A(x, first_rank ? Params{{"filter", filter}} : Params{});
  }
  for (int call = 0; call < 3; ++call) {
    const Params params = call == 1 && context.rank() == 0 ? Params{{"filter", filter}} : Params{};
    expect_near(stack.A_adjoint_A(x, {.params = params}), call == 1 ? with_filter : expected, 1e-13);
    expect_near(mixed.A_adjoint_A(x), expected, 1e-13);
  }
}

TEST_F(JointNormals, AreOneReductionAndNoneWithoutGather) {
  const at::Tensor x = image({1, 3, 32, 40}, at::kDouble);
  for (int call = 0; call < 2; ++call) {
    (void)stack.A_adjoint_A(x);
  }
  context.communicator().reset_counters();
  (void)stack.A_adjoint_A(x);
  EXPECT_EQ(context.communicator().counters().collectives, context.size() == 1 ? 0 : 1);
  const at::Tensor part = stack.A_adjoint_A(x, {.gather = false});
  EXPECT_EQ(context.communicator().counters().collectives, context.size() == 1 ? 0 : 1);
  expect_near(part, stack.local_operators().A_adjoint_A(x), 1e-13);
}

// Large results lie where the other ranks see them: they are the caller's own all the same.
TEST_F(JointNormals, LargeResultsMayBeKeptAndChanged) {
  const at::Tensor x = image({1, 3, 300, 300}, at::kDouble);
  const StackedLinearPhysics plain = whole();
  const TensorList measurements = plain.A(x);
  const at::Tensor normal = plain.A_adjoint_A(x);
  std::vector<at::Tensor> kept;
  for (int call = 1; call <= 6; ++call) {
    const TensorList y = stack.A(x * call);
    const at::Tensor z = stack.A_adjoint_A(x * call);
    expect_near(y, measurements * call, 1e-12);
    expect_near(z, normal * call, 1e-12);
    expect_near(stack.A_adjoint(y), normal * call, 1e-12);
    for (const at::Tensor& before : kept) {
      EXPECT_EQ(before.min().item<double>(), context.rank());
      EXPECT_EQ(before.max().item<double>(), context.rank());
    }
    kept.insert(kept.end(), {y[0], y[n - 1], z});
    for (const at::Tensor& result : kept) {
      result.fill_(context.rank());
    }
  }
}

// An image that an operator refuses, or a first one, leaves the messages of later calls as they were.
TEST_F(JointNormals, RefusedImagesLeaveLaterCallsAsTheyWere) {
  const at::Tensor x = image({1, 3, 32, 40}, at::kDouble);
  const auto messages = [&] {
    for (int call = 0; call < 3; ++call) {
      (void)stack.A_adjoint_A(x);
    }
    context.communicator().reset_counters();
    expect_near(stack.A_adjoint_A(x), whole().A_adjoint_A(x), 1e-13);
    return std::pair(context.communicator().counters().gathers, context.communicator().counters().reductions);
  };
  const at::Tensor smaller_than_the_kernels = at::ones({1, 3, 3, 3}, at::kDouble);
  EXPECT_THROW((void)stack.A_adjoint_A(smaller_than_the_kernels), Error);
  const auto fresh = messages();
  EXPECT_THROW((void)stack.A_adjoint_A(smaller_than_the_kernels), Error);
  EXPECT_THROW((void)stack.A_adjoint_A(context.rank() == 0 ? smaller_than_the_kernels : x), Error);
  EXPECT_EQ(messages(), fresh);
  EXPECT_EQ(fresh, std::pair(std::int64_t{context.size() > 1 ? 1 : 0}, std::int64_t{0}));  // each rank's images
}

TEST_F(JointNormals, BadImagesAreTheSameErrorOnEveryRankAndTheNextCallWorks) {
  const at::Tensor x = image({1, 3, 32, 40}, at::kDouble);
  (void)stack.A_adjoint_A(x);
  EXPECT_THROW((void)stack.A_adjoint_A(context.rank() == 0 ? at::Tensor() : x), Error);
  expect_near(stack.A_adjoint_A(x), whole().A_adjoint_A(x), 1e-13);
  EXPECT_THROW((void)stack.A_adjoint_A(at::ones({3}, at::kDouble)), Error);
  expect_near(stack.A_adjoint_A(x), whole().A_adjoint_A(x), 1e-13);
}

}  // namespace
}  // namespace adjoin::test::joint_normal_test
