// SPDX-License-Identifier: BSD-3-Clause
// The data fidelity of a stack of operators over ranks: f(x) = Σ d_i(A_i x, y_i).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/optim/stack_terms.hpp"
#include "adjoin/optim/stacked_data_fidelity.hpp"

namespace adjoin {

/// f(x) = Σ d_i(A_i x, y_i), or 1/n of it, of a stack over ranks, which must outlive this. Creation and every call are
/// collective, unless it says otherwise, and every call is one collective once shapes are known. Values, gradients and
/// subsets need no linear operators; norms, prox and dual_step do. A failure on one rank (operator, fidelity, argument)
/// is thrown as the same RankFailure on every rank.
class DistributedDataFidelity {
 public:
  /// One fidelity for all operators, one for each of all operators (a count unlike theirs is an error), or made for
  /// each operator that a rank owns.
  DistributedDataFidelity(const DistributedStackedPhysics& stack, const DataFidelityPtr& fidelity,
                          const DataFidelityOptions& options = {});
  DistributedDataFidelity(const DistributedStackedPhysics& stack, const std::vector<DataFidelityPtr>& fidelities,
                          const DataFidelityOptions& options = {});
  DistributedDataFidelity(const DistributedStackedPhysics& stack, const DataFidelityFactory& factory,
                          const DataFidelityOptions& options = {});

  /// f(x): a scalar tensor of dtype double. Differentiable with respect to x, once; the backward pass sends nothing.
  at::Tensor fn(const at::Tensor& x, const Measurements& y, const Params& params = {}) const;
  /// ∇f(x) = Σ J_i(x)ᵀ ∇d_i(A_i x, y_i). Cut off from autograd, as are the results below.
  at::Tensor grad(const at::Tensor& x, const Measurements& y, const Params& params = {}) const;
  /// Both in one reduction. The value keeps its double precision, whatever the image's.
  ValueAndGradient fn_and_grad(const at::Tensor& x, const Measurements& y, const Params& params = {}) const;
  /// The gradient of the terms of a subset of the operators, not scaled up to the whole.
  at::Tensor grad(const at::Tensor& x, const Measurements& y, const Subset& subset, const Params& params = {}) const;
  /// The value of each of `items` independent problems along dimension 0 of x and y, without and with the gradient.
  Reals item_values(const at::Tensor& x, const Measurements& y, std::int64_t items, const Params& params = {}) const;
  ItemValues item_values_and_grad(const at::Tensor& x, const Measurements& y, std::int64_t items,
                                  const Params& params = {}) const;
  /// How many there are: the length of dimension 0 where images like x0 and y have that in common (common_items).
  std::int64_t items(const at::Tensor& x0, const Measurements& y) const;

  /// argmin_v γ f(v) + 1/2 ‖v − x‖², by the solver of `options`: an image reduction an iteration. y is taken in the
  /// precision of x. Throws unless every fidelity is L2 with one σ.
  at::Tensor prox(const at::Tensor& x, const Measurements& y, double gamma, const DaggerOptions& options = {}) const;
  /// The dual step of primal-dual methods: with F(u) = Σ d_i(u_i, y_i) and the inner product of the stack's
  /// measurements, u ← prox_{σ F*}(u + σ A x), where u holds the dual variables of this rank's operators; an empty u
  /// stands for zeros. Returns Aᵀ u, by one reduction.
  at::Tensor dual_step(TensorList& u, const at::Tensor& x, const Measurements& y, double sigma,
                       const Params& params = {}) const;

  // ---- Sharded images, of stacks of linear operators ----
  // What is above, of images of which each rank holds a slab: x comes by one all-gather, and images go by one
  // reduce-scatter, cut as x is. Values are sums of a few numbers more. Not differentiable.

