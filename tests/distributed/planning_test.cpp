// SPDX-License-Identifier: BSD-3-Clause
// Shapes and dtypes may change between calls, on all ranks or on some: all ranks plan anew together.
#include "adjoin/operators/function.hpp"
#include "distributed/support.hpp"

namespace adjoin::test::planning_test {
namespace {

constexpr std::int64_t n = 5;

class Planning : public testing::TestWithParam<GatherStrategy> {
 protected:
  // Scalings work on images of any shape and dtype.
  DistributedContext context;
  DistributedStackedLinearPhysics stack{context,
                                        n,
                                        [](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
                                          const auto scale = [index](const at::Tensor& t) {
                                            return t * static_cast<double>(index + 1);
                                          };
                                          return make_function(scale, scale);
                                        },
                                        {.gather_strategy = GetParam()}};
};

TEST_P(Planning, ImagesMayChangeShapeAndDtypeFromCallToCall) {
  for (int round = 0; round < 2; ++round) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kComplexFloat}) {
      for (const std::vector<std::int64_t>& sizes :
           std::vector<std::vector<std::int64_t>>{{1, 1, 8, 8}, {2, 3, 5}, {1}, {3, 0}, {}}) {
        const at::Tensor x = random_tensor(sizes, dtype, 3);
        const TensorList y = stack.A(x);
        for (std::int64_t i = 0; i < n; ++i) {
          expect_near(y[static_cast<std::size_t>(i)], x * static_cast<double>(i + 1), 1e-6);
        }
        expect_near(stack.A_adjoint(y), 55.0 * x, 1e-6);
        expect_near(stack.A_adjoint_A(x), 55.0 * x, 1e-6);
      }
    }
  }
}

TEST_P(Planning, MeasurementsOfOneOperatorMayChangeShapeAlone) {
  const auto width = std::make_shared<std::int64_t>(4);
  const DistributedStackedLinearPhysics varying(context, n,
                                                [=](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
                                                  const auto A = [=](const at::Tensor& t) {
                                                    return index == 1 ? t.narrow(-1, 0, *width).clone() : t.clone();
                                                  };
                                                  return make_function(A, [](const at::Tensor& t) { return t; });
                                                },
                                                {.gather_strategy = GetParam()});
  const at::Tensor x = random_tensor({1, 8}, at::kFloat, 3);
  for (const std::int64_t w : {4, 4, 7, 2}) {
    *width = w;
    const TensorList y = varying.A(x);
    expect_near(y[1], x.narrow(-1, 0, w), 0.0);
    expect_near(y[4], x, 0.0);
  }
}

TEST_P(Planning, OperatorsMayHaveMeasurementsOfUnlikeDtypes) {
  const std::vector<at::ScalarType> dtypes = {at::kFloat, at::kDouble, at::kComplexFloat, at::kHalf, at::kBFloat16};
  const DistributedStackedLinearPhysics mixed(
      context, n,
      [&](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
        const at::ScalarType dtype = dtypes[static_cast<std::size_t>(index)];
        return make_function([=](const at::Tensor& t) { return t.to(dtype); },
                             [=](const at::Tensor& t) { return index < 2 ? t : at::real(t.to(at::kComplexFloat)); });
      },
      {.gather_strategy = GetParam()});
  const at::Tensor x = random_tensor({2, 3}, at::kFloat, 3);
  const TensorList y = mixed.A(x);
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(y[i].scalar_type(), dtypes[i]);
    expect_near(at::real(y[i].to(at::kComplexDouble)), at::real(x.to(dtypes[i]).to(at::kComplexDouble)), 0.0);
  }
  // The double contribution of operator 1 decides the dtype of the sum.
  expect_near(mixed.A_adjoint(y), 5.0 * x.to(at::kDouble), 1e-2);
}

TEST_P(Planning, PartsOfUnlikeShapesAreAnErrorEverywhereAndTheNextCallWorks) {
  const auto broken = std::make_shared<bool>(false);
  const DistributedStackedLinearPhysics unlike(
      context, n,
      [=](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
        return make_function([](const at::Tensor& t) { return t; },
                             [=](const at::Tensor& t) { return *broken && index == 1 ? t.flatten() : t; });
      },
      {.gather_strategy = GetParam()});
  const at::Tensor x = random_tensor({2, 3}, at::kFloat, 3);
  const TensorList y = unlike.A(x);
  for (int round = 0; round < 2; ++round) {
    *broken = true;
    expect_failure_everywhere(context, [&] { (void)unlike.A_adjoint(y); });
    *broken = false;
    expect_near(unlike.A_adjoint(y), 5.0 * x, 1e-6);
  }
}

