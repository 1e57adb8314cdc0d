// The collectives that adjoin needs, as an abstract class. Its engines: one process (single.hpp), MPI (mpi.hpp) and the
// process groups of torch.distributed (process_group.hpp).
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adjoin/core/reduce_op.hpp"

namespace adjoin {

/// A started collective. It owns what it needs, and its destructor waits. Move-only.
class Pending {
 public:
  /// What an engine does to finish a collective.
  class Work {
   public:
    virtual ~Work() = default;
    /// Whether it is finished, without blocking; advances it where it can.
    virtual bool test() = 0;
    /// Blocks until it is finished. Throws CommunicationError when it failed.
    virtual void wait() = 0;
  };

  /// A collective that is finished already.
  Pending() = default;
  explicit Pending(std::unique_ptr<Work> work);
  Pending(Pending&&) noexcept;
  Pending& operator=(Pending&&) noexcept;
  ~Pending();

  bool test();
  /// Blocks until the collective is finished; then a no-op. Throws CommunicationError when it failed.
  void wait();

 private:
  std::unique_ptr<Work> work_;
};

/// What a communicator has done since it was made: the evidence for "one message a step".
struct MessageCounters {
  /// Collectives of any kind, of which reductions, gathers and others.
  std::int64_t collectives = 0;
  std::int64_t reductions = 0;
  std::int64_t gathers = 0;
  /// Bytes of payload that this rank handed over or received as a result, summed over the collectives.
  std::int64_t bytes = 0;
  /// Payload bytes of the latest collective.
  std::int64_t last_bytes = 0;
};

class Communicator;

/// Memory from which the ranks of a communicator reduce fastest: each rank writes its contribution into input(), then
/// all call all_reduce. Made collectively by Communicator::reduce_buffer. Its destruction is local, at any time before
/// the communicator's. The tensors that input() gave may outlive it, but not the communicator.
class ReduceBuffer {
 public:
  ReduceBuffer(const ReduceBuffer&) = delete;
  ReduceBuffer& operator=(const ReduceBuffer&) = delete;
  virtual ~ReduceBuffer() = default;

  /// Where this rank writes its contribution: shape {numel}, contiguous, of arbitrary content. It is this rank's own,
  /// and reductions leave it as it is.
  virtual const at::Tensor& input() const = 0;

  /// `output` ← reduction of every rank's input(), the same bits on all ranks of a node. Collective. `output` must be
  /// contiguous, of the buffer's dtype, device and number of elements, and no view of input().
  void all_reduce(at::Tensor& output, ReduceOp op = ReduceOp::sum);
  /// The same without a copy for each rank: the result, of shape {numel}, lies where all ranks of a node read it, and
  /// nobody may write to it. It lasts until the reduction after the next. Collective.
  const at::Tensor& all_reduce_shared(ReduceOp op = ReduceOp::sum);

  /// Where each rank has a part of the sum alone: of `output`, contiguous, rank r has filled the counts[r] elements
  /// after those of the ranks before, and all get them. The elements of input() behind the last part, which all ranks
  /// have filled, are added up in place; what lies before them there is lost. `counts` are the same on all ranks, and
  /// `output` has as many elements as they add up to. Collective.
  void all_gather(at::Tensor& output, const std::vector<std::int64_t>& counts);
  /// The same from input() to where all ranks of a node read it, as all_reduce_shared does. The elements of the result
  /// behind the last part are arbitrary.
  const at::Tensor& all_gather_shared(const std::vector<std::int64_t>& counts);

 protected:
  explicit ReduceBuffer(Communicator& communicator) : communicator_(communicator) {}
  virtual void all_reduce_impl(at::Tensor& output, ReduceOp op) = 0;
  /// Unless overridden, into memory of this rank alone.
  virtual const at::Tensor& all_reduce_shared_impl(ReduceOp op);
  /// Unless overridden, by reducing all of input(), zero but for this rank's part.
  virtual void all_gather_impl(at::Tensor& output, const std::vector<std::int64_t>& counts);
  virtual const at::Tensor& all_gather_shared_impl(const std::vector<std::int64_t>& counts);
  /// The elements of this rank's part.
  struct Part {
    std::int64_t begin;
    std::int64_t count;
  };
  Part own_part(const std::vector<std::int64_t>& counts) const;

