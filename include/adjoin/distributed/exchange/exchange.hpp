// SPDX-License-Identifier: BSD-3-Clause
// The one door to the network: calls that all ranks make together, and the verbs by which they communicate in them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/core/sharded_image.hpp"
#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/distributed/context.hpp"
#include "adjoin/distributed/exchange/call_arguments.hpp"
#include "adjoin/distributed/exchange/failure.hpp"
#include "adjoin/distributed/exchange/plans.hpp"
#include "adjoin/distributed/sharding.hpp"

namespace adjoin {

/// All communication of one distributed object. Every public call is a call(): whatever fails in it on one rank, every
/// rank throws the same RankFailure; ranks that make unlike calls all throw CallDisagreement; and the next call works.
/// A failure of the local work that a verb is given travels with the verb's message, as does a changed shape, upon
/// which all ranks plan anew. In the steady state a verb is exactly one collective.
class Exchange : public ScalarSum {
 public:
  /// `owner` names the object in messages until it has a number. Among the ranks of `group`, where it is given: ranks
  /// of the context that follow one another, of which failures give the numbers that they have in the context.
  Exchange(const DistributedContext& context, std::string owner, std::shared_ptr<Communicator> group = nullptr);

  /// From now on calls are named after "`kind` 2", when it is the second of this kind in the context. To be called when
  /// all ranks are known to have made the object.
  void number(const DistributedContext& context, const std::string& kind);
  /// Takes over the name of an object's other exchange.
  void share_name(const Exchange& other) { owner_ = other.owner_; }
  /// Global indices of this rank's operators, to name a failing one.
  void set_indices(std::vector<std::int64_t> indices);
  const std::vector<std::int64_t>& indices() const { return failures_.indices(); }

  Communicator& communicator() const { return *communicator_; }
  at::Device device() const { return device_; }
  bool alone() const { return alone_; }

  // ---- Calls ----

  /// Runs `body`, which reads arguments, works and communicates by the verbs below: all of a public call. `arguments`
  /// must be equal on all ranks; they are compared with the first message, at no cost but that of their fingerprint.
  template <class Body>
  auto call(const char* method, const CallArguments& arguments, Body&& body) -> decltype(body()) {
    if (alone_) {
      try {
        return body();
      } catch (const RankFailure&) {
        throw;
      } catch (...) {
        failures_.throw_local(std::current_exception());
      }
    }
    try {
      const Running running(*this, method, arguments);
      try {
        return body();
      } catch (...) {
        fail(std::current_exception());
      }
    } catch (const CallDisagreement& disagreement) {
      settle(method, arguments, disagreement);
    }
  }
  /// Runs part of a call of an object's other exchange, among all ranks, in which this one communicates in its group;
  /// what fails is told by that call.
  template <class Body>
  auto within(const char* method, Body&& body) -> decltype(body()) {
    static const CallArguments none;
    const Running running(*this, method, none);
    return body();
  }
  /// In a handler: this rank cannot make the call that the others make, because of the exception in hand, such as a
  /// wrong argument. Throws it on all ranks.
  [[noreturn]] void refuse(const char* method);

  /// Runs a call's local work that no message follows: an OperatorFailure becomes a RankFailure that names the global
  /// index.
  template <class F>
  auto local(F&& work) const -> decltype(work()) {
    try {
      return work();
    } catch (const OperatorFailure&) {
      failures_.throw_local(std::current_exception());
    }
  }

  // ---- Verbs, in calls ----

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
  /// Partial to replicated: Σ over the ranks.
  at::Tensor reduce(ReducePlan& plan, Partial partial, const ReduceOptions& options);
  at::Tensor reduce(ReducePlan& plan, Partial partial) { return reduce(plan, partial, {}); }

  /// How an image of these sizes is cut into slabs; equal on all ranks. It may make collective calls itself.
  using Cut = c10::function_ref<std::shared_ptr<const ImageSpace>(at::IntArrayRef sizes, at::ScalarType dtype)>;
  /// Partial to slab: this rank's slab of Σ over the ranks, in memory of its own.
  ShardedImage reduce_to_slab(ReducePlan& plan, Partial partial, Cut cut, const ReduceOptions& options);
  ShardedImage reduce_to_slab(ReducePlan& plan, Partial partial, Cut cut) {
    return reduce_to_slab(plan, partial, cut, {});
  }
  /// Slab to replicated: the whole image, which on one node lies where all ranks read it. Nobody may write to it, and
  /// it lasts until the next message of the plans' sums.
  at::Tensor assemble(CallPlans& plans, const ShardedImage& x);

