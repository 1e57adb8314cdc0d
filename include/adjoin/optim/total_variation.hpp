// SPDX-License-Identifier: BSD-3-Clause
// Total variation of images and volumes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <string>

#include "adjoin/optim/prior.hpp"

namespace adjoin {

namespace tv {
class Neighbours;
}  // namespace tv

struct TotalVariationOptions {
  /// Over how many of the last dimensions, 2 or 3; by default 3 for tensors of five dimensions (B, C, D, H, W), else 2.
  std::optional<std::int64_t> dims = {};
  /// Bounds of the image, which join the prior as a box: the prox is that of the sum. For real images.
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();
  /// The inner iteration of the prox stops when its result is proved to be within tol ‖x‖ of the exact one, or after
  /// max_iter iterations.
  int max_iter = 100;
  double tol = 1e-4;
  /// While an algorithm iterates, start each prox from the dual variable of the last one of the same shape: a few inner
  /// iterations then do. A prox outside of an algorithm does not depend on what came before.
  bool warm_start = true;
};

/// Isotropic total variation Σ √(Σ_k |D_k x|²), with D_k the forward difference along spatial dimension k, zero at the
/// far border, of each image of the batch and each channel. For complex images the modulus is that of the complex
/// differences. The prox is computed by the fast gradient projection on the dual problem (Beck and Teboulle, IEEE
/// Trans. Image Process. 18, 2009), of each item of the batch by itself. Values and prox are cut off from autograd. May
/// be used by several threads at once.
///
/// Of sharded images that are cut along the first of these dimensions, or between the batch and it, an inner iteration
/// sends the planes at the cuts; cut along the batch, nothing is sent; cut in another way, the image is gathered.
class TotalVariation : public Prior {
 public:
  explicit TotalVariation(const TotalVariationOptions& options = {});
  TotalVariation(const TotalVariation& other) : TotalVariation(other.options_) {}
  TotalVariation& operator=(const TotalVariation&) = delete;
  std::string name() const override { return "TotalVariation"; }
  Recipe recipe() const override;
  bool acts_on_slabs() const override { return true; }

  /// Of the last prox: how many inner iterations it took (of the item that took most), and the proven bound of the
  /// distance to the exact prox.
  struct Inner {
    int iterations = 0;
    double error_bound = 0.0;
  };
  Inner inner() const;

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override;
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;
  at::Tensor fn_of_slab(const ShardedImage& x) const override;
  ShardedImage prox_of_slab(const ShardedImage& x, double gamma) const override;
  void begin_iterating() const override;
  void end_iterating() const override;

 private:
  std::int64_t dims_of(const at::Tensor& x) const;
  /// The prox of images {parts, items, …} of one scale (tv_kernels.hpp), from and into their dual variable.
  Inner solve(at::Tensor& result, const at::Tensor& images, at::Tensor& dual, at::Tensor& extrapolated, double gamma,
              double scale, const tv::Neighbours& neighbours) const;
  // Of an image, or of a slab with the planes around it.
  double value(const at::Tensor& x, std::int64_t dims, const tv::Neighbours& neighbours) const;
  at::Tensor prox_among(const at::Tensor& x, double gamma, std::int64_t dims, const tv::Neighbours& neighbours) const;

  TotalVariationOptions options_;
  // The dual variable {items, dims, parts, …}, kept while algorithms iterate, and room for one item's extrapolation.
  struct Kept {
    at::Tensor dual;
    at::Tensor extrapolated;
  };
  mutable std::mutex mutex_;   // of what follows
  mutable int iterating_ = 0;  // algorithms
  mutable Kept kept_;
  mutable Inner inner_;
};

}  // namespace adjoin
