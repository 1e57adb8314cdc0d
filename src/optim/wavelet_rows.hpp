// SPDX-License-Identifier: BSD-3-Clause
// The arithmetic of wavelet filters on arrays.
#pragma once

#include <cstdint>

namespace adjoin::wavelets {

/// Two filtered sums of two arrays: out_a[i] = Σ_t taps[t] in_a[i + t stride] + taps[half + t] in_b[i + t stride], and
/// out_b[i] likewise with the taps from 2 half on; i < count, t < half.
void mix(const float* in_a, const float* in_b, const float* taps, std::int64_t half, std::int64_t stride, float* out_a,
         float* out_b, std::int64_t count);
void mix(const double* in_a, const double* in_b, const double* taps, std::int64_t half, std::int64_t stride,
         double* out_a, double* out_b, std::int64_t count);

}  // namespace adjoin::wavelets
