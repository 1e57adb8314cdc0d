// SPDX-License-Identifier: BSD-3-Clause
// Measured costs balance a stack of very unequal operators.
#include "adjoin/distributed/measure_costs.hpp"

#include <thread>

#include "adjoin/operators/function.hpp"
#include "distributed/support.hpp"

namespace adjoin::test {
namespace {

// Operator i takes delays[i] milliseconds for A and for its adjoint.
PhysicsFactory sleepers(const std::vector<int>& delays) {
  return [delays](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
    const auto step = [delay = delays[static_cast<std::size_t>(index)]](const at::Tensor& t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(delay));
      return t;
    };
    return make_function(step, step);
  };
}

TEST(MeasureCosts, TimesEveryOperatorOnceForAllRanks) {
  DistributedContext context;
  const std::vector<int> delays = {1, 20, 1, 10, 1};
  const std::vector<double> costs = measure_costs(context, 5, sleepers(delays), at::ones({2, 2}));
  for (std::size_t i = 0; i < delays.size(); ++i) {
    EXPECT_GE(costs[i], 2e-3 * delays[i]);
  }
  EXPECT_GT(costs[1], costs[3]);
  EXPECT_GT(costs[3], costs[0]);
  const Sharding sharding = Sharding::by_cost(costs, 2);
  EXPECT_NE(sharding.owner(1), sharding.owner(3));
  const std::vector<std::string> seen = context.communicator().all_gather_bytes(c10::Join(" ", costs));
  for (const std::string& theirs : seen) {
    EXPECT_EQ(theirs, seen[0]);
  }
}

TEST(MeasureCosts, FailsEverywhereWhenAnOperatorFails) {
  DistributedContext context;
  const auto factory = [](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
    return make_function([index](const at::Tensor& t) -> at::Tensor {
      if (index == 2) {
        throw std::runtime_error("the coil came loose");
      }
      return t;
    });
  };
  EXPECT_EQ(expect_failure_everywhere(context, [&] { (void)measure_costs(context, 4, factory, at::ones({2})); })
                .operator_index,
            2);
}

}  // namespace
}  // namespace adjoin::test
