// SPDX-License-Identifier: BSD-3-Clause
// The collectives of an MPI communicator, each of which can be waited for with an end.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "adjoin/comm/pending.hpp"
#include "comm/backend/mpi_exchange.hpp"
#include "comm/backend/mpi_wait.hpp"

namespace adjoin::mpi {

/// Of contiguous tensors, on the host or where MPI reaches the device. Elements beyond `max_count` go in pieces.
class Collectives {
 public:
  /// `comm` must outlive what is started on it.
  Collectives(MPI_Comm comm, std::shared_ptr<Waiter> waiter, std::int64_t max_count);

  const std::shared_ptr<Waiter>& waiter() const { return waiter_; }

  /// `output` ← reduction over the ranks of `input`, which may be `output` itself.
  void all_reduce(const at::Tensor& input, at::Tensor& output, ReduceOp op) const;
  Pending start_all_reduce(const at::Tensor& input, at::Tensor& output, ReduceOp op) const;
  /// Maxima, in place, apart from all other collectives.
  Pending announce(at::Tensor& values) const;
  /// `buffer` holds the parts of all ranks, of counts[r] elements, of which this one has filled its own.
  void all_gather_v(at::Tensor& buffer, const std::vector<std::int64_t>& counts) const;
  Pending start_all_gather_v(at::Tensor& buffer, const std::vector<std::int64_t>& counts) const;
  Pending start_broadcast(at::Tensor& tensor, int root) const;
  /// `output` ← this rank's counts[rank] elements of the reduction over the ranks of `input`.
  void scatter(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts, ReduceOp op) const;

 private:
  Pending start_reduction(const at::Tensor& input, at::Tensor& output, ReduceOp op, MPI_Comm comm) const;
  /// Calls `reduce(from, to, count, type, operation)` for the pieces of a reduction.
  template <class Reduce>
  void for_reduction(const at::Tensor& input, at::Tensor& output, ReduceOp op, const Reduce& reduce) const;
  void scatter_to_one_after_the_other(const at::Tensor& input, const at::Tensor& output,
                                      const std::vector<std::int64_t>& counts, ReduceOp op) const;
  void add_broadcast(Work& work, const at::Tensor& tensor, std::int64_t offset, std::int64_t numel, int root) const;
  bool is_small(const at::Tensor& tensor) const;

  MPI_Comm comm_;
  std::shared_ptr<Waiter> waiter_;
  PairwiseCollectives pairwise_;
  std::int64_t max_count_;
};

}  // namespace adjoin::mpi
