// SPDX-License-Identifier: BSD-3-Clause
// Results are their caller's own: each has memory of its own size, and may be kept, saved, changed, moved and used in
// any mode of autograd.
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "adjoin/operators/function.hpp"
#include "distributed/support.hpp"

namespace adjoin::test::results_test {
namespace {

constexpr std::int64_t n = 5;

class Results : public testing::TestWithParam<GatherStrategy> {
 protected:
  static PhysicsPtr scaling(std::int64_t index) {
    const auto scale = [index](const at::Tensor& t) { return t * static_cast<double>(index + 1); };
    return make_function(scale, scale);
  }

  DistributedContext context;
  DistributedStackedLinearPhysics stack{context,
                                        n,
                                        [](std::int64_t index, at::Device, const Params&) { return scaling(index); },
                                        {.gather_strategy = GetParam()}};
};

void expect_own_storage(const at::Tensor& result) {
  EXPECT_EQ(result.storage_offset(), 0);
  EXPECT_EQ(result.storage().nbytes(), result.nbytes());
}

TEST_P(Results, HaveStoragesOfTheirOwnSize) {
  for (const std::int64_t width : {3, 300}) {
    const at::Tensor x = random_tensor({1, 2, width, 301}, at::kFloat, 1);
    for (int call = 0; call < 2; ++call) {
      const TensorList y = stack.A(x);
      for (std::size_t i = 0; i < y.size(); ++i) {
        expect_own_storage(y[i]);
        for (std::size_t j = 0; j < i; ++j) {
          EXPECT_FALSE(y[i].is_alias_of(y[j]));
        }
      }
      expect_own_storage(stack.A_adjoint(y));
      expect_own_storage(stack.A_adjoint_A(x));
    }
  }
}

TEST_P(Results, ThatAreKeptStayAsTheyWere) {
  const at::Tensor x = random_tensor({1, 2, 3, 301}, at::kFloat, 1);
  std::vector<at::Tensor> kept;
  for (int call = 1; call <= 8; ++call) {
    const TensorList y = stack.A(x * call);
    kept.push_back(y[static_cast<std::size_t>(call % n)]);
    kept.push_back(stack.A_adjoint(y));
    for (int before = 1; before <= call; ++before) {
      const auto k = static_cast<std::size_t>(2 * (before - 1));
      expect_near(kept[k], x * static_cast<double>(before * (before % n + 1)), 1e-6);
      expect_near(kept[k + 1], x * (55.0 * before), 1e-6);
    }
  }
}

TEST_P(Results, ThatWereMovedElsewhereLeaveLaterOnesRight) {
  const at::Tensor x = random_tensor({1, 2, 3, 301}, at::kFloat, 1);
  for (int call = 1; call <= 6; ++call) {
    TensorList y = stack.A(x * call);
    for (std::int64_t i = 0; i < n; ++i) {
      expect_near(y[static_cast<std::size_t>(i)], x * static_cast<double>(call * (i + 1)), 1e-6);
    }
    at::Tensor image = stack.A_adjoint(y);
    expect_near(image, x * (55.0 * call), 1e-6);
    y[1].resize_({4, 2, 3, 301});  // which takes new memory
    y[1].fill_(-1.0);
    image.resize_({2, 2, 3, 301});
    image.fill_(-1.0);
  }
}

TEST_P(Results, OfInferenceModeServeTrainingLater) {
  const at::Tensor x = random_tensor({1, 2, 3, 4}, at::kDouble, 1);
  TensorList y;
  {
    const c10::InferenceMode inference;
    y = stack.A(x);
    (void)stack.forward(x);
    (void)stack.A_adjoint(y);
    (void)stack.A_adjoint_A(x);
  }
  const at::Tensor z = x.clone().requires_grad_();
  const auto gradient = [&](const at::Tensor& value) { return torch::autograd::grad({value}, {z})[0]; };
  const auto sum_of = [](const TensorList& list) {
    at::Tensor sum;
    for (const at::Tensor& t : list) {
      sum = sum.defined() ? sum + t.sum() : t.sum();
    }
    return sum;
  };
  expect_near(gradient(sum_of(stack.A(z))), at::full_like(x, 15.0), 1e-12);
  expect_near(gradient(sum_of(stack.forward(z))), at::full_like(x, 15.0), 1e-12);
  expect_near(gradient(stack.A_adjoint_A(z).sum()), at::full_like(x, 55.0), 1e-12);
  expect_near(gradient(stack.A_adjoint(TensorList(std::vector<at::Tensor>(n, z))).sum()), at::full_like(x, 15.0),
              1e-12);
  expect_near(stack.A_adjoint(y), 55.0 * x, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Strategies, Results,
                         testing::Values(GatherStrategy::naive, GatherStrategy::concatenated,
                                         GatherStrategy::broadcast),
                         strategy_name);

}  // namespace
}  // namespace adjoin::test::results_test
