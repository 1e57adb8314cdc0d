// SPDX-License-Identifier: BSD-3-Clause
// Orthonormal wavelets, and sparsity in them.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/optim/prior.hpp"

namespace adjoin {

/// An orthonormal wavelet by the name that PyWavelets has for it: "haar", "db1" … "db38" (Daubechies), "sym2" … "sym20"
/// (least asymmetric) and "coif1" … "coif17" (coiflets).
class Wavelet {
 public:
  /// From a string of any kind. Throws InvalidArgument naming the choices.
  template <std::convertible_to<std::string_view> Name>
  Wavelet(const Name& name) : name_(name), taps_(taps_of(name_)) {}  // NOLINT(google-explicit-constructor)

  const std::string& name() const { return name_; }
  /// The low-pass filter of the reconstruction, of even length.
  std::span<const double> taps() const { return taps_; }

 private:
  static std::span<const double> taps_of(std::string_view name);

  std::string name_;
  std::span<const double> taps_;
};

/// The transform of images of any size over the last `dims` dimensions with periodic borders, after which sizes that
/// are odd at some level are those of an image that repeats its last sample there (PyWavelets' mode "periodization";
/// Mallat, IEEE Trans. PAMI 11, 1989). Coefficients are laid out as by PyWavelets' coeffs_to_array: along every
/// transformed dimension first the approximation, then the details of the coarsest level, …, of the finest. Where all
/// sizes are divisible by 2^levels the transform is orthonormal, and its result has the shape of x; else the result is
/// somewhat larger and has zeros that belong to no coefficient. Differentiable as often as asked.
at::Tensor wavelet_transform(const at::Tensor& x, const Wavelet& wavelet, std::int64_t levels, std::int64_t dims = 2);
/// The inverse, for images with these sizes along the transformed dimensions; by default those of the coefficients,
/// which must be divisible by 2^levels.
at::Tensor inverse_wavelet_transform(const at::Tensor& coefficients, const Wavelet& wavelet, std::int64_t levels,
                                     std::int64_t dims = 2, at::OptionalIntArrayRef sizes = {});
/// The adjoint; equal to the inverse where the transform is orthonormal.
at::Tensor adjoint_wavelet_transform(const at::Tensor& coefficients, const Wavelet& wavelet, std::int64_t levels,
                                     std::int64_t dims = 2, at::OptionalIntArrayRef sizes = {});

struct WaveletPriorOptions {
  Wavelet wavelet = "haar";
  std::int64_t levels = 3;
  /// Over how many of the last dimensions; by default 3 for tensors of five dimensions (B, C, D, H, W), else 2.
  std::optional<std::int64_t> dims = {};
  /// Shift the image by a random number of pixels, as around a torus, before each prox, and back after it, which spares
  /// it the blocks of the transform (cycle spinning: Coifman and Donoho 1995). The shifts are the same in every run and
  /// on every rank.
  bool random_shift = false;
  /// Where the transform is not orthonormal the prox is iterative: it stops when its result is proved to be within
  /// tol ‖x‖ of the exact one, or after max_iter iterations.
  int max_iter = 100;
  double tol = 1e-4;
};

/// ‖W x‖₁ over the details, with W the wavelet transform; the coarsest approximation is free. The prox is soft
/// thresholding of the details where W is orthonormal, else it is found on the dual problem by the fast gradient
/// projection (Beck and Teboulle, IEEE Trans. Image Process. 18, 2009). May be used by several threads at once.
class WaveletPrior : public Prior {
 public:
  explicit WaveletPrior(const WaveletPriorOptions& options = {});
  WaveletPrior(const WaveletPrior& other) : WaveletPrior(other.options_) {}
  WaveletPrior& operator=(const WaveletPrior&) = delete;
  std::string name() const override { return "WaveletPrior"; }
  Recipe recipe() const override;

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override;
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;

 private:
  std::int64_t dims_of(const at::Tensor& x) const;
  at::Tensor details(const at::Tensor& x) const;
  at::Tensor dual_prox(const at::Tensor& x, double gamma) const;
  double sqnorm(const at::Tensor& x) const;

  WaveletPriorOptions options_;
  mutable std::atomic<std::uint64_t> shifts_ = 0;
  mutable std::mutex mutex_;  // of what follows
  mutable std::vector<std::int64_t> sqnorm_sizes_;
  mutable double sqnorm_ = 1.0;  // of the transform of images of these sizes
};

}  // namespace adjoin
