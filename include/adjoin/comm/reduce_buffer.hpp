// SPDX-License-Identifier: BSD-3-Clause
// Memory for repeated reductions.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "adjoin/core/reduce_op.hpp"

namespace adjoin {

class Communicator;
struct CollectiveSpec;

/// Memory from which the ranks of a communicator reduce fastest: each rank writes its contribution into input(), then
/// all call all_reduce. Made collectively by Communicator::reduce_buffer. Its destruction is local, at any time before
/// the communicator's. The tensors that input() gave may outlive it, but not the communicator.
class ReduceBuffer {
 public:
  ReduceBuffer(const ReduceBuffer&) = delete;
  ReduceBuffer& operator=(const ReduceBuffer&) = delete;
  virtual ~ReduceBuffer() = default;

  /// Where this rank writes its contribution: shape {numel}, contiguous, of arbitrary content. It is this rank's own,
  /// and reductions leave it as it is. Its storage may go on behind it, for what computes the contribution in place and
  /// needs more memory than that, as transforms do; reductions take nothing from there.
  virtual const at::Tensor& input() const = 0;

  /// `output` ← reduction of every rank's input(), the same bits on all ranks of a node. Collective. `output` must
  /// be contiguous, of the buffer's dtype, device and number of elements, and no view of input().
  void all_reduce(at::Tensor& output, ReduceOp op = ReduceOp::sum);
  /// The same without a copy for each rank: the result, of shape {numel}, lies where all ranks of a node read it, and
  /// nobody may write to it. It lasts until the reduction after the next. Collective.
  const at::Tensor& all_reduce_shared(ReduceOp op = ReduceOp::sum);
  /// Provides the memory of shared results that are this rank's alone, where it is not there yet, so that none can lack
  /// once the other ranks count on this one. Local.
  virtual void provide_shared();

  /// Where each rank has a part of the sum alone: of `output`, contiguous, rank r has filled the counts[r] elements
  /// after those of the ranks before, and all get them. The elements of input() behind the last part, which all ranks
  /// have filled, are added up in place; what lies before them there is lost. `counts` are the same on all ranks, and
  /// `output` has as many elements as they add up to. Collective.
  void all_gather(at::Tensor& output, const std::vector<std::int64_t>& counts);
  /// The same from input() to where all ranks of a node read it, as all_reduce_shared does. The elements of the result
  /// behind the last part are arbitrary.
  const at::Tensor& all_gather_shared(const std::vector<std::int64_t>& counts);
  /// The same of a part that lies elsewhere: `part`, contiguous, has the counts[r] elements of rank r. The elements of
  /// input() before the last part's end are lost. The result lasts until the buffer's next collective.
  const at::Tensor& all_gather_shared(const at::Tensor& part, const std::vector<std::int64_t>& counts);

  /// `part` ← this rank's part of the sum of every rank's input(): of rank r the counts[r] elements after those of the
  /// ranks before. `part` must be contiguous, of the buffer's dtype and device. The elements of input() behind the last
  /// part are added up in place. Collective.
  void reduce_scatter(at::Tensor& part, const std::vector<std::int64_t>& counts);

  /// Provides, as provide_shared does, what gathers and scatters of such parts need beside their results. Local.
  virtual void provide_parts(const std::vector<std::int64_t>& counts);

 protected:
  explicit ReduceBuffer(Communicator& communicator) : communicator_(communicator) {}
  virtual void all_reduce_impl(at::Tensor& output, ReduceOp op) = 0;
  /// Unless overridden, into memory of this rank alone.
  virtual const at::Tensor& all_reduce_shared_impl(ReduceOp op);
  /// Unless overridden, by reducing all of input(), zero but for this rank's part.
  virtual void all_gather_impl(at::Tensor& output, const std::vector<std::int64_t>& counts);
  virtual const at::Tensor& all_gather_shared_impl(const std::vector<std::int64_t>& counts);
  /// Unless overridden, from input() and by reducing all of it.
  virtual const at::Tensor& all_gather_part_impl(const at::Tensor& part, const std::vector<std::int64_t>& counts);
  virtual void reduce_scatter_impl(at::Tensor& part, const std::vector<std::int64_t>& counts);
  /// What lies in input() behind the parts.
  at::Tensor tail(const std::vector<std::int64_t>& counts) const;
  /// The elements of this rank's part.
  struct Part {
    std::int64_t begin;
    std::int64_t count;
  };
  Part own_part(const std::vector<std::int64_t>& counts) const;

 private:
  friend class Communicator;
  /// Throws InvalidArgument unless a result of `numel` elements can be written to `output`.
  void check_output(const char* method, const at::Tensor& output, std::int64_t numel) const;
  void check_part(const char* method, const at::Tensor& part, const std::vector<std::int64_t>& counts) const;
  /// What is about to be made, of valid arguments.
  CollectiveSpec reduction(const char* method, ReduceOp op, bool shared) const;
  CollectiveSpec gather(const char* method, const std::vector<std::int64_t>& counts, bool shared) const;

  Communicator& communicator_;
  /// Its place among the communicator's buffers.
  std::uint64_t number_ = 0;
  std::array<at::Tensor, 2> results_;
  std::size_t next_result_ = 0;
};

}  // namespace adjoin
