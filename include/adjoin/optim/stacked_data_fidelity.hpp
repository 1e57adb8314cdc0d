// SPDX-License-Identifier: BSD-3-Clause
// The data fidelity of a stack of operators in one process: f(x) = Σ d_i(A_i x, y_i).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "adjoin/optim/stack_terms.hpp"

namespace adjoin {

/// f(x) = Σ d_i(A_i x, y_i), or 1/n of it, of a stack in one process, which must outlive this. y holds one tensor an
/// operator. Values, gradients and subsets need no linear operators; norms, prox and dual_step do, and throw
/// InvalidArgument without. A failure in operator or fidelity i is an OperatorFailure with index i.
class StackedDataFidelity {
 public:
  /// One fidelity for all operators, one for each (throws InvalidArgument when the counts differ), or made for each.
  StackedDataFidelity(const StackedLinearPhysics& stack, const DataFidelityPtr& fidelity,
                      const DataFidelityOptions& options = {});
  StackedDataFidelity(const StackedLinearPhysics& stack, const std::vector<DataFidelityPtr>& fidelities,
                      const DataFidelityOptions& options = {});
  StackedDataFidelity(const StackedLinearPhysics& stack, const DataFidelityFactory& factory,
                      const DataFidelityOptions& options = {});
  StackedDataFidelity(const StackedPhysics& stack, const DataFidelityPtr& fidelity,
                      const DataFidelityOptions& options = {});
  StackedDataFidelity(const StackedPhysics& stack, const std::vector<DataFidelityPtr>& fidelities,
                      const DataFidelityOptions& options = {});

  /// f(x): a scalar tensor of dtype double. Differentiable with respect to x, once.
  at::Tensor fn(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  /// ∇f(x) = Σ J_i(x)ᵀ ∇d_i(A_i x, y_i). Cut off from autograd, as are the results below.
  at::Tensor grad(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  ValueAndGradient fn_and_grad(const at::Tensor& x, const TensorList& y, const Params& params = {}) const;
  /// The gradient of the terms of a subset of the operators, not scaled up to the whole.
  at::Tensor grad(const at::Tensor& x, const TensorList& y, const Subset& subset, const Params& params = {}) const;
  /// The value of each of `items` independent problems along dimension 0 of x and y, without and with the gradient.
  Reals item_values(const at::Tensor& x, const TensorList& y, std::int64_t items, const Params& params = {}) const;
  ItemValues item_values_and_grad(const at::Tensor& x, const TensorList& y, std::int64_t items,
                                  const Params& params = {}) const;
  /// How many there are: the length of dimension 0 where images like x0 and y have that in common (common_items).
  std::int64_t items(const at::Tensor& x0, const TensorList& y) const;

  /// argmin_v γ f(v) + 1/2 ‖v − x‖², by the solver of `options`. y is taken in the precision of x. Throws
  /// InvalidArgument unless every fidelity is L2 with one σ.
  at::Tensor prox(const at::Tensor& x, const TensorList& y, double gamma, const DaggerOptions& options = {}) const;
  /// The dual step of primal-dual methods: with F(u) = Σ d_i(u_i, y_i) and the inner product of the stack's
  /// measurements, u ← prox_{σ F*}(u + σ A x). Returns Aᵀ u. An empty u stands for zeros.
  at::Tensor dual_step(TensorList& u, const at::Tensor& x, const TensorList& y, double sigma,
                       const Params& params = {}) const;

  bool is_linear() const { return linear_ != nullptr; }
  /// The Lipschitz constant of ∇f, max_i Lip(∇d_i) · ‖A‖², with sqnorm(x0) for ‖A‖²; infinite where a fidelity or a
  /// nonlinear operator has none. `x0` gives shape, dtype and device of the image.
  double lipschitz(const at::Tensor& x0, const Params& params = {}) const;
  /// ‖A‖² to a few percent, seldom less than it is and then by little (the stack's guess_sqnorm).
  double sqnorm(const at::Tensor& x0, const Params& params = {}) const;

  // As in DistributedDataFidelity, where there is one process.
  void run(const char* /*what*/, const std::function<std::string()>& begin, const std::function<void()>& work) const {
    (void)begin();
    work();
  }
  bool on_all_ranks(const std::function<bool()>& question) const { return question(); }

 private:
  using Wanted = detail::StackTerms::Wanted;

  double scale() const;   // of Σ d_i
  double weight() const;  // of Σ d_i against the inner product of the measurements
  const StackedLinearPhysics& linear(const char* what) const;
  void check_count(const TensorList& y) const;
  ItemValues evaluate(Wanted wanted, const at::Tensor& x, const TensorList& y, std::int64_t items,
                      const Params& params) const;

  const StackedLinearPhysics* linear_ = nullptr;  // where the operators are linear
  std::int64_t size_;
  Reduction reduction_;
  detail::StackTerms terms_;
};

}  // namespace adjoin
