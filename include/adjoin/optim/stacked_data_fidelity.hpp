// The data fidelity of a stack of operators: f(x) = Σ d_i(A_i x, y_i), in one process and over ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/optim/data_fidelity.hpp"

namespace adjoin {

/// Makes the fidelity of operator `index`; called only for the operators that this rank owns.
using DataFidelityFactory = std::function<DataFidelityPtr(std::int64_t index, at::Device device)>;

struct DataFidelityOptions {
  /// sum, or mean: 1/n of it. By default that of the stack, whose adjoint then is that of the gradient.
  std::optional<Reduction> reduction = {};
};

/// Every count-th operator, from `index` on: {i : i mod count = index}, by global index, so the same whatever the
/// number of ranks. (They share its work evenly when count and number of ranks have no common divisor.)
struct Subset {
  std::int64_t index = 0;
  std::int64_t count = 1;
};

/// What an iteration begins with: the kind of its first message.
enum class NextMessage : std::uint8_t {
  gradient,  ///< grad, that of a subset, or dual_step
  prox
};

/// What the two classes below have in common; see there.
namespace detail {

class StackTerms {
 public:
  StackTerms(std::vector<DataFidelityPtr> fidelities, std::vector<std::int64_t> indices)
      : fidelities_(std::move(fidelities)), indices_(std::move(indices)) {}

  enum class Wanted : std::uint8_t { value, grad, both };
  /// Σ d_i and Σ J_iᵀ ∇d_i over this process's operators, whose clean measurements are Ax. The gradient is written into
  /// `out` where that is defined and fits, and undefined without operators.
  ValueAndGradient sum(Wanted wanted, const StackedLinearPhysics& operators, const at::Tensor& x, const TensorList& Ax,
                       const TensorList& y, const at::Tensor& out, const Params& params) const;
  /// Σ J_iᵀ ∇d_i over the operators of this process that are in the subset.
  at::Tensor subset_grad(const Subset& subset, const StackedLinearPhysics& operators, const at::Tensor& x,
                         const TensorList& y, const Params& params) const;
  /// prox of sigma (weight d_i)* at u_i + sigma Ax_i; an empty u stands for zeros.
  TensorList dual_step(const TensorList& u, const TensorList& Ax, const TensorList& y, double sigma,
                       double weight) const;
  /// Largest Lipschitz constant; 0 without operators.
  double lipschitz() const;
  /// The common σ when every fidelity is L2 with one σ; 0 without operators, NaN otherwise.
  double sigma() const;

 private:
  std::vector<DataFidelityPtr> fidelities_;  // by position among this process's operators
  std::vector<std::int64_t> indices_;        // their global indices
};

}  // namespace detail

/// f(x) = Σ d_i(A_i x, y_i), or 1/n of it, of a stack in one process, which must outlive this. y holds one tensor an
/// operator. A failure in operator or fidelity i is an OperatorFailure with index i.
class StackedDataFidelity {
 public:
  /// One fidelity for all operators, one for each (throws InvalidArgument when the counts differ), or made for each.
  StackedDataFidelity(const StackedLinearPhysics& stack, const DataFidelityPtr& fidelity,
                      const DataFidelityOptions& options = {});
  StackedDataFidelity(const StackedLinearPhysics& stack, const std::vector<DataFidelityPtr>& fidelities,
                      const DataFidelityOptions& options = {});
  StackedDataFidelity(const StackedLinearPhysics& stack, const DataFidelityFactory& factory,
                      const DataFidelityOptions& options = {});