TEST_P(Planning, ParametersReachTheOperators) {
  const Params params{{"matrix", at::ones({2, image_size}, at::kFloat)}};
  const DistributedStackedLinearPhysics dense(context, n, matrices(at::kFloat), {.gather_strategy = GetParam()});
  const at::Tensor x = random_image(at::kFloat, 1);
  const TensorList y = dense.A(x, {.params = params});
  EXPECT_EQ(y[3].sizes(), (std::vector<std::int64_t>{1, 2}));
  expect_near(dense.A_adjoint(y, {.params = params}), twin(n, at::kFloat).A_adjoint(y, params), 1e-5);
  expect_near(dense.A(x), twin(n, at::kFloat).A(x), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Strategies, Planning,
                         testing::Values(GatherStrategy::naive, GatherStrategy::concatenated,
                                         GatherStrategy::broadcast),
                         strategy_name);

TEST(Factory, IsCalledForOwnedOperatorsOnlyWithWhatRankZeroShares) {
  DistributedContext context;
  std::vector<std::int64_t> made;
  const bool first = context.rank() == 0;
  const Params shared{{"gain", first ? 2.5 : -1.0},
                      {"count", std::int64_t{first ? 3 : -1}},
                      {"flag", first},
                      {"name", std::string(first ? "phantom" : "ignored")},
                      {"sizes", std::vector<std::int64_t>{first ? 4 : 0, 5}},
                      {"levels", std::vector<double>{first ? 0.5 : 0.0}},
                      {"labels", std::vector<std::string>{first ? "a" : "b", "c"}},
                      {"kernel", random_tensor({2, 3}, at::kComplexDouble, first ? 7 : 8)},
                      {"maps", TensorList{random_tensor({4}, at::kFloat, first ? 9 : 8), at::ones({0, 2}, at::kInt)}}};
  const DistributedStackedLinearPhysics stack(
      context, n,
      [&](std::int64_t index, at::Device device, const Params& received) -> PhysicsPtr {
        made.push_back(index);
        EXPECT_EQ(device, context.device());
        EXPECT_EQ(received.get<double>("gain"), 2.5);
        EXPECT_EQ(received.get<std::int64_t>("count"), 3);
        EXPECT_EQ(received.get<bool>("flag"), true);
        EXPECT_EQ(received.get<std::string>("name"), "phantom");
        EXPECT_EQ(received.get<std::vector<std::int64_t>>("sizes"), (std::vector<std::int64_t>{4, 5}));
        EXPECT_EQ(received.get<std::vector<double>>("levels"), std::vector<double>{0.5});
        EXPECT_EQ(received.get<std::vector<std::string>>("labels"), (std::vector<std::string>{"a", "c"}));
        expect_near(received.get<at::Tensor>("kernel"), random_tensor({2, 3}, at::kComplexDouble, 7), 0.0);
        expect_near(received.get<TensorList>("maps")[0], random_tensor({4}, at::kFloat, 9), 0.0);
        EXPECT_EQ(received.get<TensorList>("maps")[1].sizes(), (std::vector<std::int64_t>{0, 2}));
        return std::make_shared<Matrix>(matrix_of(index, at::kFloat), image_shape);
      },
      {.factory_kwargs = shared});
  EXPECT_EQ(made, context.local_indices(n));
  EXPECT_EQ(made, stack.local_indices());
}

TEST(Sharding, RoundRobinDealsOperatorsInTurn) {
  const Sharding sharding = Sharding::round_robin(5, 3);
  EXPECT_EQ(sharding.items_of(0), (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(sharding.items_of(1), (std::vector<std::int64_t>{1, 4}));
  EXPECT_EQ(sharding.items_of(2), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(sharding.owner(4), 1);
}

TEST(Sharding, ByCostGivesTheMostExpensiveFirstToTheLeastLoaded) {
  const Sharding sharding = Sharding::by_cost(std::vector<double>{1, 8, 2, 5, 4}, 2);
  EXPECT_EQ(sharding.items_of(0), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(sharding.items_of(1), (std::vector<std::int64_t>{0, 3, 4}));
  EXPECT_THROW(Sharding::by_cost(std::vector<double>{1.0, 0.0}, 2), InvalidArgument);
}

TEST(Sharding, ByCostGivesTheResultsOfTheTwin) {
  DistributedContext context;
  const DistributedStackedLinearPhysics stack(context, n, matrices(at::kDouble), {.costs = {1, 8, 2, 5, 4}});
  const StackedLinearPhysics reference = twin(n, at::kDouble);
  const at::Tensor x = random_image(at::kDouble, 1);
  expect_near(stack.A(x), reference.A(x), 1e-12);
  expect_near(stack.A_adjoint(reference.A(x)), reference.A_adjoint_A(x), 1e-12);
}

}  // namespace
}  // namespace adjoin::test::planning_test
