// SPDX-License-Identifier: BSD-3-Clause
// distribute() gives the distributed form of what it is handed, and each equals what one process computes.
#include "adjoin/distributed/distribute.hpp"

#include <type_traits>

#include "distributed/support.hpp"

namespace adjoin::test::distribute_test {
namespace {

constexpr std::int64_t n = 5;

class Distribute : public testing::Test {
 protected:
  static std::vector<std::shared_ptr<Matrix>> list() {
    std::vector<std::shared_ptr<Matrix>> operators;
    for (std::int64_t i = 0; i < n; ++i) {
      operators.push_back(std::make_shared<Matrix>(matrix_of(i, at::kDouble), image_shape));
    }
    return operators;
  }

  DistributedContext context;
  StackedLinearPhysics single = twin(n, at::kDouble);
  at::Tensor x = random_image(at::kDouble, 1);
  TensorList y = single.A(x);
};

TEST_F(Distribute, AStackKeepsItsOperators) {
  const DistributedStackedLinearPhysics stack = distribute(single, context);
  EXPECT_EQ(stack.num_operators(), n);
  expect_near(stack.A(x), y, 1e-12);
  expect_near(stack.A_adjoint(y), single.A_adjoint(y), 1e-12);
}

TEST_F(Distribute, AListOfLinearOperatorsIsALinearStack) {
  const auto stack = distribute(list(), context, {.reduction = Reduction::mean});
  static_assert(std::is_same_v<decltype(stack), const DistributedStackedLinearPhysics>);
  expect_near(stack.A_adjoint(y), single.A_adjoint(y) / static_cast<double>(n), 1e-12);
}

TEST_F(Distribute, AListOfAnyOperatorsIsAStack) {
  const auto operators = list();
  const auto stack = distribute(std::vector<PhysicsPtr>(operators.begin(), operators.end()), context);
  static_assert(std::is_same_v<decltype(stack), const DistributedStackedPhysics>);
  expect_near(stack.A(x), y, 1e-12);
}

TEST_F(Distribute, AFactoryMakesWhatTheRankOwns) {
  std::vector<std::int64_t> made;
  const auto stack = distribute(
      [&](std::int64_t index, at::Device, const Params& shared) {
        made.push_back(index);
        return std::make_shared<Matrix>(shared.get<double>("factor") * matrix_of(index, at::kDouble), image_shape);
      },
      context, n, {.factory_kwargs = {{"factor", 2.0}}});
  static_assert(std::is_same_v<decltype(stack), const DistributedStackedLinearPhysics>);
  EXPECT_EQ(made, stack.local_indices());
  expect_near(stack.A_adjoint(y), 2.0 * single.A_adjoint(y), 1e-12);
  const auto general = distribute(matrices(at::kDouble), context, n);
  static_assert(std::is_same_v<decltype(general), const DistributedStackedPhysics>);  // it says no more than Physics
  expect_near(general.A(x), y, 1e-12);
}

TEST_F(Distribute, ADenoiserIsAppliedInTiles) {
  const auto shrink = [](const at::Tensor& tiles, double sigma) { return tiles / (1.0 + sigma * sigma); };
  const DistributedProcessing tiled = distribute(shrink, context, {.patch_size = {2}, .overlap = {1}});
  expect_near(tiled(x, 0.5), x / 1.25, 1e-12);
  EXPECT_EQ(tiled.num_patches(), 4);
  const auto square = [](const at::Tensor& tiles) { return tiles * tiles; };
  expect_near(distribute(square, context)(x), x * x, 1e-12);
}

TEST_F(Distribute, EmptyListsAndEntriesAreTheSameErrorOnEveryRank) {
  expect_failure_everywhere(context, [&] { (void)distribute(std::vector<LinearPhysicsPtr>(), context); });
  std::vector<std::shared_ptr<Matrix>> operators = list();
  operators[3] = nullptr;
  EXPECT_EQ(expect_failure_everywhere(context, [&] { (void)distribute(operators, context); }).operator_index, 3);
}

}  // namespace
}  // namespace adjoin::test::distribute_test
