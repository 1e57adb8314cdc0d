// SPDX-License-Identifier: BSD-3-Clause
// Filters applied to blocks of outputs that stay in registers.
#include "optim/wavelet_rows.hpp"

#include <algorithm>

#include "adjoin/core/simd.hpp"

namespace adjoin::wavelets {

namespace {

// Sums of a block of outputs stay in registers while the taps go by.
template <class T>
ADJOIN_INLINE void mix_any(const T* in_a, const T* in_b, const T* taps, std::int64_t half, std::int64_t stride,
                           T* out_a, T* out_b, std::int64_t count) {
  constexpr std::int64_t block = 32;
  std::int64_t i = 0;
  for (; i + block <= count; i += block) {
    T sum_a[block] = {};
    T sum_b[block] = {};
    for (std::int64_t t = 0; t < half; ++t) {
      const T aa = taps[t];
      const T ab = taps[half + t];
      const T ba = taps[2 * half + t];
      const T bb = taps[3 * half + t];
      const T* a = in_a + i + t * stride;
      const T* b = in_b + i + t * stride;
      for (std::int64_t j = 0; j < block; ++j) {
        sum_a[j] += aa * a[j] + ab * b[j];
        sum_b[j] += ba * a[j] + bb * b[j];
      }
    }
    for (std::int64_t j = 0; j < block; ++j) {
      out_a[i + j] = sum_a[j];
      out_b[i + j] = sum_b[j];
    }
  }
  for (; i < count; ++i) {
    T sum_a = 0;
    T sum_b = 0;
    for (std::int64_t t = 0; t < half; ++t) {
      const T a = in_a[i + t * stride];
      const T b = in_b[i + t * stride];
      sum_a += taps[t] * a + taps[half + t] * b;
      sum_b += taps[2 * half + t] * a + taps[3 * half + t] * b;
    }
    out_a[i] = sum_a;
    out_b[i] = sum_b;
  }
}

}  // namespace

void mix(const float* in_a, const float* in_b, const float* taps, std::int64_t half, std::int64_t stride, float* out_a,
         float* out_b, std::int64_t count) {
  vectorised<mix_any<float>>(in_a, in_b, taps, half, stride, out_a, out_b, count);
}

void mix(const double* in_a, const double* in_b, const double* taps, std::int64_t half, std::int64_t stride,
         double* out_a, double* out_b, std::int64_t count) {
  vectorised<mix_any<double>>(in_a, in_b, taps, half, stride, out_a, out_b, count);
}

}  // namespace adjoin::wavelets
