// SPDX-License-Identifier: BSD-3-Clause
// distribute() of data fidelities: one, one for each operator, or a factory.
#include "adjoin/optim/distribute.hpp"

#include "optim/support.hpp"

namespace adjoin::test::distribute_test {
namespace {

constexpr std::int64_t n = 5;

class DistributeFidelity : public testing::Test {
 protected:
  DistributedContext context;
  StackedLinearPhysics single = twin(n, at::kDouble);
  DistributedStackedLinearPhysics stack = distribute(single, context);
  at::Tensor x = random_image(at::kDouble, 1);
  TensorList y = single.A(random_image(at::kDouble, 2));
};

TEST_F(DistributeFidelity, OneForAllOperators) {
  const StackedDataFidelity twin_of_f(single, std::make_shared<L2>(0.5));
  expect_near(distribute(L2(0.5), stack).grad(x, y), twin_of_f.grad(x, y), 1e-12);
  expect_near(distribute(std::make_shared<L2>(0.5), stack).grad(x, y), twin_of_f.grad(x, y), 1e-12);
  expect_near(distribute(L2(0.5), stack, {.reduction = Reduction::mean}).grad(x, y), twin_of_f.grad(x, y) / 5.0, 1e-12);
}

TEST_F(DistributeFidelity, OneForEachOperatorOrMade) {
  std::vector<DataFidelityPtr> each;
  for (std::int64_t i = 0; i < n; ++i) {
    each.push_back(std::make_shared<L2>(0.5 + 0.1 * static_cast<double>(i)));
  }
  const at::Tensor expected = StackedDataFidelity(single, each).grad(x, y);
  expect_near(distribute(each, stack).grad(x, y), expected, 1e-12);
  const auto factory = [&](std::int64_t index, at::Device) { return each[static_cast<std::size_t>(index)]; };
  expect_near(distribute(factory, stack).grad(x, y), expected, 1e-12);
  each.pop_back();
  expect_failure_everywhere(context, [&] { (void)distribute(each, stack); });
}

}  // namespace
}  // namespace adjoin::test::distribute_test
