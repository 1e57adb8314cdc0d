// SPDX-License-Identifier: BSD-3-Clause
// One level of a wavelet transform along one dimension of a tensor, and its adjoint.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace adjoin::wavelets {

/// [low; high] along `dim`, of twice K = ⌈n/2⌉ entries: low_k = Σ_t h_t x(2k + t − s), high_k = Σ_t g_t x(2k + t − s),
/// with s = taps/2 − 1, g_t = (−1)^t h_(L−1−t), and x of period 2K, its last entry repeated where n is odd.
at::Tensor analyse(const at::Tensor& x, std::span<const double> taps, std::int64_t dim);

/// Σ_k low_k h_(i − 2k + s) + high_k g_(i − 2k + s), i < n: the inverse of `analyse`; with `adjoint` its adjoint, where
/// the entry that was repeated is added to the last.
at::Tensor synthesise(const at::Tensor& coefficients, std::span<const double> taps, std::int64_t dim, std::int64_t n,
                      bool adjoint);

}  // namespace adjoin::wavelets
