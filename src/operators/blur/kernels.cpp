// SPDX-License-Identifier: BSD-3-Clause
// Gaussians, motions, boxes and resampling filters by their formulas, divided by their sums.
#include "adjoin/operators/blur/kernels.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

constexpr double degree = std::numbers::pi / 180.0;

at::Tensor normalised(const at::Tensor& kernel, at::ScalarType dtype) {
  return (kernel / kernel.sum()).to(dtype).unsqueeze(0).unsqueeze(0);
}

/// The outer product of a one-dimensional profile with itself, normalised.
at::Tensor separable(const at::Tensor& profile, at::ScalarType dtype) {
  return normalised(at::outer(profile, profile), dtype);
}

/// Positions −(size − 1) / 2, …, (size − 1) / 2.
at::Tensor centred_axis(std::int64_t size) {
  return at::arange(size, at::kDouble) - static_cast<double>(size - 1) / 2.0;
}

std::vector<std::int64_t> gaussian_size(std::span<const double> sigma, const KernelOptions& options) {
  for (const double s : sigma) {
    check(std::isfinite(s) && s > 0.0, "gaussian_kernel: sigma must be finite and positive, got ", s);
  }
  if (!options.size.empty()) {
    check(options.size.size() == sigma.size() && std::ranges::all_of(options.size, [](auto n) { return n > 0; }),
          "gaussian_kernel: size must have ", sigma.size(), " positive entries, got ", at::IntArrayRef(options.size));
    return options.size;
  }
  const auto half = static_cast<std::int64_t>(std::ranges::max(sigma) / 0.3 + 1.0);
  return std::vector<std::int64_t>(sigma.size(), 2 * half + 1);
}

void check_factor(const char* kernel, std::int64_t factor) {
  check(factor >= 1, kernel, ": factor must be at least 1, got ", factor);
}

}  // namespace

at::Tensor gaussian_kernel(std::array<double, 2> sigma, double angle, const KernelOptions& options) {
  check(std::isfinite(angle), "gaussian_kernel: angle must be finite, got ", angle);
  const auto size = gaussian_size(sigma, options);
  const at::Tensor y = centred_axis(size[0]).unsqueeze(1);
  const at::Tensor x = centred_axis(size[1]).unsqueeze(0);
  const double cosine = std::cos(angle * degree);
  const double sine = std::sin(angle * degree);
  const at::Tensor u = (cosine * x - sine * y) / sigma[1];
  const at::Tensor v = (sine * x + cosine * y) / sigma[0];
  return normalised(at::exp(-0.5 * (u.square() + v.square())), options.dtype);
}

at::Tensor gaussian_kernel_3d(std::array<double, 3> sigma, std::array<double, 3> angles, const KernelOptions& options) {
  check(std::ranges::all_of(angles, [](double a) { return std::isfinite(a); }),
        "gaussian_kernel_3d: angles must be finite, got ", at::ArrayRef<double>(angles));
  const auto size = gaussian_size(sigma, options);
  const std::array<at::Tensor, 3> xyz = {centred_axis(size[2]).view({1, 1, -1}), centred_axis(size[1]).view({1, -1, 1}),
                                         centred_axis(size[0]).view({-1, 1, 1})};
  const auto [cx, cy, cz] =
      std::array{std::cos(angles[0] * degree), std::cos(angles[1] * degree), std::cos(angles[2] * degree)};
  const auto [sx, sy, sz] =
      std::array{std::sin(angles[0] * degree), std::sin(angles[1] * degree), std::sin(angles[2] * degree)};
  const double rotation[3][3] = {{cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx},
                                 {sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx},
                                 {-sy, cy * sx, cy * cx}};
  at::Tensor exponent = at::zeros(size, at::kDouble);
  for (std::size_t i = 0; i < 3; ++i) {
    const at::Tensor u = rotation[i][0] * xyz[0] + rotation[i][1] * xyz[1] + rotation[i][2] * xyz[2];
    exponent += (u / sigma[2 - i]).square();
  }
  return normalised(at::exp(-0.5 * exponent), options.dtype);
}

at::Tensor motion_kernel(double length, double angle, at::ScalarType dtype) {
  check(std::isfinite(length) && length >= 1.0, "motion_kernel: length must be at least 1, got ", length);
  check(std::isfinite(angle), "motion_kernel: angle must be finite, got ", angle);
  const double half = (length - 1.0) / 2.0;
  const double cosine = std::cos(angle * degree);
  const double sine = std::sin(angle * degree);
  // Round-off in sin and cos must not add an empty border.
  const auto reach = [half](double component) {
    return static_cast<std::int64_t>(std::ceil(half * std::abs(component) - 1e-9));
  };
  const at::Tensor y = -centred_axis(2 * reach(sine) + 1).unsqueeze(1);
  const at::Tensor x = centred_axis(2 * reach(cosine) + 1).unsqueeze(0);
  const at::Tensor beyond_end = ((x * cosine + y * sine).abs() - half).clamp_min(0.0);
  const at::Tensor across = y * cosine - x * sine;
  return normalised((1.0 - at::hypot(across, beyond_end)).clamp_min(0.0), dtype);
}

at::Tensor box_kernel(std::int64_t size, at::ScalarType dtype) {
  check(size >= 1, "box_kernel: size must be at least 1, got ", size);
  return separable(at::ones(size, at::kDouble), dtype);
}

at::Tensor bilinear_kernel(std::int64_t factor, at::ScalarType dtype) {
  check_factor("bilinear_kernel", factor);
  return separable(1.0 - (centred_axis(2 * factor) / factor).abs(), dtype);
}

at::Tensor bicubic_kernel(std::int64_t factor, at::ScalarType dtype) {
  check_factor("bicubic_kernel", factor);
  const at::Tensor t = (centred_axis(4 * factor) / factor).abs();
  constexpr double a = -0.5;
  const at::Tensor inner = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
  const at::Tensor outer = a * (((t - 5.0) * t + 8.0) * t - 4.0);
  return separable(at::where(t <= 1.0, inner, at::where(t < 2.0, outer, at::zeros_like(t))), dtype);
}

at::Tensor sinc_kernel(std::int64_t factor, std::int64_t length, at::ScalarType dtype) {
  check_factor("sinc_kernel", factor);
  check(length >= 0, "sinc_kernel: length must not be negative, got ", length);
  const std::int64_t taps = length == 0 ? 4 * factor : length;
  const at::Tensor n = centred_axis(taps);
  const double transition = 2.0 * (2.0 - std::numbers::sqrt2) / static_cast<double>(factor);
  const double attenuation = 2.285 * static_cast<double>(taps - 1) * std::numbers::pi * transition + 7.95;
  double beta = 0.0;
  if (attenuation > 50.0) {
    beta = 0.1102 * (attenuation - 8.7);
  } else if (attenuation > 21.0) {
    beta = 0.5842 * std::pow(attenuation - 21.0, 0.4) + 0.07886 * (attenuation - 21.0);
  }
  const double half = std::max(static_cast<double>(taps - 1) / 2.0, 0.5);
  const at::Tensor window = at::i0(beta * at::sqrt(1.0 - (n / half).square()));
  return separable(at::sinc(n / factor) * window, dtype);
}

}  // namespace adjoin
