// SPDX-License-Identifier: BSD-3-Clause
// Which rank owns which operator.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace adjoin {

/// An assignment of items to ranks, the same on every rank.
class Sharding {
 public:
  /// Item i belongs to rank i mod ranks.
  static Sharding round_robin(std::int64_t num_items, int ranks);
  /// Balances given positive costs: the most expensive item first, each to the rank with the least so far (Graham,
  /// SIAM J. Appl. Math. 17, 1969: at most 4/3 of the optimal makespan).
  static Sharding by_cost(std::span<const double> costs, int ranks);

  /// Item i belongs to rank owners[i], which is below `ranks`.
  Sharding(std::vector<int> owners, int ranks);

  std::int64_t num_items() const { return static_cast<std::int64_t>(owners_.size()); }
  int owner(std::int64_t item) const { return owners_[static_cast<std::size_t>(item)]; }
  const std::vector<int>& owners() const { return owners_; }
  /// The items of a rank, ascending.
  const std::vector<std::int64_t>& items_of(int rank) const { return items_[static_cast<std::size_t>(rank)]; }

 private:
  std::vector<int> owners_;
  std::vector<std::vector<std::int64_t>> items_;
};

}  // namespace adjoin
