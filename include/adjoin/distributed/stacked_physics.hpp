// SPDX-License-Identifier: BSD-3-Clause
// A stack of measurement models spread over ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/distributed/autograd.hpp"
#include "adjoin/distributed/context.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/distributed/local_stack.hpp"
#include "adjoin/distributed/measurements.hpp"
#include "adjoin/distributed/parameters.hpp"
#include "adjoin/distributed/sharding.hpp"
#include "adjoin/distributed/slice_grid.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin {

/// Makes the operator `index`; called only for the operators that this rank owns. `shared` holds the options'
/// factory_kwargs of rank 0, its tensors on `device`.
using PhysicsFactory = std::function<PhysicsPtr(std::int64_t index, at::Device device, const Params& shared)>;

struct DistributedOptions {
  /// Values for the factory, broadcast from rank 0 once; what other ranks pass is ignored.
  Params factory_kwargs = {};
  Reduction reduction = Reduction::sum;
  /// When given, images and measurements must have this precision (the dtype itself or its complex counterpart).
  std::optional<at::ScalarType> dtype = {};
  GatherStrategy gather_strategy = GatherStrategy::concatenated;
  /// When given, one positive cost an operator: operators are spread to balance them. Round robin otherwise.
  std::vector<double> costs = {};
  /// Use fused forms of the local operators where they exist.
  bool fuse = true;
  /// When given, the ranks are a grid, for linear operators that act slice by slice: each takes its operators on its
  /// slices. The stack then works on sharded images alone, which are cut along the slices and need no message.
  std::optional<SliceGrid> grid = {};
};

struct CallOptions {
  /// Combine the results of all ranks; false gives this rank's part and sends nothing. Must be equal on every rank.
  bool gather = true;
  /// Handed to every operator.
  Params params = {};
  /// Of sums of images over the operators, in place of the stack's own. Must be equal on every rank.
  std::optional<Reduction> reduction = {};
};

/// A stack [A_1; …; A_n] of any measurement models, each owned by one rank. Images are replicated: every rank passes
/// the same x. Creation and every call with `gather` are collective: when an operator, the factory or an argument
/// fails on one rank, every rank throws the same RankFailure at that call, and the next call works.
///
/// Calls differentiate with respect to images, measurements and parameters (docs/gradients.md); the stack must outlive
/// the backward pass, which is collective where the call was. (A stack held by a shared pointer is kept that long.)
class DistributedStackedPhysics : public std::enable_shared_from_this<DistributedStackedPhysics> {
 public:
  DistributedStackedPhysics(DistributedContext& context, std::int64_t num_operators, const PhysicsFactory& factory,
                            const DistributedOptions& options = {});
  virtual ~DistributedStackedPhysics();
  DistributedStackedPhysics(const DistributedStackedPhysics&) = delete;
  DistributedStackedPhysics& operator=(const DistributedStackedPhysics&) = delete;

  std::int64_t num_operators() const { return sharding_.num_items(); }
  /// Global indices of the operators of this rank, ascending.
  const std::vector<std::int64_t>& local_indices() const { return sharding_.items_of(rank()); }
  /// Over the ranks of group().
  const Sharding& sharding() const { return sharding_; }
  const DistributedContext& context() const { return context_; }
  /// The ranks among which operators are spread and images added up: all, or on a grid those with this rank's slices.
  Communicator& group() const { return exchange_->communicator(); }
  /// Whether the ranks are a grid.
  bool has_grid() const { return slices_ != nullptr; }

  /// In a handler, where arguments are read for a call of this name (a binding to another language, say): this rank
  /// cannot make the call that the other ranks make. Throws the exception in hand, and RankFailure on the others.
  [[noreturn]] void refuse(const char* method) const;

  /// Tensors that the operators use and that calls differentiate with respect to; see Parameters. Collective.
  void set_parameters(std::vector<at::Tensor> replicated, std::vector<at::Tensor> owned = {});

  /// [A_1 x, …, A_n x] on every rank, by one collective (as the gather strategy has it); or, with gather = false, this
  /// rank's measurements in the order of local_indices(), without any message.
  TensorList A(const at::Tensor& x, const CallOptions& options = {}) const;
  /// The same with noise and sensor response.
  TensorList forward(const at::Tensor& x, const CallOptions& options = {}) const;
  /// This rank's measurements as a vector with a global inner product. No message.
  ShardedTensorList A_sharded(const at::Tensor& x, const Params& params = {}) const;
  ShardedTensorList forward_sharded(const at::Tensor& x, const Params& params = {}) const;
  /// Σ A_i x, or (1/n) Σ A_i x, for operators with measurements of one shape: over all operators, or with
  /// gather = false over this rank's, without any message (a zero scalar on a rank without operators).
  at::Tensor A_reduced(const at::Tensor& x, Reduction reduction, const CallOptions& options = {}) const;
  at::Tensor forward_reduced(const at::Tensor& x, Reduction reduction, const CallOptions& options = {}) const;

