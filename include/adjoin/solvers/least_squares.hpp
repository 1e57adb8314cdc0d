// SPDX-License-Identifier: BSD-3-Clause
// Solvers for min ‖A x − y‖² + λ² ‖x − x0‖² that use A and Aᵀ. Instantiated for images of type at::Tensor with
// measurements of type at::Tensor, TensorList and ShardedTensorList, and of type ShardedImage with the last. y, x0 and
// what the maps return are never modified. Gradients are not recorded. NaN or infinity in y, or from a map, throws
// Error naming the iteration. Problems of all scales are solved in units in which they are of order 1
// (docs/solvers.md); a solution that its dtype does not hold throws Error. The solution has the dtype of x0 where that
// is given, in whose precision y is taken.
#pragma once

#include <optional>
#include <type_traits>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/solvers/solver.hpp"

namespace adjoin {

struct LeastSquaresOptions : SolverOptions {
  /// λ, the damping: 0 gives the pseudoinverse (minimum-norm) solution when x0 is zero, and the least-squares solution
  /// nearest to x0 otherwise.
  double damping = 0.0;
  /// Stops when the condition estimate exceeds this; 0: 1 / machine precision of the image's dtype,
  /// or no limit when tol is 0.
  double condition_limit = 0.0;
};

/// LSQR (Paige and Saunders, ACM TOMS 8, 1982). Stops when ‖r‖ ≤ tol (‖y‖ + ‖A‖ ‖x‖) or ‖Aᵀr‖ ≤ tol ‖A‖ ‖r‖.
/// One application of A and of Aᵀ, and one norm in measurement space, an iteration.
template <class Y, class X = at::Tensor>
SolverResult<X> lsqr(const std::type_identity_t<LinearMap<X, Y>>& A,
                     const std::type_identity_t<LinearMap<Y, X>>& A_adjoint, const Y& y,
                     const LeastSquaresOptions& options = {}, const std::type_identity_t<std::optional<X>>& x0 = {});

/// LSMR (Fong and Saunders, SIAM J. Sci. Comput. 33, 2011): MINRES on the normal equations, ‖Aᵀr‖ falls monotonically.
/// Same cost and stopping rules as LSQR.
template <class Y, class X = at::Tensor>
SolverResult<X> lsmr(const std::type_identity_t<LinearMap<X, Y>>& A,
                     const std::type_identity_t<LinearMap<Y, X>>& A_adjoint, const Y& y,
                     const LeastSquaresOptions& options = {}, const std::type_identity_t<std::optional<X>>& x0 = {});

}  // namespace adjoin
