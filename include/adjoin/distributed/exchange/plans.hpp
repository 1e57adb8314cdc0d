// SPDX-License-Identifier: BSD-3-Clause
// What the ranks have agreed on about their messages.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/distributed/exchange/result_pool.hpp"

namespace adjoin {

/// What the ranks agreed on for one kind of reduction: kept until a shape or dtype changes.
struct ReducePlan {
  /// Null: nothing agreed yet.
  std::unique_ptr<ReduceBuffer> buffer;
  std::vector<std::int64_t> sizes;
  at::ScalarType dtype = at::kFloat;
  /// The dtype of this rank's own contribution, which may be narrower than the agreed one.
  at::ScalarType own_dtype = at::kFloat;
  /// Elements of each rank's images.
  std::vector<std::int64_t> counts;
  /// Of sums that are their caller's own, from the first one on.
  ResultPool results;
  bool has_results = false;
};

/// How the results of all operators reach all ranks.
enum class GatherStrategy : std::uint8_t {
  naive,         ///< serialised objects, nothing planned: two collectives, for results that change shape at every call
  concatenated,  ///< one collective, no padding
  broadcast      ///< one non-blocking broadcast an operator, started as soon as the operator is done
};
/// Throws InvalidArgument naming the choices.
GatherStrategy gather_strategy_from_string(std::string_view name);
std::string_view to_string(GatherStrategy strategy);

/// What the ranks agreed on for one kind of gather.
struct GatherPlan {
  struct Entry {
    std::vector<std::int64_t> sizes;
    at::ScalarType dtype = at::kFloat;
    /// Bytes from the start of the memory, and how many.
    std::int64_t offset = 0;
    std::int64_t nbytes = 0;
  };
  bool agreed = false;
  /// What it is laid out for.
  GatherStrategy strategy = GatherStrategy::concatenated;
  std::vector<int> owners;
  /// By global index.
  std::vector<Entry> entries;
  /// Offset of each status header: one a rank, or one an operator (broadcast).
  std::vector<std::int64_t> headers;
  /// Bytes of each rank's segment.
  std::vector<std::int64_t> counts;
  ResultPool results;
};

/// Plans of the messages of a call, and of those of its gradients.
struct CallPlans {
  ReducePlan sums;
  /// Of images that arrive as slabs, where the plan of the sums does not fit.
  ReducePlan slabs;
  GatherPlan items;
  std::unique_ptr<CallPlans> gradients;
};

/// What else the ranks must have agreed on before they add up their parts, such as a joint form of their operators.
class Agreement {
 public:
  virtual ~Agreement() = default;
  /// Whether it was ever made. The same on all ranks.
  virtual bool made() const = 0;
  /// Whether what was agreed on still holds on this rank.
  virtual bool is_current() const = 0;
  /// Agrees anew. Collective.
  virtual void make() = 0;
  /// Whether a rank's part then is its images alone (images_of_part), which are gathered instead of added up. The same
  /// on all ranks.
  virtual bool by_images() const = 0;
};

}  // namespace adjoin
