// SPDX-License-Identifier: BSD-3-Clause
// The discrete Fourier transforms of the imaging operators by ATen: unnormalised, differentiable, on any device.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>

namespace adjoin::fft {

/// Σ x e^{−2πi jk/n} over the last `rank` axes of complex x.
at::Tensor forward(const at::Tensor& x, std::int64_t rank);
/// Σ x e^{+2πi jk/n} over the last `rank` axes of complex x.
at::Tensor backward(const at::Tensor& x, std::int64_t rank);
/// Both over the given axes, counted from 0; none leave x as it is.
at::Tensor forward_along(const at::Tensor& x, at::IntArrayRef axes);
at::Tensor backward_along(const at::Tensor& x, at::IntArrayRef axes);
/// `forward` of real x; the last axis keeps its n / 2 + 1 non-negative frequencies.
at::Tensor forward_real(const at::Tensor& x, std::int64_t rank);
/// `backward` of a spectrum laid out as forward_real's, for a last axis of `last_size` real values.
at::Tensor backward_real(const at::Tensor& spectrum, std::int64_t rank, std::int64_t last_size);

}  // namespace adjoin::fft
