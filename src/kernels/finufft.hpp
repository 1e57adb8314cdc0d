// SPDX-License-Identifier: BSD-3-Clause
// Sums of complex exponentials at any frequencies, by FINUFFT: a library that is loaded when it is first asked for.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <memory>

namespace adjoin::kernels {

/// The sums between images of one size and samples at given points, planned once. A. H. Barnett, J. Magland and L. af
/// Klinteberg, "A parallel nonuniform fast Fourier transform library based on an 'exponential of semicircle' kernel",
/// SIAM J. Sci. Comput. 41, 2019. Several threads may use one, in turn.
class Finufft {
 public:
  virtual ~Finufft() = default;
  /// Of `count` images, which lie one behind the other, as their samples do: Σ_n x_n e^{−i k_j·(n − N / 2)}, n the
  /// indices of a pixel and N the sizes of an image, halves rounded down.
  virtual void forward(const void* images, void* samples) const = 0;
  /// Σ_j y_j e^{+i k_j·(n − N / 2)}: the adjoint, to rounding.
  virtual void adjoint(const void* samples, void* images) const = 0;

  /// For frequencies `points` (axes, samples) in radians a pixel, float or double, which is the precision of the sums,
  /// and images of `sizes`, two or three axes. `eps` is the relative accuracy asked for. Throws Error where FINUFFT is
  /// not found, naming what to install.
  static std::shared_ptr<const Finufft> make(const at::Tensor& points, at::IntArrayRef sizes, std::int64_t count,
                                             double eps);
  /// Whether the library is found.
  static bool is_found();
  /// Of a grid of `sizes` on the torus, to which forward takes points by interpolation with a kernel of that accuracy,
  /// and adjoint spreads them; without the transform.
  static std::shared_ptr<const Finufft> make_spreading(const at::Tensor& points, at::IntArrayRef sizes, double eps);
};

}  // namespace adjoin::kernels
