// SPDX-License-Identifier: BSD-3-Clause
// The least-squares problems of linear measurement models, for measurements of any vector type.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/physics/gamma.hpp"
#include "adjoin/physics/linear_physics.hpp"
#include "adjoin/solvers/solver.hpp"

namespace adjoin {

/// Whether a solver applies AᵀA; else it applies A and Aᵀ.
inline bool uses_normal_equations(Solver solver) { return solver != Solver::LSQR && solver != Solver::LSMR; }

/// Throws InvalidArgument unless max_iter ≥ 0 and tol ≥ 0 and finite.
void check_options(const DaggerOptions& options);

/// √w of weights that are none below zero; throws InvalidArgument for others.
TensorList roots_of(const TensorList& weights);
/// y times weights that broadcast to it, in the precision of y. Throws InvalidArgument where they do not.
at::Tensor weighed(const at::Tensor& y, const at::Tensor& weights);
TensorList weighed(const TensorList& y, const TensorList& weights);

/// Calls `monitor` after every iteration, below a progress bar when `verbose`.
Monitor progress_monitor(const char* method, std::string_view solver, bool verbose, const Monitor& monitor);

/// A linear map as the solvers below see it. Y is at::Tensor, TensorList or ShardedTensorList; with the last, X may be
/// ShardedImage. All three maps must use the same inner product of Y, which is that of dot(Y, Y). Where autograd
/// records, they own what they refer to.
template <class Y, class X = at::Tensor>
struct LeastSquaresProblem {
  LinearMap<X, Y> A;
  LinearMap<Y, X> A_adjoint;
  LinearMap<X, X> A_adjoint_A;
  Y y;
  /// Independent problems along dimension 0 (common_items of image and y).
  std::int64_t items = 1;
  /// Aᵀ y if the caller has it already, else undefined. Recorded, where autograd does, but as if y were constant.
  X A_adjoint_y;
};

/// argmin ‖A x − y‖ by options.solver from options.init, or from zero, which gives the minimum-norm solution. CG,
/// MINRES and BiCGStab solve AᵀA x = Aᵀ y. Differentiates as LinearPhysics::A_dagger does.
template <class Y>
at::Tensor solve_least_squares(const LeastSquaresProblem<Y>& problem, const DaggerOptions& options);
/// The same from `init` in place of options.init; not differentiable.
ShardedImage solve_least_squares(const LeastSquaresProblem<ShardedTensorList, ShardedImage>& problem,
                                 const DaggerOptions& options, const std::optional<ShardedImage>& init);

/// argmin γ/2 ‖A x − y‖² + 1/2 ‖x − z‖². CG, MINRES and BiCGStab solve (γ AᵀA + I) x = γ Aᵀ y + z from options.init, or
/// from z; LSQR and LSMR take 1/√γ as damping around z, without options.init. γ may be one an item. Differentiates.
template <class Y>
at::Tensor solve_prox_l2(const LeastSquaresProblem<Y>& problem, const at::Tensor& z, const Gamma& gamma,
                         const DaggerOptions& options);
ShardedImage solve_prox_l2(const LeastSquaresProblem<ShardedTensorList, ShardedImage>& problem, const ShardedImage& z,
                           const Gamma& gamma, const DaggerOptions& options, const std::optional<ShardedImage>& init);

}  // namespace adjoin
