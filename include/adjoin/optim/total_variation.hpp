// Total variation of images and volumes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "adjoin/optim/prior.hpp"

namespace adjoin {

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
  /// Start each prox from the dual variable of the last one of the same shape: a few iterations then do within an outer
  /// iteration. Results depend on what came before, within the tolerance.
  bool warm_start = true;
};

/// Isotropic total variation Σ √(Σ_k |D_k x|²), with D_k the forward difference along spatial dimension k, zero at the
/// far border, of each image of the batch and each channel. For complex images the modulus is that of the complex
/// differences. The prox is computed by the fast gradient projection on the dual problem (Beck and Teboulle, IEEE
/// Trans. Image Process. 18, 2009). Values and prox are cut off from autograd.
class TotalVariation : public Prior {
 public:
  explicit TotalVariation(const TotalVariationOptions& options = {});
  std::string name() const override { return "TotalVariation"; }
  Recipe recipe() const override;

  /// Of the last prox: how many inner iterations it took, and the proven bound of the distance to the exact prox.
  struct Inner {
    int iterations = 0;
    double error_bound = 0.0;
  };
  const Inner& inner() const { return inner_; }

  /// The dual variable (dims, …shape of x) that the last prox ended with and the next one starts from; undefined before
  /// the first, and without warm start. Another prior can start from a copy of it.
  at::Tensor dual() const { return options_.warm_start ? dual_ : at::Tensor(); }
  void start_from(const at::Tensor& dual);

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override;
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;

 private:
  std::int64_t dims_of(const at::Tensor& x) const;

  TotalVariationOptions options_;
  // Of shape {dims, …shape of x}: the dual variable, kept between calls, and its extrapolation.
  mutable at::Tensor dual_;
  mutable at::Tensor extrapolated_;
  mutable Inner inner_;
};

}  // namespace adjoin