 private:
  /// Throws InvalidArgument unless a result of `numel` elements can be written to `output`.
  void check_output(const char* name, const at::Tensor& output, std::int64_t numel) const;
  void check_parts(const char* method, const std::vector<std::int64_t>& counts) const;

  Communicator& communicator_;
  std::array<at::Tensor, 2> results_;
  std::size_t next_result_ = 0;
};

/// Collectives among a fixed group of ranks. Every rank of the group must call the same methods in the same order, with
/// tensors of the same dtype and, except where noted, shape. Tensors may be non-contiguous and on any device: what the
/// engine cannot reach is staged through host memory. Not differentiable, not thread-safe. Creation and destruction are
/// collective.
///
/// Floating-point, complex, integer, bool and half tensors can be reduced. For bool, sum and max are "or", product and
/// min are "and". Complex tensors have no min and max. An unsupported combination throws InvalidArgument.
class Communicator {
 public:
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Rank among, and number of, the ranks that share this node's memory.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  /// One line for people: engine, version, ranks.
  virtual std::string description() const = 0;

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

  /// Every rank's `tensor` becomes that of `root`.
  void broadcast(at::Tensor& tensor, int root);
  Pending start_broadcast(at::Tensor& tensor, int root);

  void barrier();

  /// The bytes of `root`, whatever the other ranks pass.
  std::string broadcast_bytes(const std::string& bytes, int root);
  /// Every rank's bytes, of any lengths.
  std::vector<std::string> all_gather_bytes(const std::string& bytes);

  /// A communicator among the ranks with equal `color`, ordered by `key`. Collective.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  /// Memory for repeated reductions of `numel` elements. Collective; every rank must pass equal arguments.
  std::unique_ptr<ReduceBuffer> reduce_buffer(std::int64_t numel, at::ScalarType dtype, at::Device device);

  /// A tensor of `numel` elements, of arbitrary content, in host memory that the other ranks of the node see: a gather
  /// or broadcast takes from there what lies there, which spares this rank a copy. It is this rank's own all the same,
  /// for as long as it likes. Undefined on every rank where there is no such memory, or where this would be slower.
  /// Collective; every rank must pass equal arguments.
  at::Tensor visible(std::int64_t numel, at::ScalarType dtype);

  const MessageCounters& counters() const { return counters_; }
  void reset_counters() { counters_ = {}; }

 protected:
  Communicator() = default;

  // Engines implement these. They are called only where there are several ranks (reduce_buffer_impl always), with valid
  // arguments and tensors that are contiguous, have neither conjugate nor negative bit, and lie where reaches() is
  // true.
  virtual bool reaches(at::Device device) const = 0;
  virtual void all_reduce_impl(at::Tensor& tensor, ReduceOp op) = 0;
  virtual void all_reduce_values_impl(std::span<double> values, ReduceOp op) = 0;
  virtual Pending start_all_reduce_impl(at::Tensor& tensor, ReduceOp op) = 0;
  virtual void all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) = 0;
  virtual Pending start_all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) = 0;
  virtual void reduce_scatter_impl(const at::Tensor& input, at::Tensor& output, ReduceOp op) = 0;
  virtual void broadcast_impl(at::Tensor& tensor, int root) = 0;
  virtual Pending start_broadcast_impl(at::Tensor& tensor, int root) = 0;
  virtual void barrier_impl() = 0;
  virtual std::unique_ptr<ReduceBuffer> reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                           at::Device device) = 0;
  virtual at::Tensor visible_impl(std::int64_t /*numel*/, at::ScalarType /*dtype*/) { return {}; }

 private:
  friend class ReduceBuffer;
  enum class Kind : std::uint8_t { reduction, gather, other };
  void count(Kind kind, std::int64_t bytes);
  /// Throws InvalidArgument on every rank unless all ask for as much memory. Collective.
  void check_equal_memory(const char* method, std::int64_t numel, at::ScalarType dtype);

  MessageCounters counters_;
};

}  // namespace adjoin