  at::Tensor fn(const ShardedImage& x, const Measurements& y, const Params& params = {}) const;
  ShardedImage grad(const ShardedImage& x, const Measurements& y, const Params& params = {}) const;
  ShardedImage grad(const ShardedImage& x, const Measurements& y, const Subset& subset,
                    const Params& params = {}) const;
  Reals item_values(const ShardedImage& x, const Measurements& y, std::int64_t items, const Params& params = {}) const;
  /// The gradient is this rank's slab.
  ItemValues item_values_and_grad(const ShardedImage& x, const Measurements& y, std::int64_t items,
                                  const Params& params = {}) const;
  std::int64_t items(const ShardedImage& x0, const Measurements& y) const;
  ShardedImage prox(const ShardedImage& x, const Measurements& y, double gamma,
                    const SlabDaggerOptions& options = {}) const;
  ShardedImage dual_step(TensorList& u, const ShardedImage& x, const Measurements& y, double sigma,
                         const Params& params = {}) const;
  double lipschitz(const ShardedImage& x0, const Params& params = {}) const;
  double sqnorm(const ShardedImage& x0, const Params& params = {}) const;

  bool is_linear() const { return linear_ != nullptr; }
  /// The stack, where its operators are linear; else null.
  const DistributedStackedLinearPhysics* linear_stack() const { return linear_; }
  /// The Lipschitz constant of ∇f, max_i Lip(∇d_i) · ‖A‖², with sqnorm(x0) for ‖A‖²; infinite where a fidelity or a
  /// nonlinear operator has none. `x0` gives shape, dtype and device of the image.
  double lipschitz(const at::Tensor& x0, const Params& params = {}) const;
  /// ‖A‖² to a few percent, seldom less than it is and then by little (the stack's guess_sqnorm).
  double sqnorm(const at::Tensor& x0, const Params& params = {}) const;

  /// Runs `what`, `work` in which this object's calls and work of a rank's own take turns, such as an algorithm: what
  /// is thrown on one rank, at whatever point, is thrown on all; what all throw alike, as it is. `begin` checks the
  /// arguments and returns the options as text, which must be equal on all ranks. Two small collectives, before and
  /// after.
  void run(const char* what, const std::function<std::string()>& begin, const std::function<void()>& work) const;
  /// Whether every rank answers the question with yes, by a small collective; throws everywhere where one throws.
  bool on_all_ranks(const std::function<bool()>& question) const;

 private:
  using Wanted = detail::StackTerms::Wanted;
  DistributedDataFidelity(const DistributedStackedPhysics& stack, const DataFidelityOptions& options,
                          const std::function<std::vector<DataFidelityPtr>()>& make);

  double scale() const;   // of Σ d_i
  double weight() const;  // of Σ d_i against the inner product of the measurements
  const DistributedStackedLinearPhysics& linear(const char* what) const;
  /// Σ over the ranks of part(y, out), y being this rank's measurements.
  template <class Part>
  at::Tensor reduce(const char* what, ReducePlan& plan, const at::Tensor& x, const Measurements& y, Part&& part) const;
  /// Σ over the ranks of part(the whole image, y, out), cut as x is.
  template <class Part>
  ShardedImage scattered(const char* what, const ShardedImage& x, const Measurements& y, Part&& part) const;
  /// f's values, of which `own` are this rank's terms.
  Reals added_up(Reals own) const;
  /// The least of what the ranks find in their measurements.
  std::int64_t least_items(const Measurements& y,
                           const std::function<std::int64_t(const TensorList& part)>& own_items) const;
  /// What a prox needs, checked on all ranks: the weight of the stack's, and y in the precision of x.
  std::pair<double, TensorList> prox_arguments(const at::Tensor& x, const Measurements& y, double gamma) const;
  ItemValues evaluate(Wanted wanted, const at::Tensor& x, const Measurements& y, std::int64_t items,
                      const Params& params) const;

  const DistributedStackedPhysics& stack_;
  const DistributedStackedLinearPhysics* linear_;  // the same, where it is linear
  Reduction reduction_;
  std::shared_ptr<Exchange> exchange_;
  detail::StackTerms terms_;
  double lipschitz_ = 0.0;  // of the fidelities of all ranks
  double sigma_ = 0.0;      // their common σ, or NaN
  mutable ReducePlan value_plan_;
  mutable ReducePlan grad_plan_;
  mutable ReducePlan both_plan_;
  mutable CallPlans slab_plans_;
};

}  // namespace adjoin
