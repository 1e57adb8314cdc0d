// The discrete Fourier transforms of the imaging operators: unnormalised, over the trailing axes. Differentiable.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace adjoin::fft {

/// Σ x e^{−2πi jk/n} over the last `rank` axes of complex x.
at::Tensor forward(const at::Tensor& x, std::int64_t rank);
/// Σ x e^{+2πi jk/n} over the last `rank` axes of complex x.
at::Tensor backward(const at::Tensor& x, std::int64_t rank);
/// `forward` of real x; the last axis keeps its n / 2 + 1 non-negative frequencies.
at::Tensor forward_real(const at::Tensor& x, std::int64_t rank);
/// `backward` of a spectrum laid out as forward_real's, for a last axis of `last_size` real values.
at::Tensor backward_real(const at::Tensor& spectrum, std::int64_t rank, std::int64_t last_size);

/// The smallest size ≥ n whose only prime factors are 2, 3, 5 and 7, even when n > 1: transforms of such sizes are
/// quick.
std::int64_t good_size(std::int64_t n);

}  // namespace adjoin::fft
