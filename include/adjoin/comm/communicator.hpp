// SPDX-License-Identifier: BSD-3-Clause
// The collectives that adjoin needs, as an abstract class. Its engines: one process (single.hpp), MPI (mpi.hpp) and the
// process groups of torch.distributed (process_group.hpp).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adjoin/comm/call.hpp"
#include "adjoin/comm/pending.hpp"
#include "adjoin/comm/reduce_buffer.hpp"
#include "adjoin/core/reduce_op.hpp"

namespace adjoin {

class CallState;
class NodeGroup;

/// What a communicator has done since it was made: the evidence for "one message a step".
struct MessageCounters {
  /// Collectives of any kind, of which reductions, gathers and others.
  std::int64_t collectives = 0;
  std::int64_t reductions = 0;
  std::int64_t gathers = 0;
  /// Of the reductions those of which each rank gets a part.
  std::int64_t scatters = 0;
  /// Bytes of payload that this rank handed over or received as a result, summed over the collectives.
  std::int64_t bytes = 0;
  /// Payload bytes of the latest collective.
  std::int64_t last_bytes = 0;
  /// Reductions of a few bytes that tell, ahead of a call's first collective, that all ranks make the same call; not
  /// among the collectives. Ranks that share memory need none.
  std::int64_t announcements = 0;
};

/// Collectives among a fixed group of ranks. Every rank of the group must call the same methods in the same order, with
/// tensors of the same dtype and, except where noted, shape. Tensors may be non-contiguous and on any device: what the
/// engine cannot reach is staged through host memory. Not differentiable. Creation is collective.
///
/// Floating-point, complex, integer, bool and half tensors can be reduced. For bool, sum and max are "or", product and
/// min are "and". Minima and maxima of floating-point numbers among which is NaN are NaN. Complex tensors have no min
/// and max. An unsupported combination throws InvalidArgument.
///
/// Ranks that call unlike methods, or with unlike dtypes, lengths or roots, all throw CallDisagreement; so do the ranks
/// that call what another one has left or could not begin, as its argument was wrong. A rank that ends, or does not
/// come within the engine's timeout, makes those who wait for it throw CommunicationError, after which the communicator
/// is of no further use. Two threads of a process that use a communicator at once make one of them throw Error.
class Communicator {
 public:
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  /// Leaves, unless that was done.
  virtual ~Communicator();

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Rank among, and number of, the ranks on this node.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  /// One line for people: engine, version, ranks.
  virtual std::string description() const = 0;

  /// Says what the collectives belong to that this rank makes while the scope lasts. Calls may enter others: then the
  /// outermost one counts. The first collective of a call compares name and fingerprint among the ranks, and all
  /// throw CallDisagreement unless they are equal. Sends nothing itself.
  [[nodiscard]] CallScope enter(const Call& call);
  /// Says that this rank cannot take part in the call that it has entered, in place of the call's first collective,
  /// whichever that is: every rank throws CallDisagreement, in which `report` is this rank's refusal (its beginning,
  /// where it is longer than a few thousand bytes). Collective.
  [[noreturn]] void refuse(const std::string& report);
  /// Says that this rank makes no more calls: those who wait for it in one, then or later, throw CallDisagreement.
  /// Where ranks share memory it waits for nobody. Elsewhere it waits until all ranks have left or come to a call, for
  /// the timeout and two seconds at most, or if `at_once` for about a second. Calls after it throw CommunicationError.
  /// Then a no-op.
  void leave(bool at_once = false) noexcept;

  /// Replaces `tensor` by its reduction over the ranks.
  void all_reduce(at::Tensor& tensor, ReduceOp op = ReduceOp::sum);
  /// Reduction of a few numbers, at the lowest latency the engine has.
  void all_reduce(std::span<double> values, ReduceOp op = ReduceOp::sum);
  Pending start_all_reduce(at::Tensor& tensor, ReduceOp op = ReduceOp::sum);

  /// Concatenation of every rank's `input` along a new first dimension: shape {size(), …}.
  at::Tensor all_gather(const at::Tensor& input);
  /// Concatenation of 1-D tensors of unlike lengths; `counts[r]` is the length of rank r's tensor, known to all.
  at::Tensor all_gather_v(const at::Tensor& input, const std::vector<std::int64_t>& counts);
  /// The same in place: `buffer` holds Σ counts elements, contiguous, of which this rank has filled its own segment.
  void all_gather_v_inplace(at::Tensor& buffer, const std::vector<std::int64_t>& counts);
  Pending start_all_gather_v_inplace(at::Tensor& buffer, const std::vector<std::int64_t>& counts);

  /// Rank r gets the reduction of every rank's r-th equal part (along dimension 0) of `input`.
  at::Tensor reduce_scatter(const at::Tensor& input, ReduceOp op = ReduceOp::sum);
  /// The same for unlike parts: of `input`, one-dimensional, rank r gets the counts[r] elements after those of the
  /// ranks before, reduced. `counts`, which add up to the length of `input`, are known to all.
  at::Tensor reduce_scatter_v(const at::Tensor& input, const std::vector<std::int64_t>& counts,
                              ReduceOp op = ReduceOp::sum);

  /// Every rank's `tensor` becomes that of `root`.
  void broadcast(at::Tensor& tensor, int root);
  Pending start_broadcast(at::Tensor& tensor, int root);

  void barrier();

