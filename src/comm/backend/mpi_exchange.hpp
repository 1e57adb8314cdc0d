// SPDX-License-Identifier: BSD-3-Clause
// Reductions and gathers of large host arrays by messages between pairs of ranks: each rank reduces a part of its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "adjoin/comm/pending.hpp"
#include "comm/backend/mpi_wait.hpp"

namespace adjoin::mpi {

/// Starts to send sends[r], contiguous bytes on the host, to rank r and to fill receives[r] from there; undefined where
/// there is nothing. Between two ranks, messages arrive in the order in which they were started.
Pending start_exchange(const std::shared_ptr<Waiter>& waiter, const std::vector<at::Tensor>& sends,
                       const std::vector<at::Tensor>& receives);

/// Stands in for MPI_Allreduce and MPI_Reduce_scatter, which cannot be waited for with an end and take memory as large
/// as the array in their midst: where a rank has none, the others stay in MPI for ever. Every rank sends each other
/// rank its part and reduces what it gets in the order of the ranks; a reduction for all then gathers the parts. Each
/// rank sends and receives (p - 1)/p of the array for p ranks, twice where all get the result: the least that there is.
/// Two pieces of each part are under way at once, which bounds what MPI buffers.
class PairwiseCollectives {
 public:
  explicit PairwiseCollectives(std::shared_ptr<Waiter> waiter);

  /// `output` ← reduction over the ranks of `input`, which may be `output` itself. Collective, as is the next.
  void all_reduce(const at::Tensor& input, at::Tensor& output, ReduceOp op) const;
  /// `output` ← this rank's counts[rank] elements of the reduction over the ranks of `input`.
  void reduce_scatter(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts,
                      ReduceOp op) const;
  /// `buffer`, flat, has the parts of all ranks one after the other, of which this one has filled its own.
  void all_gather(const at::Tensor& buffer, const std::vector<std::int64_t>& counts) const;

 private:
  struct Step;
  Step start_step(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts,
                  std::int64_t index) const;
  std::int64_t piece_elements(const at::Tensor& input) const;

  std::shared_ptr<Waiter> waiter_;
  int rank_;
  int size_;
  /// What comes from the ranks, in two steps that are under way at once. There from the beginning, so that no
  /// reduction fails for want of it.
  at::Tensor received_;
};

}  // namespace adjoin::mpi