  /// What belongs to this rank, without any message: its operators, and its measurements of y, checked (`argument`
  /// names y in messages).
  const LocalStack& local() const { return *local_; }
  TensorList local_part(const char* argument, const Measurements& y) const;

 protected:
  /// Makes what holds this rank's operators; called where they are made, so that what it throws is thrown everywhere.
  using MakeLocal = std::function<std::unique_ptr<LocalStack>(std::vector<PhysicsPtr> operators)>;
  DistributedStackedPhysics(DistributedContext& context, std::int64_t num_operators, const PhysicsFactory& factory,
                            const DistributedOptions& options, const MakeLocal& make_local);

  /// Whether A is linear, and its derivative so another call of the stack.
  virtual bool is_linear() const { return false; }
  /// Σ J_i(x)ᵀ v_i, of the whole list v, without any weight; differentiable in turn.
  virtual at::Tensor pulled_back(const at::Tensor& x, const TensorList& v, const Params& params) const;

  /// This rank's measurements as a vector of the stack's space.
  ShardedTensorList sharded(TensorList local) const { return {.local = std::move(local), .space = space_}; }
  /// Those of a list of inputs of `recorded`, of which the others count for nothing, by position.
  TensorList owned_items(at::ArrayRef<at::Tensor> items) const;

  /// Runs part of a backward pass, which needs this rank's operators as they were in the forward pass: throws Error on
  /// every rank unless they are.
  template <class Body>
  auto of_unchanged(std::int64_t version, Body&& body) const -> decltype(body()) {
    return exchange_->call("gradient", {}, [&] {
      const auto check = [&] { check_unchanged(version); };
      exchange_->deferring(check, [] {});
      return body();
    });
  }
  void check_unchanged(std::int64_t version) const;

  /// Throws InvalidArgument unless `tensor` is defined, on the context's device and of the stack's precision.
  void check_tensor(const char* argument, const at::Tensor& tensor) const;
  /// Whether autograd must follow a call's local part, for the parameters that it uses. Throws InvalidArgument where an
  /// operator is made of a tensor whose gradients cannot arrive (check_gradients_arrive).
  bool uses_followed(const Params& params) const {
    check_gradients_arrive();
    return parameters_.recorded() || records_gradients(params);
  }
  /// Throws, on all ranks, where an operator is made of tensors whose gradients or tangents would be lost.
  void check_gradients_arrive() const;
  /// A call of this stack whose local part autograd follows; `plans` are kept from call to call.
  RecordedCall recording(const char* name, const std::shared_ptr<CallPlans>& plans) const;
  /// n items, one an operator.
  std::vector<Spread> item_spreads() const;
  /// Among those of group().
  int rank() const { return exchange_->communicator().rank(); }
  /// Throws InvalidArgument on a grid, for a method whose images are replicated.
  void check_no_grid(const char* method) const {
    check(!has_grid(), method, ": a stack on a grid takes and gives sharded images alone (shard_image makes one)");
  }
  /// Whether y holds the measurements of all operators and slices, and so is equal on all ranks.
  bool holds_all(const Measurements& y) const {
    return y.is_whole(*space_) && (slices_ == nullptr || slices_->has_all_slices(y.list()));
  }

  DistributedContext& context_;
  std::optional<at::ScalarType> dtype_;
  GatherStrategy gather_strategy_;
  /// Among all ranks, and among those of group(): one and the same without a grid.
  std::shared_ptr<Exchange> everyone_;
  std::shared_ptr<Exchange> exchange_;
  Sharding sharding_;
  /// Null without a grid.
  std::shared_ptr<SliceShare> slices_;
  std::shared_ptr<const MeasurementSpace> space_;
  Parameters parameters_;

 private:
  std::shared_ptr<Exchange> group_exchange(std::int64_t num_operators, const DistributedOptions& options) const;
  /// Makes known along which axes this rank's measurements hold slices. Collective.
  void share_axes(const std::vector<std::int64_t>& mine);
  /// What any operator of any rank takes, from what this rank's take. Collective.
  ParameterNames names_on_all_ranks(const ParameterNames& mine) const;

  struct Step;  // A or forward
  static const Step step_A;
  static const Step step_forward;
  TensorList measured(const Step& step, const at::Tensor& x, const CallOptions& options) const;
  TensorList followed(const Step& step, const at::Tensor& x, const Params& params) const;
  at::Tensor reduced(const Step& step, const at::Tensor& x, Reduction reduction, const CallOptions& options) const;

  std::unique_ptr<LocalStack> local_;
  std::shared_ptr<CallPlans> A_plans_ = std::make_shared<CallPlans>();
  std::shared_ptr<CallPlans> forward_plans_ = std::make_shared<CallPlans>();
  std::shared_ptr<CallPlans> gradient_plans_ = std::make_shared<CallPlans>();
};

}  // namespace adjoin
