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
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/distributed/exchange/failure.hpp"
#include "adjoin/distributed/exchange/plans.hpp"
#include "adjoin/distributed/sharding.hpp"

namespace adjoin {

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
  const std::vector<std::int64_t>& indices() const { return failures_.indices(); }

  /// This rank's contribution to a sum. `out`, when defined, is where it is best written; the sum is wherever the
  /// returned tensor is. An undefined tensor contributes nothing.
  using Partial = c10::function_ref<at::Tensor(const at::Tensor& out)>;
  /// Whose the memory of a sum is: the caller's own, or shared by the ranks of a node, which spares a copy; then nobody
  /// may write to it, and it lasts until the reduction after the next of its plan.
  enum class Memory : std::uint8_t { own, shared };
  struct ReduceOptions {
    Memory memory = Memory::own;
    /// Made before the parts are computed, and again when it no longer holds on some rank.
    Agreement* agreement = nullptr;
    /// Has the layout that the sum is likely to have, so that the first part can already be written where it is summed.
    at::Tensor like = {};
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
      if (!deferred_) {
        deferred_ = failures_.describe(std::current_exception());
      }
      return fallback();
    }
  }

  /// Runs local work that no message follows: an OperatorFailure becomes a RankFailure that names the global index.
  template <class F>
  auto local(F&& work) -> decltype(work()) {
    try {
      return work();
    } catch (const OperatorFailure&) {
      failures_.throw_local(std::current_exception());
    }
  }

 private:
  std::optional<Failure> take_deferred();
  /// Without other ranks: throws what was deferred, and what `work` throws, as RankFailure.
  template <class F>
  auto run_alone(F&& work) -> decltype(work()) {
    try {
      if (const std::optional<Failure> failure = take_deferred()) {
        std::rethrow_exception(failure->exception);
      }
      return work();
    } catch (...) {
      failures_.throw_local(std::current_exception());
    }
  }
  /// Every rank's `mine`; throws the first failure among the ranks' on all of them instead. Collective.
  std::vector<Params> reports(Params mine, const std::optional<Failure>& failure);

  void plan_reduce(const char* what, ReducePlan& plan, const std::vector<Params>& layouts, const at::Tensor& mine);
  void plan_gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy,
                   const std::vector<Params>& layouts);
  TensorList gather_naive(const Sharding& sharding, LocalResults all);
  TensorList gather_concatenated(GatherPlan& plan, const Sharding& sharding, LocalResults all);
  TensorList gather_broadcast(GatherPlan& plan, const Sharding& sharding, LocalResult one);
  int rank() const { return communicator_->rank(); }

  std::shared_ptr<Communicator> communicator_;
  at::Device device_;
  Failures failures_;
  std::optional<Failure> deferred_;
  std::vector<double> message_;  // kept between sums
};

}  // namespace adjoin
