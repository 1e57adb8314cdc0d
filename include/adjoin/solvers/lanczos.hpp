// SPDX-License-Identifier: BSD-3-Clause
// The largest eigenvalue of a Hermitian positive semi-definite map, with bounds on both sides.
#pragma once

#include <cstdint>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/solvers/solver.hpp"

namespace adjoin {

struct LanczosOptions {
  int max_iter = 50;
  /// Stops when the residual of the leading Ritz pair is at most tol times its value; 0 runs all iterations unless the
  /// Krylov space is exhausted.
  double tol = 1e-3;
  /// Seed of the random start vector.
  std::uint64_t seed = 0;
  /// Probability that `upper` may be too low.
  double failure_probability = 1e-6;
  Monitor monitor = nullptr;
};

struct LanczosResult {
  /// Leading Ritz value: never above the largest eigenvalue, apart from round-off.
  double lower = 0.0;
  /// Not below the largest eigenvalue, except with the failure probability: the λ at which the Lanczos polynomial
  /// reaches the inverse of the overlap that the random start has at least with the leading eigenvector (van
  /// Dorsselaer, Hochstenbach and van der Vorst, SIAM J. Matrix Anal. Appl. 22, 2000). Always finite, sharper than the
  /// a-priori bound of Kuczyński and Woźniakowski (1992), and equal to `lower` up to round-off once the Krylov space is
  /// exhausted.
  double upper = 0.0;
  /// Residual norm of the leading Ritz pair.
  double residual = 0.0;
  int iterations = 0;
  StopReason reason = StopReason::max_iterations;
};

/// Lanczos without reorthogonalisation from a random start of the layout of `like` (its values are ignored); three
/// vectors of memory, one application of H an iteration. Throws InvalidArgument for options out of range, Error when H
/// returns NaN or infinity, and when the eigenvalue is more or less than a double holds.
LanczosResult largest_eigenvalue(const LinearMap<at::Tensor, at::Tensor>& H, const at::Tensor& like,
                                 const LanczosOptions& options = {});
LanczosResult largest_eigenvalue(const LinearMap<ShardedImage, ShardedImage>& H, const ShardedImage& like,
                                 const LanczosOptions& options = {});

}  // namespace adjoin