  /// Sharded to gathered: the tensors of all ranks, by global index. `all` gives this rank's results together, `one`
  /// the result at one local position. `out`, when not empty, is where the results are best written; they are wherever
  /// the returned tensors are.
  using LocalResults = c10::function_ref<TensorList(const TensorList& out)>;
  using LocalResult = c10::function_ref<at::Tensor(std::size_t position)>;
  TensorList gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy, LocalResults all,
                    LocalResult one);

  /// Runs `local` on every rank, and throws on all what it throws on one, by a small message.
  void agree(c10::function_ref<void()> local);
  /// Largest of the ranks' values, one by one, after `local`, which fills them in; likewise.
  void agree_max(std::span<double> values, c10::function_ref<void()> local);
  /// Smallest of the ranks' `value`s.
  double agree_min(double value);

  /// Global sums for the inner products of sharded vectors.
  void sum(std::span<c10::complex<double>> values) override;

  /// Runs local work inside a distributed iteration. An exception is kept and thrown, everywhere, by the next verb;
  /// until then the work's result is `fallback()`.
  template <class F, class Fallback>
  auto deferring(F&& work, Fallback&& fallback) -> decltype(work()) {
    if (alone_) {
      return work();
    }
    try {
      return work();
    } catch (...) {
      if (!deferred_) {
        deferred_ = failures_.describe(std::current_exception());
      }
      return fallback();
    }
  }

 private:
  /// "A_adjoint of stack 2". Put together anew for each call, which takes no longer than to look it up.
  class Name {
   public:
    Name(const char* method, const std::string& owner);
    std::string_view text() const { return {text_.data(), length_}; }

   private:
    std::array<char, 120> text_;
    std::size_t length_ = 0;
  };

  /// A call on this rank while it lasts.
  class Running {
   public:
    Running(Exchange& exchange, const char* method, const CallArguments& arguments);
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running();

   private:
    Exchange& exchange_;
    Name name_;
    CallScope scope_;
    /// Not within another call of the object, whose arguments count.
    bool is_outer_;
  };

  /// Makes all ranks throw what this one has in hand, unless they do.
  [[noreturn]] void fail(const std::exception_ptr& exception);
  /// What all ranks throw in its place.
  [[noreturn]] void settle(const char* method, const CallArguments& arguments, const CallDisagreement& disagreement);
  /// Throws a failure that names the argument and rank, if there are unlike ones. Collective.
  void compare(const char* method, const CallArguments& arguments);

  /// What is told about this call's replicated arguments with its first message; NaN when nothing is.
  double take_sample();
  /// From then on what fails travels with the message.
  void commit() {
    if (scope_ != nullptr) {
      scope_->commit();
    }
  }
  std::optional<Failure> take_deferred() { return std::exchange(deferred_, std::nullopt); }
  /// Every rank's `mine`; throws the first failure among the ranks' on all of them instead. Collective.
  std::vector<Params> confer(const Params& mine, const std::optional<Failure>& failure);

  /// A sum, or this rank's slab of it.
  struct Reduced {
    at::Tensor tensor;
    std::shared_ptr<const ImageSpace> space;
  };
  Reduced reduced(ReducePlan& plan, Partial partial, const Cut* cut, const ReduceOptions& options);
  std::shared_ptr<const ImageSpace> cut_of(const ReducePlan& plan, const Cut& cut, bool planned) const;
  void plan_reduce(ReducePlan& plan, const std::vector<Params>& layouts, const at::Tensor& mine);
  /// Memory for sums of these sizes.
  void prepare(ReducePlan& plan, at::IntArrayRef sizes, at::ScalarType dtype);
  void plan_gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy,
                   const std::vector<Params>& layouts);
  TensorList gather_naive(const Sharding& sharding, LocalResults all);
  TensorList gather_concatenated(GatherPlan& plan, const Sharding& sharding, LocalResults all);
  TensorList gather_broadcast(GatherPlan& plan, const Sharding& sharding, LocalResult one);
  int rank() const { return communicator_->rank(); }

  std::shared_ptr<Communicator> communicator_;
  at::Device device_;
  bool alone_;
  /// What rank 0 here is in the context.
  int first_rank_;
  CheckReplicated check_;
  std::string owner_;
  Failures failures_;

  // The call that this rank is in.
  CallScope* scope_ = nullptr;
  const char* method_ = nullptr;
  const CallArguments* arguments_ = nullptr;
  /// Whether the arguments have been compared, or need not be.
  bool sampled_ = true;
  std::optional<Failure> refused_;
  std::optional<Failure> deferred_;
  std::vector<double> message_;  // kept between sums
};

}  // namespace adjoin
