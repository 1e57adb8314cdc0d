// The one door to the network: reduce, gather and agree, with failures and changed shapes travelling along.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/distributed/sharding.hpp"

namespace adjoin {

/// How the results of all operators reach all ranks.
enum class GatherStrategy : std::uint8_t {
  naive,         ///< serialised objects, nothing planned: two collectives, for results that change shape at every call
  concatenated,  ///< one collective, no padding
  broadcast      ///< one non-blocking broadcast an operator, started as soon as the operator is done
};
/// Throws InvalidArgument naming the choices.
GatherStrategy gather_strategy_from_string(std::string_view name);
std::string_view to_string(GatherStrategy strategy);

/// Results handed to the caller whose memory is used again once nobody holds it.
class ResultPool {
 public:
  /// Readies memory that the other ranks see, for two results of `numel` elements: while a caller computes with one, it
  /// often still holds the last. Collective.
  void provide_visible(Communicator& communicator, std::int64_t numel, at::ScalarType dtype, at::Device device);
  /// A flat tensor of `numel` elements, of arbitrary content, that nobody else holds.
  at::Tensor take(std::int64_t numel, at::ScalarType dtype, at::Device device);
  void clear() { *this = {}; }

 private:
  std::vector<at::Tensor> visible_;
  std::vector<at::Tensor> held_;
};

/// What the ranks agreed on for one kind of reduction: kept until a shape or dtype changes.
struct ReducePlan {
  std::unique_ptr<ReduceBuffer> buffer;  // null: nothing agreed yet
  std::vector<std::int64_t> sizes;
  at::ScalarType dtype = at::kFloat;
  /// The dtype of this rank's own contribution, which may be narrower than the agreed one.
  at::ScalarType own_dtype = at::kFloat;
  ResultPool results;
  /// Elements of each rank's images.
  std::vector<std::int64_t> counts;
};

/// What the ranks agreed on for one kind of gather.
struct GatherPlan {
  struct Entry {
    std::vector<std::int64_t> sizes;
    at::ScalarType dtype = at::kFloat;
    std::int64_t offset = 0;  // bytes from the start of the buffer
    std::int64_t nbytes = 0;
  };
  bool agreed = false;
  std::vector<Entry> entries;         // by global index
  std::vector<std::int64_t> headers;  // offset of each status header: one a rank, or one an operator (broadcast)
  std::vector<std::int64_t> counts;   // bytes of each rank's segment
  ResultPool results;
};

/// All communication of the distributed room. A failure on one rank (an exception in the local work that a verb is
/// given, or one deferred before) travels with the payload: then every rank throws the same RankFailure from that verb.
/// A changed shape travels likewise, and all ranks plan anew. In the steady state a verb is exactly one collective.
class Exchange : public ScalarSum {
 public:
  /// `indices`: global indices of this rank's operators, to name a failing one.
  Exchange(std::shared_ptr<Communicator> communicator, at::Device device, std::vector<std::int64_t> indices);

  Communicator& communicator() const { return *communicator_; }
  bool alone() const { return communicator_->size() == 1; }
  /// Global indices of this rank's operators.
  const std::vector<std::int64_t>& indices() const { return indices_; }

  /// This rank's contribution to a sum. `out`, when defined, is where it is best written; the sum is wherever the
  /// returned tensor is. An undefined tensor contributes nothing.
  using Partial = c10::function_ref<at::Tensor(const at::Tensor& out)>;
  /// Whose the memory of a sum is: the caller's own, or shared by the ranks of a node, which spares a copy; then nobody
  /// may write to it, and it lasts until the reduction after the next of its plan.
  enum class Memory : std::uint8_t { own, shared };
  struct ReduceOptions {
    Memory memory = Memory::own;
    /// Tells whether what this rank's part rests on no longer holds, and then whether it is so on any rank; then there
    /// is no result.
    bool* stale = nullptr;
    /// Has the layout that the sum is likely to have, so that the first part can already be written where it is summed.
    at::Tensor like = {};
    /// This rank's part of the sum is its images alone (images_of_part), computed where `out` says; the images of the
    /// others, which it leaves as they are, are gathered. The same on all ranks.
    bool by_images = false;
  };
  /// Partial to replicated: Σ over the ranks. `what` names the call in messages.
  at::Tensor reduce(const char* what, ReducePlan& plan, Partial partial, const ReduceOptions& options);
  at::Tensor reduce(const char* what, ReducePlan& plan, Partial partial) { return reduce(what, plan, partial, {}); }

  /// Sharded to gathered: the tensors of all ranks, by global index. `all` gives this rank's results together, `one`
  /// the result at one local position. `out`, when not empty, is where the results are best written; they are wherever
  /// the returned tensors are.
  using LocalResults = c10::function_ref<TensorList(const TensorList& out)>;
  using LocalResult = c10::function_ref<at::Tensor(std::size_t position)>;
  TensorList gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy, LocalResults all,
                    LocalResult one);

  /// Runs `local` on every rank and throws everywhere if it failed anywhere, or if `options` are not equal on all
  /// ranks.
  void agree(const char* what, const std::string& options, c10::function_ref<void()> local);
  /// Smallest of the ranks' `value`s; throws everywhere if anything deferred failed anywhere.
  double agree_min(double value);

  /// Global sums for the inner products of sharded vectors.
  void sum(std::span<c10::complex<double>> values) override;

  /// Runs local work inside a distributed iteration. An exception is kept and thrown, everywhere, by the next verb;
  /// until then the work's result is `fallback()`.
  template <class F, class Fallback>
  auto deferring(F&& work, Fallback&& fallback) -> decltype(work()) {
    try {
      return work();
    } catch (...) {
      defer(std::current_exception());
      return fallback();
    }
  }

  /// Runs local work that no message follows: an OperatorFailure becomes a RankFailure that names the global index.
  template <class F>
  auto local(F&& work) -> decltype(work()) {
    try {
      return work();
    } catch (const OperatorFailure&) {
      throw_local(std::current_exception());
    }
  }

 private:
  struct Failure {
    int rank = 0;  // this one, or the one that an earlier message named
    std::int64_t operator_index = -1;
    std::string reason;
    std::exception_ptr exception;
  };
  Failure describe(const std::exception_ptr& exception) const;
  void defer(const std::exception_ptr& exception);
  [[noreturn]] void throw_local(std::exception_ptr exception) const;
  /// Collective: finds the lowest failed rank and throws its failure on all ranks.
  [[noreturn]] void throw_agreed(const std::optional<Failure>& mine);
  std::optional<Failure> take_deferred();

  void plan_reduce(const char* what, ReducePlan& plan, const at::Tensor& mine, std::optional<Failure>& failure);
  void plan_gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy, const TensorList& mine,
                   std::optional<Failure>& failure);
  TensorList gather_naive(const Sharding& sharding, LocalResults all);
  TensorList gather_concatenated(GatherPlan& plan, const Sharding& sharding, LocalResults all);
  TensorList gather_broadcast(GatherPlan& plan, const Sharding& sharding, LocalResult one);
  TensorList views(const GatherPlan& plan, const at::Tensor& buffer) const;
  int rank() const { return communicator_->rank(); }

  std::shared_ptr<Communicator> communicator_;
  at::Device device_;
  std::vector<std::int64_t> indices_;
  std::optional<Failure> deferred_;
  std::vector<double> message_;  // kept between sums
};

}  // namespace adjoin
