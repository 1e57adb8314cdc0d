// SPDX-License-Identifier: BSD-3-Clause
// Squared spectral norms by Lanczos iteration on AᵀA.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// Throws InvalidArgument unless max_iter ≥ 1 and tol ≥ 0 and finite.
void check_options(const SqnormOptions& options);

/// ‖A‖² to a relative accuracy of options.tol, from below. `x0` gives the layout of the image.
double estimate_sqnorm(const LinearMap<at::Tensor, at::Tensor>& A_adjoint_A, const at::Tensor& x0,
                       const SqnormOptions& options);
double estimate_sqnorm(const LinearMap<ShardedImage, ShardedImage>& A_adjoint_A, const ShardedImage& x0,
                       const SqnormOptions& options);
/// Bounds of ‖A‖², from max(options.max_iter, 24) steps; the upper one fails with probability 1e-6.
SqnormBounds bound_sqnorm(const LinearMap<at::Tensor, at::Tensor>& A_adjoint_A, const at::Tensor& x0,
                          const SqnormOptions& options);

/// ‖A‖² to a few percent, seldom less than it is and then by little: the Ritz value after 4 Lanczos steps from a random
/// start plus its residual, and 2 % more. What the default steps of algorithms are made of.
double guess_sqnorm(const LinearMap<at::Tensor, at::Tensor>& A_adjoint_A, const at::Tensor& x0);
double guess_sqnorm(const LinearMap<ShardedImage, ShardedImage>& A_adjoint_A, const ShardedImage& x0);

/// Such a guess, kept for images of one layout until the operators change. Copies share it; for several threads.
class KeptSqnorm {
 public:
  /// What was kept for images like x0 and operators of this version.
  std::optional<double> find(const at::Tensor& x0, std::int64_t version) const;
  void keep(const at::Tensor& x0, std::int64_t version, double sqnorm);

 private:
  struct State {
    std::mutex mutex;
    std::vector<std::int64_t> sizes;
    at::ScalarType dtype = at::ScalarType::Undefined;
    std::int64_t version = 0;
    double sqnorm = 0.0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace adjoin