  /// f(x): a scalar tensor of dtype double. Differentiable with respect to x, once.
  at::Tensor fn(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  /// ∇f(x) = Σ J_i(x)ᵀ ∇d_i(A_i x, y_i). Cut off from autograd, as are the results below.
  at::Tensor grad(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  ValueAndGradient fn_and_grad(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  /// The gradient of the terms of a subset of the operators, not scaled up to the whole.
  at::Tensor grad(const at::Tensor& x, const TensorList& y, const Subset& subset, const Params& params = {}) const;

  /// argmin_v γ f(v) + 1/2 ‖v − x‖², by the solver of `options`. Throws InvalidArgument unless every fidelity is L2
  /// with one σ.
  at::Tensor prox(const at::Tensor& x, const TensorList& y, double gamma, const DaggerOptions& options = {}) const;
  /// The dual step of primal-dual methods: with F(u) = Σ d_i(u_i, y_i) and the inner product of the stack's
  /// measurements, u ← prox_{σ F*}(u + σ A x). Returns Aᵀ u. An empty u stands for zeros.
  at::Tensor dual_step(TensorList& u, const at::Tensor& x, const TensorList& y, double sigma,
                       const Params& params = {}) const;

  /// An upper bound of the Lipschitz constant of ∇f, max_i Lip(∇d_i) · ‖A‖²; infinite where a fidelity has none. `x0`
  /// gives shape, dtype and device of the image.
  double lipschitz(const at::Tensor& x0, const SqnormOptions& options = {}) const;

  /// The answer to the question: there is one process.
  bool on_all_ranks(const std::function<bool()>& question) const { return question(); }
  void deferring(const std::function<void()>& work) const { work(); }
  void settle(NextMessage /*next*/) const {}

  const StackedLinearPhysics& stack() const { return stack_; }

 private:
  double scale() const;   // of Σ d_i
  double weight() const;  // of Σ d_i against the inner product of the measurements
  ValueAndGradient evaluate(detail::StackTerms::Wanted wanted, const at::Tensor& x, const TensorList& y,
                            const Params& params) const;

  const StackedLinearPhysics& stack_;
  Reduction reduction_;
  detail::StackTerms terms_;
};

/// f(x) = Σ d_i(A_i x, y_i), or 1/n of it, of a stack over ranks, which must outlive this. Creation and every call are
/// collective, unless it says otherwise, and every call is one collective once shapes are known. Measurements y are a
/// TensorList that holds all n tensors or just this rank's, or a ShardedTensorList. A failure on one rank (operator,
/// fidelity, argument) is thrown as the same RankFailure on every rank.
class DistributedDataFidelity {
 public:
  /// One fidelity for all operators, one for each of all operators (a count unlike theirs is an error), or made for
  /// each operator that a rank owns.
  DistributedDataFidelity(const DistributedStackedLinearPhysics& stack, const DataFidelityPtr& fidelity,
                          const DataFidelityOptions& options = {});
  DistributedDataFidelity(const DistributedStackedLinearPhysics& stack, const std::vector<DataFidelityPtr>& fidelities,
                          const DataFidelityOptions& options = {});
  DistributedDataFidelity(const DistributedStackedLinearPhysics& stack, const DataFidelityFactory& factory,
                          const DataFidelityOptions& options = {});

  /// f(x): a scalar tensor of dtype double. Differentiable with respect to x, once; the backward pass sends nothing.
  at::Tensor fn(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  at::Tensor fn(const at::Tensor& x, const ShardedTensorList& y, const Params& params = {}) const;
  /// ∇f(x) = Σ J_i(x)ᵀ ∇d_i(A_i x, y_i). Cut off from autograd, as are the results below.
  at::Tensor grad(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  at::Tensor grad(const at::Tensor& x, const ShardedTensorList& y, const Params& params = {}) const;
  /// Both in one reduction. The value keeps its double precision, whatever the image's.
  ValueAndGradient fn_and_grad(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  ValueAndGradient fn_and_grad(const at::Tensor& x, const ShardedTensorList& y, const Params& params = {}) const;
  /// The gradient of the terms of a subset of the operators, not scaled up to the whole.
  at::Tensor grad(const at::Tensor& x, const TensorList& y, const Subset& subset, const Params& params = {}) const;
  at::Tensor grad(const at::Tensor& x, const ShardedTensorList& y, const Subset& subset,
                  const Params& params = {}) const;

  /// argmin_v γ f(v) + 1/2 ‖v − x‖², by the solver of `options`: an image reduction an iteration. Throws unless every
  /// fidelity is L2 with one σ.
  at::Tensor prox(const at::Tensor& x, const TensorList& y, double gamma, const DaggerOptions& options = {}) const;
  at::Tensor prox(const at::Tensor& x, const ShardedTensorList& y, double gamma,
                  const DaggerOptions& options = {}) const;
  /// The dual step of primal-dual methods: with F(u) = Σ d_i(u_i, y_i) and the inner product of the stack's
  /// measurements, u ← prox_{σ F*}(u + σ A x), where u holds the dual variables of this rank's operators; an empty u
  /// stands for zeros. Returns Aᵀ u, by one reduction.
  at::Tensor dual_step(TensorList& u, const at::Tensor& x, const TensorList& y, double sigma,
                       const Params& params = {}) const;
  at::Tensor dual_step(TensorList& u, const at::Tensor& x, const ShardedTensorList& y, double sigma,
                       const Params& params = {}) const;

  /// An upper bound of the Lipschitz constant of ∇f, max_i Lip(∇d_i) · ‖A‖²; infinite where a fidelity has none.
  double lipschitz(const at::Tensor& x0, const SqnormOptions& options = {}) const;

  /// Whether every rank answers the question with yes, by a small collective; throws everywhere where one throws.
  bool on_all_ranks(const std::function<bool()>& question) const;
  /// Runs work of this rank's own. Among several ranks an exception is kept, and thrown on every rank by the next call
  /// of this object.
  void deferring(const std::function<void()>& work) const;
  /// Ends a loop in which deferring() was used and whose next call here would have been `next`: throws on every rank
  /// what was kept. It is the message of that call without its content, so a rank that does make the call, as it cannot
  /// know that the others have finished, meets it. Call it only after such a call.
  void settle(NextMessage next) const;

  const DistributedStackedLinearPhysics& stack() const { return stack_; }

 private:
  using Wanted = detail::StackTerms::Wanted;
  DistributedDataFidelity(const DistributedStackedLinearPhysics& stack, const DataFidelityOptions& options,
                          const std::function<std::vector<DataFidelityPtr>()>& make);

  double scale() const;   // of Σ d_i
  double weight() const;  // of Σ d_i against the inner product of the measurements
  /// Σ over the ranks of part(y, out), y being this rank's measurements.
  template <class Y, class Part>
  at::Tensor reduce(const char* what, ReducePlan& plan, const at::Tensor& x, const Y& y, Part&& part) const;
  template <class Y>
  ValueAndGradient evaluate(Wanted wanted, const at::Tensor& x, const Y& y, const Params& params) const;
  template <class Y>
  at::Tensor differentiable_value(const at::Tensor& x, const Y& y, const Params& params) const;
  template <class Y>
  at::Tensor subset_grad(const at::Tensor& x, const Y& y, const Subset& subset, const Params& params) const;
  template <class Y>
  at::Tensor dual(TensorList& u, const at::Tensor& x, const Y& y, double sigma, const Params& params) const;
  template <class Y>
  at::Tensor solve_prox(const at::Tensor& x, const Y& y, double gamma, const DaggerOptions& options) const;

  const DistributedStackedLinearPhysics& stack_;
  Reduction reduction_;
  std::shared_ptr<Exchange> exchange_;
  detail::StackTerms terms_;
  double lipschitz_ = 0.0;  // of the fidelities of all ranks
  double sigma_ = 0.0;      // their common σ, or NaN
  mutable ReducePlan value_plan_;
  mutable ReducePlan grad_plan_;
  mutable ReducePlan both_plan_;
};

}  // namespace adjoin
