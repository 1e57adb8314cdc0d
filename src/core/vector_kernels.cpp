// SPDX-License-Identifier: BSD-3-Clause
// The loops over contiguous memory that inner products and updates are made of, for the widest vectors of the machine.
#include "core/vector_kernels.hpp"

#include "adjoin/core/simd.hpp"

namespace adjoin {

namespace {

// Sums are kept in so many independent double accumulators, which the compiler maps to vector registers.
constexpr std::int64_t lanes = 16;

template <class T>
ADJOIN_INLINE double real_dot_of(const T* a, const T* b, std::int64_t n) {
  double sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::int64_t l = 0; l < lanes; ++l) {
      sums[l] += static_cast<double>(a[i + l]) * static_cast<double>(b[i + l]);
    }
  }
  double total = 0.0;
  for (; i < n; ++i) {
    total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  for (double s : sums) {
    total += s;
  }
  return total;
}

template <class T>
ADJOIN_INLINE double real_squares_of(const T* a, std::int64_t n) {
  double sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::int64_t l = 0; l < lanes; ++l) {
      const double value = static_cast<double>(a[i + l]);
      sums[l] += value * value;
    }
  }
  double total = 0.0;
  for (; i < n; ++i) {
    total += static_cast<double>(a[i]) * static_cast<double>(a[i]);
  }
  for (double s : sums) {
    total += s;
  }
  return total;
}

/// Imaginary part of Σ conj(a) b for n complex numbers stored as pairs.
template <class T>
ADJOIN_INLINE double imaginary_dot_of(const T* a, const T* b, std::int64_t n) {
  double sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::int64_t l = 0; l < lanes; ++l) {
      const std::int64_t k = 2 * (i + l);
      sums[l] += static_cast<double>(a[k]) * static_cast<double>(b[k + 1]) -
                 static_cast<double>(a[k + 1]) * static_cast<double>(b[k]);
    }
  }
  double total = 0.0;
  for (; i < n; ++i) {
    total += static_cast<double>(a[2 * i]) * static_cast<double>(b[2 * i + 1]) -
             static_cast<double>(a[2 * i + 1]) * static_cast<double>(b[2 * i]);
  }
  for (double s : sums) {
    total += s;
  }
  return total;
}

template <class T>
ADJOIN_INLINE void real_axpby_of(T alpha, const T* x, T beta, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = alpha * x[i] + beta * y[i];
  }
}

template <class T>
ADJOIN_INLINE void complex_axpby_of(T ar, T ai, const T* x, T br, T bi, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T xr = x[2 * i];
    const T xi = x[2 * i + 1];
    const T yr = y[2 * i];
    const T yi = y[2 * i + 1];
    y[2 * i] = (ar * xr - ai * xi) + (br * yr - bi * yi);
    y[2 * i + 1] = (ar * xi + ai * xr) + (br * yi + bi * yr);
  }
}

}  // namespace

#define ADJOIN_DEFINE_KERNELS(T)                                                                                    \
  double real_dot(const T* a, const T* b, std::int64_t n) { return vectorised<real_dot_of<T>>(a, b, n); }           \
  double real_squares(const T* a, std::int64_t n) { return vectorised<real_squares_of<T>>(a, n); }                  \
  double imaginary_dot(const T* a, const T* b, std::int64_t n) { return vectorised<imaginary_dot_of<T>>(a, b, n); } \
  void real_axpby(T alpha, const T* x, T beta, T* y, std::int64_t n) {                                              \
    vectorised<real_axpby_of<T>>(alpha, x, beta, y, n);                                                             \
  }                                                                                                                 \
  void complex_axpby(T ar, T ai, const T* x, T br, T bi, T* y, std::int64_t n) {                                    \
    vectorised<complex_axpby_of<T>>(ar, ai, x, br, bi, y, n);                                                       \
  }

ADJOIN_DEFINE_KERNELS(float)
ADJOIN_DEFINE_KERNELS(double)

}  // namespace adjoin
