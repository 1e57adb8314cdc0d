// A stack of measurement models spread over ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/distributed/autograd.hpp"
#include "adjoin/distributed/context.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/distributed/parameters.hpp"
#include "adjoin/distributed/sharding.hpp"
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
};

struct CallOptions {
  /// Combine the results of all ranks; false gives this rank's part and sends nothing. Must be equal on every rank.
  bool gather = true;
  /// Handed to every operator.
  Params params = {};
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
  const std::vector<std::int64_t>& local_indices() const { return sharding_.items_of(context_.rank()); }
  const Sharding& sharding() const { return sharding_; }
  const DistributedContext& context() const { return context_; }

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

 protected:
  /// For derived classes, which keep their operators themselves. Throws on every rank unless the arguments are valid
  /// and equal on all.
  DistributedStackedPhysics(DistributedContext& context, std::int64_t num_operators, const DistributedOptions& options);
  /// The owned operators, in the order of local_indices(). A failure on one rank is thrown on every rank.
  template <class P>
  std::vector<std::shared_ptr<P>> make_operators(const PhysicsFactory& factory, const Params& factory_kwargs,
                                                 const char* expected) const;
  /// What any operator of any rank takes, from what this rank's take. Collective.
  ParameterNames names_on_all_ranks(const ParameterNames& mine) const;

  enum class Step : std::uint8_t { A, forward };
  /// This rank's results: all of them, with `out` as in Exchange::gather, and the one at `position` of local_indices().
  virtual TensorList local_step(Step step, const TensorList& out, const at::Tensor& x, const Params& params) const;
  virtual at::Tensor local_step_of(Step step, std::size_t position, const at::Tensor& x, const Params& params) const;
  /// Σ J_i(x)ᵀ v_i over this rank's operators; undefined where there are none.
  virtual at::Tensor local_vjp(const at::Tensor& x, const TensorList& v, const Params& params) const;
  /// Grows with every version of an operator of this rank.
  virtual std::int64_t local_version() const { return local_->version(); }
  /// For a backward pass, which needs this rank's operators as they were in the forward pass. Throws Error.
  void check_unchanged(std::int64_t version) const;
  /// This rank's measurements as a vector of the stack's space.
  ShardedTensorList sharded(TensorList local) const { return {.local = std::move(local), .space = space_}; }

  /// Throws InvalidArgument unless `tensor` is defined, on the context's device and of the stack's precision.
  void check_tensor(const char* argument, const at::Tensor& tensor) const;
  /// How a call of these inputs is recorded when it takes the graph of its local part.
  Recording recording(std::vector<at::Tensor> inputs, bool replicated = true) const;
  int rank() const { return context_.rank(); }
  bool owns_all() const { return static_cast<std::int64_t>(local_indices().size()) == num_operators(); }

  DistributedContext& context_;
  Sharding sharding_;
  std::optional<at::ScalarType> dtype_;
  GatherStrategy gather_strategy_;
  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<const MeasurementSpace> space_;
  Parameters parameters_;

 private:
  TensorList gathered(Step step, const at::Tensor& x, const CallOptions& options) const;
  TensorList gathered_with_gradients(Step step, const at::Tensor& x, const CallOptions& options) const;
  at::Tensor reduced(Step step, const at::Tensor& x, Reduction reduction, const CallOptions& options) const;

  std::unique_ptr<StackedPhysics> local_;
  mutable std::array<GatherPlan, 2> gather_plans_;  // by step
  mutable ReducePlan reduced_plan_;
  mutable ReducePlan gradient_plan_;
};

}  // namespace adjoin
