// The largest eigenvalue of a Hermitian positive semi-definite map, with bounds on both sides.
#pragma once

#include <cstdint>

#include "adjoin/solvers/solver.hpp"

namespace adjoin {

struct LanczosOptions {
  int max_iter = 50;
  /// Stops when the residual of the leading Ritz pair is at most tol times its value; 0 runs all iterations.
  double tol = 1e-3;
  /// Seed of the random start vector.
  std::uint64_t seed = 0;
  /// Probability that `upper` may be too low.
  double failure_probability = 1e-6;
  Monitor monitor{};
};

struct LanczosResult {
  /// Leading Ritz value: never above the largest eigenvalue, apart from round-off.
  double lower = 0.0;
  /// Not below the largest eigenvalue, except with the failure probability: θ / (1 − ε), where
  /// √ε = ln(1.648 √n / δ) / (2k − 1) after k steps in dimension n (Kuczyński and Woźniakowski, SIAM J. Matrix Anal.
  /// Appl. 13, 1992, Theorem 4.2). +infinity while k is too small for the theorem to say anything, unless a better
  /// bound is known. Equals `lower` (times a round-off margin) when the Krylov space is exhausted.
  double upper = 0.0;
  /// Residual norm of the leading Ritz pair.
  double residual = 0.0;
  int iterations = 0;
  StopReason reason = StopReason::max_iterations;
};

/// Lanczos without reorthogonalisation from a random start of the layout of `like` (its values are ignored); three
/// vectors of memory, one application of H an iteration.
LanczosResult largest_eigenvalue(const LinearMap<at::Tensor, at::Tensor>& H, const at::Tensor& like,
                                 const LanczosOptions& options = {});

}  // namespace adjoin