  /// Sends `tensor` to rank `to`, which calls receive with a tensor like it and the same tag.
  void send(const at::Tensor& tensor, int to, int tag = 0);
  /// Fills `tensor` with what rank `from` sends, or where `from` is -1 any rank; returns which. Where nothing comes
  /// within the timeout, or the rank has left, throws CommunicationError.
  int recv(at::Tensor tensor, int from = -1, int tag = 0);

  /// The bytes of `root`, whatever the other ranks pass.
  std::string broadcast_bytes(const std::string& bytes, int root);
  /// Every rank's bytes, of any lengths.
  std::vector<std::string> all_gather_bytes(const std::string& bytes);

  /// A communicator among the ranks with equal `color`, ordered by `key`. Collective.
  std::unique_ptr<Communicator> split(int color, int key);

  /// Memory for repeated reductions of `numel` elements. Collective; every rank must pass equal arguments.
  std::unique_ptr<ReduceBuffer> reduce_buffer(std::int64_t numel, at::ScalarType dtype, at::Device device);

  /// A tensor of `numel` elements, of arbitrary content, in host memory that the other ranks of the node see: a gather
  /// or broadcast takes from there what lies there, which spares this rank a copy. It is this rank's own all the same,
  /// for as long as it likes. Undefined on every rank where there is no such memory, or where this would be slower.
  /// Collective; every rank must pass equal arguments.
  at::Tensor visible(std::int64_t numel, at::ScalarType dtype);

  /// Provides the memory that a gather of `counts` bytes of the ranks needs beside its result, if any, so that none can
  /// lack once the other ranks count on this one. Local.
  virtual void provide_gather(const std::vector<std::int64_t>& /*counts*/) {}

  /// How many collectives this rank has begun or refused: unchanged where a call has failed before the other ranks
  /// could hear of it.
  std::int64_t begun() const;

  const MessageCounters& counters() const { return counters_; }
  void reset_counters() { counters_ = {}; }

 protected:
  Communicator();
  /// Engines of several ranks call one of these when they are made: unlike calls are noticed by the steps of `group`,
  /// in which all ranks are and which all collectives of host memory go through, or else by announcements.
  void compare_calls_in(NodeGroup& group);
  /// `node`: a group of some of the ranks, which those who wait there for others may have to describe.
  void compare_calls_by_announcements(NodeGroup* node = nullptr);
  /// Lets all ranks meet ahead of a collective that does not go through the group's steps; nothing where calls are
  /// announced.
  void meet();
  /// What this rank is doing: "A_adjoint of stack 1 (sum of 4096 float32)".
  std::string doing() const;
  /// Lets collective calls come from the thread that calls this alone.
  void keep_to_this_thread();

  // Engines implement these. They are called only where there are several ranks (reduce_buffer_impl always), with valid
  // arguments and tensors that are contiguous, have neither conjugate nor negative bit, and lie where reaches() is
  // true.
  virtual bool reaches(at::Device device) const = 0;
  /// Whether the engine itself waits for what is queued on the current stream of such a device.
  virtual bool follows_streams(at::Device /*device*/) const { return false; }
  virtual void all_reduce_impl(at::Tensor& tensor, ReduceOp op) = 0;
  virtual void all_reduce_values_impl(std::span<double> values, ReduceOp op) = 0;
  virtual Pending start_all_reduce_impl(at::Tensor& tensor, ReduceOp op) = 0;
  virtual void all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) = 0;
  virtual Pending start_all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) = 0;
  /// `output` ← the reduction of this rank's counts[rank] elements of every rank's `input`, which is flat.
  virtual void reduce_scatter_impl(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts,
                                   ReduceOp op) = 0;
  virtual void broadcast_impl(at::Tensor& tensor, int root) = 0;
  virtual Pending start_broadcast_impl(at::Tensor& tensor, int root) = 0;
  virtual void barrier_impl() = 0;
  virtual void send_impl(const at::Tensor& tensor, int to, int tag) = 0;
  virtual int recv_impl(at::Tensor& tensor, int from, int tag) = 0;
  virtual std::unique_ptr<Communicator> split_impl(int color, int key) = 0;
  virtual std::unique_ptr<ReduceBuffer> reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                           at::Device device) = 0;
  virtual at::Tensor visible_impl(std::int64_t /*numel*/, at::ScalarType /*dtype*/) { return {}; }
  /// Starts the maximum of a few integers over all ranks, apart from all other collectives.
  virtual Pending announce_impl(at::Tensor& values) { return start_all_reduce_impl(values, ReduceOp::max); }
  /// Tells ranks that wait in other collectives that this one leaves, where the engine can.
  virtual void tell_that_this_rank_leaves() {}

 private:
  friend class ReduceBuffer;
  /// A collective while it is made.
  class Making;
  /// Collectives that have been started, where ranks share memory.
  class Deferred;
  at::Tensor staged(const at::Tensor& tensor) const;
  void reduce_in_place(at::Tensor& tensor, ReduceOp op);
  void gather_in_place(at::Tensor& buffer, const std::vector<std::int64_t>& counts);
  at::Tensor scattered(const at::Tensor& input, const std::vector<std::int64_t>& counts, ReduceOp op);
  void broadcast_in_place(at::Tensor& tensor, int root);
  template <class Describe, class Start, class Make>
  Pending started_or_deferred(const char* method, const at::Tensor& tensor, const Describe& describe,
                              const Start& start, Make make);

  MessageCounters counters_;
  /// Null where there is one rank.
  std::unique_ptr<CallState> calls_;
  std::shared_ptr<Deferred> deferred_;
  std::uint64_t buffers_made_ = 0;
};

}  // namespace adjoin
