// SPDX-License-Identifier: BSD-3-Clause
// Krylov solvers for square systems H x = b. Written once against vector_space.hpp; instantiated for at::Tensor,
// TensorList, ShardedTensorList and ShardedImage. b, x0 and what the maps return are never modified. A zero right-hand
// side gives zero. Gradients are not recorded. NaN or infinity in b, or from a map, throws Error naming the iteration.
//
// Problems of all scales are solved in units in which they are of order 1 (docs/solvers.md); a solution that its dtype
// does not hold throws Error. The solution has the dtype of x0 where that is given, else of b.
#pragma once

#include <optional>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/solvers/solver.hpp"

namespace adjoin {

/// Conjugate gradients for Hermitian positive semi-definite H (Hestenes and Stiefel 1952). Started from zero on a
/// consistent singular system it converges to the minimum-norm solution. Stops when ‖b − H x‖ ≤ tol ‖b‖.
/// `preconditioner` approximates H⁻¹ and must be Hermitian positive definite. One application of H an iteration. Where
/// inner products cost messages and there is no preconditioner, those of an iteration are one: the recurrence is then
/// the predict-and-recompute one of Chen and Carson (SIAM J. Sci. Comput. 42, 2020, algorithm PR-CG), which predicts
/// ‖r‖² for the next direction and computes it with the next iteration's products.
template <class V>
SolverResult<V> conjugate_gradient(const LinearMap<V, V>& H, const V& b, const SolverOptions& options = {},
                                   const std::optional<V>& x0 = {}, const LinearMap<V, V>& preconditioner = {});

/// BiCGStab for general square H (van der Vorst 1992). Two applications of H an iteration.
template <class V>
SolverResult<V> bicgstab(const LinearMap<V, V>& H, const V& b, const SolverOptions& options = {},
                         const std::optional<V>& x0 = {}, const LinearMap<V, V>& preconditioner = {});

/// MINRES for Hermitian, possibly indefinite or singular H (Paige and Saunders 1975). One application of H an
/// iteration. `preconditioner` must be Hermitian positive definite; residuals are then measured in the norm √⟨r, M r⟩.
/// On an inconsistent singular system it stops, `stagnated`, at the least-squares solution that is nearest to x0 (Liu,
/// Milzarek and Roosta, arXiv 2309.17096, 2023), for which it applies H three times more; with a preconditioner, at
/// some least-squares solution.
template <class V>
SolverResult<V> minres(const LinearMap<V, V>& H, const V& b, const SolverOptions& options = {},
                       const std::optional<V>& x0 = {}, const LinearMap<V, V>& preconditioner = {});

}  // namespace adjoin
