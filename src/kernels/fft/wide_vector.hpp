// SPDX-License-Identifier: BSD-3-Clause
// A cache line of complex numbers as one vector of AVX-512, and butterflies of such vectors. Only functions that are
// compiled for AVX-512 may include what is here, so all is inlined into them.
#pragma once

#include "adjoin/core/simd.hpp"

#ifdef ADJOIN_HAS_INSTRUCTION_SETS
#define ADJOIN_HAS_WIDE_TRANSFORMS 1
#include <immintrin.h>

#include <cmath>
#include <cstring>
#include <numbers>

#define ADJOIN_WIDE __attribute__((target("arch=x86-64-v4")))
#define ADJOIN_WIDE_INLINE __attribute__((target("arch=x86-64-v4"), always_inline)) inline

namespace adjoin::fft::wide {

template <class T>
struct Lanes;

template <>
struct Lanes<float> {
  using Vector = __m512;
  ADJOIN_WIDE_INLINE static Vector load(const float* p) { return _mm512_loadu_ps(p); }
  ADJOIN_WIDE_INLINE static void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
  ADJOIN_WIDE_INLINE static Vector all(float value) { return _mm512_set1_ps(value); }
  /// The pair at p, again and again.
  ADJOIN_WIDE_INLINE static Vector pairs(const float* p) {
    double both;
    std::memcpy(&both, p, sizeof both);
    return _mm512_castpd_ps(_mm512_set1_pd(both));
  }
  /// Real and imaginary parts in each other's place.
  ADJOIN_WIDE_INLINE static Vector swapped(Vector v) {
    return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  }
};

template <>
struct Lanes<double> {
  using Vector = __m512d;
  ADJOIN_WIDE_INLINE static Vector load(const double* p) { return _mm512_loadu_pd(p); }
  ADJOIN_WIDE_INLINE static void store(double* p, Vector v) { _mm512_storeu_pd(p, v); }
  ADJOIN_WIDE_INLINE static Vector all(double value) { return _mm512_set1_pd(value); }
  ADJOIN_WIDE_INLINE static Vector pairs(const double* p) {
    // Of all lanes, but not the intrinsic without a mask, of which GCC 12 says that it uses what is not initialised.
    return _mm512_maskz_broadcast_f64x2(0xFF, _mm_loadu_pd(p));
  }
  ADJOIN_WIDE_INLINE static Vector swapped(Vector v) { return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6); }
};

/// Butterflies of one direction: forward, or backward, its conjugate. `quarter` times swapped(v) is −i v forward, i v
/// backward, so a factor e^{∓iθ} takes v to cos θ v + sin θ quarter swapped(v).
template <class T>
struct Butterfly {
  using L = Lanes<T>;
  using Vector = L::Vector;
  Vector quarter;

  ADJOIN_WIDE_INLINE Vector turned(Vector v, T cosine, T sine) const {
    return L::all(cosine) * v + (L::all(sine) * quarter) * L::swapped(v);
  }
  ADJOIN_WIDE_INLINE static void two(Vector& a, Vector& b) {
    const Vector difference = a - b;
    a = a + b;
    b = difference;
  }
  ADJOIN_WIDE_INLINE void four(Vector& a, Vector& b, Vector& c, Vector& d) const {
    const Vector sum02 = a + c;
    const Vector difference02 = a - c;
    const Vector sum13 = b + d;
    const Vector difference13 = L::swapped(b - d);
    a = sum02 + sum13;
    b = difference02 + quarter * difference13;
    c = sum02 - sum13;
    d = difference02 - quarter * difference13;
  }
  ADJOIN_WIDE_INLINE void eight(Vector* a) const {
    constexpr T half = static_cast<T>(0.5 * std::numbers::sqrt2);
    four(a[0], a[2], a[4], a[6]);
    four(a[1], a[3], a[5], a[7]);
    a[3] = turned(a[3], half, half);
    a[5] = quarter * L::swapped(a[5]);
    a[7] = turned(a[7], -half, half);
    two(a[0], a[1]);
    two(a[2], a[3]);
    two(a[4], a[5]);
    two(a[6], a[7]);
    // Frequency k + 4l is at 2k + l.
    const Vector b[8] = {a[0], a[2], a[4], a[6], a[1], a[3], a[5], a[7]};
    for (int k = 0; k < 8; ++k) {
      a[k] = b[k];
    }
  }
  ADJOIN_WIDE_INLINE void sixteen(Vector* a) const {
    constexpr T half = static_cast<T>(0.5 * std::numbers::sqrt2);
    constexpr T c = static_cast<T>(0.92387953251128675613);  // cos and sin of π / 8
    constexpr T s = static_cast<T>(0.38268343236508977173);
    four(a[0], a[4], a[8], a[12]);
    four(a[1], a[5], a[9], a[13]);
    four(a[2], a[6], a[10], a[14]);
    four(a[3], a[7], a[11], a[15]);
    a[5] = turned(a[5], c, s);
    a[9] = turned(a[9], half, half);
    a[13] = turned(a[13], s, c);
    a[6] = turned(a[6], half, half);
    a[10] = quarter * L::swapped(a[10]);
    a[14] = turned(a[14], -half, half);
    a[7] = turned(a[7], s, c);
    a[11] = turned(a[11], -half, half);
    a[15] = turned(a[15], -c, -s);
    four(a[0], a[1], a[2], a[3]);
    four(a[4], a[5], a[6], a[7]);
    four(a[8], a[9], a[10], a[11]);
    four(a[12], a[13], a[14], a[15]);
    // Frequency k + 4l is at 4k + l.
    const Vector b[16] = {a[0], a[4], a[8],  a[12], a[1], a[5], a[9],  a[13],
                          a[2], a[6], a[10], a[14], a[3], a[7], a[11], a[15]};
    for (int k = 0; k < 16; ++k) {
      a[k] = b[k];
    }
  }
  /// By its definition, of which the terms j and n − j share their products.
  template <int n>
  ADJOIN_WIDE_INLINE void odd(Vector* a, const T* cosines, const T* sines) const {
    constexpr int half = n / 2;
    Vector sums[half];
    Vector differences[half];
    Vector total = a[0];
    const Vector first = a[0];
#pragma GCC unroll 6
    for (int j = 0; j < half; ++j) {
      sums[j] = a[j + 1] + a[n - 1 - j];
      differences[j] = a[j + 1] - a[n - 1 - j];
      total = total + sums[j];
    }
    a[0] = total;
#pragma GCC unroll 6
    for (int k = 1; k <= half; ++k) {
      Vector even = first;
      Vector uneven = L::all(sines[k % n]) * differences[0];
      even = even + L::all(cosines[k % n]) * sums[0];
#pragma GCC unroll 6
      for (int j = 1; j < half; ++j) {
        even = even + L::all(cosines[(j + 1) * k % n]) * sums[j];
        uneven = uneven + L::all(sines[(j + 1) * k % n]) * differences[j];
      }
      uneven = quarter * L::swapped(uneven);
      a[k] = even + uneven;
      a[n - k] = even - uneven;
    }
  }
};

}  // namespace adjoin::fft::wide
#endif
