// SPDX-License-Identifier: BSD-3-Clause
// The time of each operator's normal operator, the quickest of a few calls, gathered from all ranks.
#include "adjoin/distributed/measure_costs.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "adjoin/core/operator_failure.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"

namespace adjoin {

namespace {

// The quickest of a few calls, as a stack makes them, which adds up the results: what disturbs a call only makes it
// longer.
double seconds_of(const LinearPhysics& physics, const at::Tensor& x) {
  constexpr int repetitions = 3;
  const c10::NoGradGuard no_grad;
  const at::Tensor sum = physics.A_adjoint_A(x).clone();
  double best = std::numeric_limits<double>::infinity();
  const auto wait = [&] {  // for what a device has only begun
    if (!x.is_cpu()) {
      c10::impl::VirtualGuardImpl(x.device().type()).synchronizeDevice(x.device().index());
    }
  };
  for (int i = 0; i < repetitions; ++i) {
    wait();
    const auto start = std::chrono::steady_clock::now();
    sum.add_(physics.A_adjoint_A(x));
    wait();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

std::vector<double> measure_costs(DistributedContext& context, std::int64_t num_operators,
                                  const PhysicsFactory& factory, const at::Tensor& x,
                                  const DistributedOptions& options) {
  DistributedOptions dealt_in_turn = options;
  dealt_in_turn.costs.clear();
  const DistributedStackedLinearPhysics stack(context, num_operators, factory, dealt_in_turn);
  const std::vector<std::int64_t>& indices = stack.local_indices();
  std::vector<double> costs(static_cast<std::size_t>(num_operators), 0.0);
  Exchange exchange(context, "operators");
  exchange.set_indices(indices);
  exchange.call("measuring the costs", {"x", x}, [&] {
    exchange.agree_max(costs, [&] {
      for (std::size_t k = 0; k < indices.size(); ++k) {
        costs[static_cast<std::size_t>(indices[k])] =
            for_operator(static_cast<std::int64_t>(k), [&] { return seconds_of(stack.local_operators()[k], x); });
      }
    });
  });
  return costs;
}

}  // namespace adjoin
