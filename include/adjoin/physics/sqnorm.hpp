// Squared spectral norms by Lanczos iteration on AᵀA.
#pragma once

#include <ATen/core/Tensor.h>

#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// Throws InvalidArgument unless max_iter ≥ 1 and tol ≥ 0 and finite.
void check_options(const SqnormOptions& options);

/// ‖A‖² to a relative accuracy of options.tol, from below. `x0` gives the layout of the image.
double estimate_sqnorm(const LinearMap<at::Tensor, at::Tensor>& A_adjoint_A, const at::Tensor& x0,
                       const SqnormOptions& options);
/// Bounds of ‖A‖², from max(options.max_iter, 24) steps; the upper one fails with probability 1e-6.
SqnormBounds bound_sqnorm(const LinearMap<at::Tensor, at::Tensor>& A_adjoint_A, const at::Tensor& x0,
                          const SqnormOptions& options);

}  // namespace adjoin
