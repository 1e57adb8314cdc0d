// SPDX-License-Identifier: BSD-3-Clause
// The normal operator of Fourier sums: a convolution, computed by transforms of the image's own size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/complex_kernels.hpp"
#include "kernels/image_transform.hpp"
#include "operators/nufft/transforms.hpp"

namespace adjoin::nufft {

/// The spectrum of Aᵀ W A, which is a convolution: with t(m) = Σ_j w_j e^{2πi k_j·m} / ΠN for the differences m of two
/// pixels. On a grid of 2N, whose frequency 2k + p along an axis is frequency k of the image turned by e^{−πi p n / N}:
/// (2, …, 2, N…), double, real, the values for p = 0 and 1 along each axis. Spectra of several trajectories add up.
/// `weights` broadcasts to the samples; undefined is 1. J. A. Fessler et al., "Toeplitz-based iterative image
/// reconstruction for MRI with correction for magnetic field inhomogeneity", IEEE Trans. Signal Process. 53, 2005.
at::Tensor normal_spectrum(const Transforms& transforms, const at::Tensor& weights);

/// x ↦ Σ_n conj(s_n) · T(s_n · x) with coil maps s_n and the convolution T. Where a transform of twice the size would
/// run through zeros, this runs through the 2^axes spectra of normal_spectrum one by one, each in cache.
class Toeplitz {
 public:
  /// For a spectrum of images of `maps` (b, N, image), complex, whose precision and device are those of what it takes.
  Toeplitz(const at::Tensor& spectrum, const at::Tensor& maps);

  /// Of images (B, 1, image), b = 1 or B. Differentiable with respect to them.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  /// An image, and the coil that sees it.
  template <class T>
  struct Task {
    const T* map;
    const T* source;
    T* target;
    bool first;  // of the coils that are added up in the target
  };
  template <class T>
  void run(const std::vector<Task<T>>& tasks) const;
  at::Tensor convolve(const at::Tensor& images) const;

  std::vector<std::int64_t> image_size_;
  at::Tensor maps_;                                       // (b, N, image)
  at::Tensor spectrum_;                                   // (2^axes, image), of the precision and device of the maps
  at::Tensor turns_;                                      // (2^axes, image): e^{−πi Σ p n / N}
  std::shared_ptr<const fft::ImageTransform> transform_;  // null where the CPU kernels do not serve
  // For the kernels; the phase along the last axis comes first of all.
  at::Tensor turned_maps_;   // (2, b, N, image): as they are, and turned along the last axis
  at::Tensor column_turns_;  // (2^(axes − 1), rows of an image)
  at::Tensor power_;         // (2, 2^(axes − 1), in blocks)
  std::shared_ptr<const fft::Transform> along_columns_;  // of one block of columns, without what is beside it
};

}  // namespace adjoin::nufft
