// SPDX-License-Identifier: BSD-3-Clause
// Convolution kernels for Blur and Downsampling. All sum to one.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <array>
#include <cstdint>
#include <vector>

namespace adjoin {

struct KernelOptions {
  /// Spatial size; empty: 2 ⌊max σ / 0.3 + 1⌋ + 1 along every axis (Gaussian kernels only).
  std::vector<std::int64_t> size = {};
  /// Kernels are computed in double precision and rounded to this dtype.
  at::ScalarType dtype = at::kFloat;
};

/// Gaussian exp(−(u² / σ_x² + v² / σ_y²) / 2) with (u, v) = R(angle) (x, y), R the rotation [cos −sin; sin cos], x
/// along the last axis. `sigma` = {σ_y, σ_x} in pixels, `angle` in degrees. Shape (1, 1, h, w). Throws InvalidArgument
/// unless both sigmas are finite and positive and the size has two positive entries.
at::Tensor gaussian_kernel(std::array<double, 2> sigma, double angle = 0.0, const KernelOptions& options = {});

/// The same in 3-D: `sigma` = {σ_z, σ_y, σ_x}; `angles` in degrees about the x, y and z axes, applied in that order
/// (R = R_z R_y R_x). Shape (1, 1, d, h, w).
at::Tensor gaussian_kernel_3d(std::array<double, 3> sigma, std::array<double, 3> angles = {},
                              const KernelOptions& options = {});

/// Anti-aliased line of `length` ≥ 1 pixels through the centre, `angle` degrees counter-clockwise from the last axis:
/// weight max(0, 1 − distance of the pixel to the line segment), the method of MATLAB's fspecial("motion").
/// Shape (1, 1, h, w), h and w odd and as small as holds the line.
at::Tensor motion_kernel(double length, double angle = 0.0, at::ScalarType dtype = at::kFloat);

/// Mean of size × size pixels. Shape (1, 1, size, size).
at::Tensor box_kernel(std::int64_t size, at::ScalarType dtype = at::kFloat);

/// Triangle of half-width `factor`, sampled at half-integer pixels. Shape (1, 1, 2 factor, 2 factor).
at::Tensor bilinear_kernel(std::int64_t factor, at::ScalarType dtype = at::kFloat);

/// Keys' cubic (a = −1/2) stretched by `factor`: R. G. Keys, "Cubic convolution interpolation for digital image
/// processing", IEEE TASSP 29, 1981, eq. 15. Shape (1, 1, 4 factor, 4 factor).
at::Tensor bicubic_kernel(std::int64_t factor, at::ScalarType dtype = at::kFloat);

/// sinc(n / factor) under a Kaiser window whose β follows Kaiser's formulas for a transition band of 2 (2 − √2) /
/// factor: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", 1974. `length` taps;
/// 0 means 4 factor. Shape (1, 1, length, length).
at::Tensor sinc_kernel(std::int64_t factor, std::int64_t length = 0, at::ScalarType dtype = at::kFloat);

}  // namespace adjoin
