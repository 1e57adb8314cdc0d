// SPDX-License-Identifier: BSD-3-Clause
// Measurements that stay on their ranks.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/complex.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// Sums small sets of numbers over the ranks that share a sharded vector. The distributed room implements it; one
/// call is one collective.
class ScalarSum {
 public:
  virtual ~ScalarSum() = default;
  /// Replaces every value by its sum over the ranks. Every rank must call it with equally many values.
  virtual void sum(std::span<c10::complex<double>> values) = 0;
  /// Replaces real values by their sums, likewise.
  void sum_real(std::span<double> values);
};

/// Which items of a batch, stacked along dimension 0, a rank holds: [begin, end) of `total`.
struct ItemShare {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t total = 0;
  bool operator==(const ItemShare&) const = default;
};

/// The space of the measurements of a stack: how they are spread over ranks, and their inner product,
/// ⟨a, b⟩ = weight · Σ_ranks Σ_i ⟨a_i, b_i⟩. A stack makes one, for all its measurements.
struct MeasurementSpace {
  /// Global indices of the tensors that this rank owns, ascending.
  std::vector<std::int64_t> indices;
  /// Number of tensors on all ranks.
  std::int64_t total = 0;
  /// 1, or 1/total for a stack with mean reduction.
  double weight = 1.0;
  /// Sums over the ranks; null when this rank owns everything.
  std::shared_ptr<ScalarSum> reducer;
  /// What this rank's tensors hold of a batch that is shared out; none: all of it.
  std::optional<ItemShare> share = {};
};

/// Whether vectors of the two spaces may be combined: they are spread alike, with inner products of one weight.
bool same_space(const MeasurementSpace& a, const MeasurementSpace& b);

/// The part of a distributed list of tensors that this rank owns. Its inner product is global, so solvers need not know
/// that it is distributed.
struct ShardedTensorList {
  /// The owned tensors, in ascending order of their global index.
  TensorList local;
  /// Never null in a list that a stack has made.
  std::shared_ptr<const MeasurementSpace> space;
};

}  // namespace adjoin
