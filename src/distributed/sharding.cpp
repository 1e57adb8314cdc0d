// SPDX-License-Identifier: BSD-3-Clause
// Round robin, and an even spread of unequal costs by the longest first.
#include "adjoin/distributed/sharding.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "adjoin/core/errors.hpp"

namespace adjoin {

Sharding::Sharding(std::vector<int> owners, int ranks)
    : owners_(std::move(owners)), items_(static_cast<std::size_t>(ranks)) {
  for (std::size_t i = 0; i < owners_.size(); ++i) {
    items_[static_cast<std::size_t>(owners_[i])].push_back(static_cast<std::int64_t>(i));
  }
}

Sharding Sharding::round_robin(std::int64_t num_items, int ranks) {
  check(num_items >= 0, "num_items: must not be negative, got ", num_items);
  std::vector<int> owners(static_cast<std::size_t>(num_items));
  for (std::size_t i = 0; i < owners.size(); ++i) {
    owners[i] = static_cast<int>(i % static_cast<std::size_t>(ranks));
  }
  return {std::move(owners), ranks};
}

Sharding Sharding::by_cost(std::span<const double> costs, int ranks) {
  for (const double cost : costs) {
    check(std::isfinite(cost) && cost > 0.0, "costs: must be positive and finite, got ", cost);
  }
  std::vector<std::size_t> order(costs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order,
                    [&](std::size_t a, std::size_t b) { return costs[a] != costs[b] ? costs[a] > costs[b] : a < b; });
  std::vector<double> load(static_cast<std::size_t>(ranks), 0.0);
  std::vector<int> owners(costs.size());
  for (const std::size_t item : order) {
    const auto least = std::ranges::min_element(load);
    *least += costs[item];
    owners[item] = static_cast<int>(least - load.begin());
  }
  return {std::move(owners), ranks};
}

}  // namespace adjoin
