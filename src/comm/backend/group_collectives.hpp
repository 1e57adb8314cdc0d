// SPDX-License-Identifier: BSD-3-Clause
// The collectives of a process group of torch.distributed, by whichever of its backends takes a tensor.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <vector>

#include "adjoin/comm/pending.hpp"
#include "adjoin/comm/process_group.hpp"
#include "adjoin/core/reduce_op.hpp"
#include "comm/backend/group_devices.hpp"
#include "comm/backend/group_wait.hpp"

namespace adjoin {

/// The memory of the contiguous `tensor` as bytes: what a backend moves, whatever the dtype.
inline at::Tensor as_bytes(const at::Tensor& tensor) { return tensor.view({-1}).view(at::kByte); }

class GroupCollectives {
 public:
  /// `timeout`: how long backends may wait, where it is not as long as the group says.
  GroupCollectives(ProcessGroupPtr group, std::shared_ptr<GroupWaiter> waiter,
                   std::optional<std::chrono::milliseconds> timeout);

  const GroupDevices& devices() const { return devices_; }

  void send(const at::Tensor& tensor, int to, int tag);
  /// The rank that has sent; any where `from` is negative.
  int recv(at::Tensor& tensor, int from, int tag);

  Pending start_all_reduce(at::Tensor& tensor, ReduceOp op);
  Pending start_all_gather_v(at::Tensor& buffer, const std::vector<std::int64_t>& counts);
  Pending start_broadcast(at::Tensor& tensor, int root);
  /// Whether the backend of the host sends and receives several messages at once.
  bool exchanges() const;
  /// Where it does: starts to send sends[r], contiguous bytes on the host, to rank r and to fill receives[r] from
  /// there; undefined where there is nothing. Between two ranks, messages arrive in the order in which they were
  /// started.
  Pending start_exchange(const std::vector<at::Tensor>& sends, const std::vector<at::Tensor>& receives);
  /// Every rank sends each other rank its part, and reduces what it gets, in the order of the ranks. Where that is not
  /// to be had, all of `input` is reduced.
  void scatter(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts, ReduceOp op);

  /// Keep memory on the host for what ranks gather or scatter, whose parts have so many bytes.
  void provide_gather(const std::vector<std::int64_t>& counts);
  void provide_scatter(const std::vector<std::int64_t>& counts);

 private:
  /// What `start` starts, when it has ended.
  template <class Start>
  c10::intrusive_ptr<c10d::Work> between_two(const Start& start) const;
  /// Has the backend wait no longer than the timeout.
  template <class Options>
  void limit(Options& options) const;
  bool is_sent_by_broadcasts(const std::vector<std::int64_t>& counts, std::int64_t total) const;
  /// Whether ranks send each other their parts of a gather of so many bytes.
  bool is_exchanged(std::int64_t bytes) const;
  /// What was provided, where it is of the right kind and free, or else new memory for `numel` elements.
  at::Tensor gathering_memory(std::int64_t numel, const at::Tensor& buffer) const;
  void add_broadcast(GroupWork& work, const at::Tensor& tensor, int root) const;
  /// `parts` ← from each rank the `own` elements that are this rank's of its `input`, of which rank r gets counts[r].
  void all_to_all(const at::Tensor& input, const at::Tensor& parts, const std::vector<std::int64_t>& counts,
                  std::int64_t own) const;
  Pending start_broadcasts(const at::Tensor& buffer, const std::vector<std::int64_t>& counts);
  Pending start_complex_product(const at::Tensor& tensor);

  int rank_;
  int size_;
  GroupDevices devices_;
  std::shared_ptr<GroupWaiter> waiter_;
  std::optional<std::chrono::milliseconds> timeout_;
  /// What provide_gather() and provide_scatter() have provided.
  at::Tensor gathering_;
  at::Tensor scattering_;
};

}  // namespace adjoin
