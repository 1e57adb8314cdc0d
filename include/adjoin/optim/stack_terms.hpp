// SPDX-License-Identifier: BSD-3-Clause
// What the data fidelities of stacks in one process and over ranks have in common.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "adjoin/core/norms.hpp"
#include "adjoin/core/params.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/optim/data_fidelity.hpp"
#include "adjoin/physics/physics.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin {

/// Makes the fidelity of operator `index`; called only for the operators that this rank owns.
using DataFidelityFactory = std::function<DataFidelityPtr(std::int64_t index, at::Device device)>;

struct DataFidelityOptions {
  /// sum, or mean: 1/n of it. By default that of the stack, whose adjoint then is that of the gradient; sum for stacks
  /// of operators that are not linear.
  std::optional<Reduction> reduction = {};
};

/// Every count-th operator, from `index` on: {i : i mod count = index}, by global index, so the same whatever the
/// number of ranks. (They share its work evenly when count and number of ranks have no common divisor.)
struct Subset {
  std::int64_t index = 0;
  std::int64_t count = 1;
};

/// The values of independent problems along dimension 0, and the gradient where it was taken.
struct ItemValues {
  Reals values;
  at::Tensor grad;
};

namespace detail {

/// The operators of one process, by position.
struct LocalOperators {
  std::function<TensorList(const at::Tensor& x, const Params& params)> A;
  /// Σ J_i(x)ᵀ v_i, in `out` where that is defined and fits; undefined without operators.
  std::function<at::Tensor(const at::Tensor& x, const TensorList& v, const at::Tensor& out, const Params& params)> vjp;
  /// Σ A_iᵀ w_i (A_i x − y_i), likewise; empty for operators that are not linear.
  std::function<at::Tensor(const at::Tensor& x, const TensorList& y, const TensorList& weights, const at::Tensor& out,
                           const Params& params)>
      weighted_residual;
  std::function<const Physics&(std::size_t position)> one;
  /// The parameters that one of them takes.
  std::function<Params(std::size_t position, const Params& params)> taken;
};

/// Σ d_i(A_i x, y_i) over the operators of one process.
class StackTerms {
 public:
  StackTerms() = default;
  /// `indices`: the operators' places in the whole stack.
  StackTerms(LocalOperators operators, std::vector<DataFidelityPtr> fidelities, std::vector<std::int64_t> indices)
      : operators_(std::move(operators)), fidelities_(std::move(fidelities)), indices_(std::move(indices)) {}

  enum class Wanted : std::uint8_t { value, grad, both };
  /// Σ d_i of each of `items` problems, and Σ J_iᵀ ∇d_i, which is written into `out` where that is defined and fits,
  /// and undefined without operators.
  ItemValues sum(Wanted wanted, const at::Tensor& x, const TensorList& y, std::int64_t items, const at::Tensor& out,
                 const Params& params) const;
  /// Σ J_iᵀ ∇d_i over the operators of the subset.
  at::Tensor subset_grad(const Subset& subset, const at::Tensor& x, const TensorList& y, const Params& params) const;
  /// u ← prox of sigma (weight d_i)* at u + sigma A x; an empty u stands for zeros. Returns Σ A_iᵀ u_i, as `vjp` does.
  at::Tensor dual_step(TensorList& u, const at::Tensor& x, const TensorList& y, double sigma, double weight,
                       const at::Tensor& out, const Params& params) const;
  /// Largest Lipschitz constant; 0 without operators.
  double lipschitz() const;
  /// The common σ when every fidelity is L2 with one σ; 0 without operators, NaN otherwise.
  double sigma() const;

 private:
  /// The gradient where every fidelity is L2 and one has a σ for each sample, which operators may weigh while they hold
  /// a measurement in cache; else undefined, and where an argument does not fit.
  at::Tensor weighted_least_squares(const at::Tensor& x, const TensorList& y, const at::Tensor& out,
                                    const Params& params) const;

  LocalOperators operators_;
  std::vector<DataFidelityPtr> fidelities_;
  std::vector<std::int64_t> indices_;
};

/// The fidelities of the operators `indices` of n: one for all, picked from those of all, or made for each. Throw
/// InvalidArgument for a null one and a count unlike n.
std::vector<DataFidelityPtr> one_for_all(const DataFidelityPtr& fidelity, const std::vector<std::int64_t>& indices);
std::vector<DataFidelityPtr> picked(const std::vector<DataFidelityPtr>& all, const std::vector<std::int64_t>& indices,
                                    std::int64_t n);
std::vector<DataFidelityPtr> made(const DataFidelityFactory& factory, const std::vector<std::int64_t>& indices,
                                  at::Device device);

/// 1, or 1/n for a mean.
double factor_of(Reduction reduction, std::int64_t n);
/// The sum, which may be undefined, times a factor.
at::Tensor scaled(const at::Tensor& sum, double factor);
/// What prox_l2 needs for γ where all fidelities are L2 with this sigma (StackTerms::sigma): γ weight / σ².
double prox_weight(double gamma, double sigma, double weight);
/// y in the precision of x.
TensorList in_precision_of(const at::Tensor& x, const TensorList& y);
/// The sum of `both`'s values as one differentiable operation of x, a scalar tensor of dtype double.
at::Tensor value_with_gradient(const at::Tensor& x, const std::function<ItemValues()>& both);

}  // namespace detail

}  // namespace adjoin
