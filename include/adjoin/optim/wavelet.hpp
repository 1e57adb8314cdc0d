// Orthonormal wavelets, and sparsity in them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "adjoin/optim/prior.hpp"

namespace adjoin {

/// Daubechies' orthonormal wavelets with 1, 2 and 4 vanishing moments: filters of 2, 4 and 8 taps (Daubechies, Comm.
/// Pure Appl. Math. 41, 1988).
enum class Wavelet : std::uint8_t { haar, db2, db4 };
/// Throws InvalidArgument naming the choices.
Wavelet wavelet_from_string(std::string_view name);
std::string_view to_string(Wavelet wavelet);

/// The orthonormal transform over the last `dims` dimensions with periodic borders, of the shape of x: after each level
/// the coarse half of every transformed dimension comes first, and the next level transforms it alone (Mallat, IEEE
/// Trans. PAMI 11, 1989). Sizes must be divisible by 2^levels. Differentiable.
at::Tensor wavelet_transform(const at::Tensor& x, Wavelet wavelet, std::int64_t levels, std::int64_t dims = 2);
/// Its inverse, which is its adjoint.
at::Tensor inverse_wavelet_transform(const at::Tensor& coefficients, Wavelet wavelet, std::int64_t levels,
                                     std::int64_t dims = 2);

struct WaveletPriorOptions {
  Wavelet wavelet = Wavelet::haar;
  std::int64_t levels = 3;
  /// Over how many of the last dimensions; by default 3 for tensors of five dimensions (B, C, D, H, W), else 2.
  std::optional<std::int64_t> dims = {};
};

/// ‖W x‖₁ over the details, with W the orthonormal wavelet transform; the coarsest approximation is free. The prox is
/// soft thresholding of the details.
class WaveletPrior : public Prior {
 public:
  explicit WaveletPrior(const WaveletPriorOptions& options = {});
  std::string name() const override { return "WaveletPrior"; }
  Recipe recipe() const override;

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override;
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;

 private:
  std::int64_t dims_of(const at::Tensor& x) const;
  at::Tensor approximation(const at::Tensor& coefficients) const;

  WaveletPriorOptions options_;
};

}  // namespace adjoin
