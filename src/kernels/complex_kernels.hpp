// SPDX-License-Identifier: BSD-3-Clause
// Elementwise passes over complex arrays on the CPU.
#pragma once

#include <cstdint>

namespace adjoin::kernels {

/// A complex array, split into two planes or interleaved: entry i has its parts at re[step * i] and im[step * i], step
/// 1 or 2. Arrays given by one pointer are interleaved. None overlap unless said so.
template <class T>
struct Complex {
  T* re;
  T* im;
  int step;
};

/// Factors, one for each entry of an array: `values`, interleaved when `complex`; or `unit` times `signs`, each -1, 0
/// or 1, where these are not null. They take a quarter of the cache, and most masks are of this kind.
template <class T>
struct Weights {
  const T* values;
  bool complex = false;
  const std::int8_t* signs = nullptr;
  T unit = T(0);
};

/// Those from entry i on.
template <class T>
Complex<T> from(Complex<T> a, std::int64_t i) {
  return {a.re + a.step * i, a.im + a.step * i, a.step};
}
template <class T>
Weights<T> from(Weights<T> w, std::int64_t i) {
  return w.signs != nullptr ? Weights<T>{nullptr, false, w.signs + i, w.unit}
                            : Weights<T>{w.values + (w.complex ? 2 : 1) * i, w.complex};
}

/// Columns of a block: the complex numbers of a cache line.
template <class T>
constexpr std::int64_t columns_in_block = 64 / (2 * sizeof(T));

/// A block of neighbouring columns of an interleaved complex array: `rows` of them, `stride` complex numbers apart.
struct Columns {
  std::int64_t rows;
  std::int64_t stride;
};

#define ADJOIN_DECLARE_KERNELS(T)                                                               \
  /** out = a · b. */                                                                           \
  void multiply(Complex<const T> a, const T* b, T* out, std::int64_t n);                        \
  /** out += conj(a) · b, or out = … when `assign`. */                                          \
  void multiply_conjugate(const T* a, const T* b, Complex<T> out, bool assign, std::int64_t n); \
  /** a = a · weights, which are real. */                                                       \
  void scale(T* a, Weights<T> weights, std::int64_t n);                                         \
  /** out = weights · a. */                                                                     \
  void sample(Weights<T> weights, const T* a, Complex<T> out, std::int64_t n);                  \
  /** out = conj(weights) · a. */                                                               \
  void unsample(Weights<T> weights, Complex<const T> a, T* out, std::int64_t n);                \
  /** The same for columns of arrays of one layout; out may be b. */                            \
  void multiply(const T* a, const T* b, T* out, Columns columns);                               \
  void multiply_conjugate(const T* a, const T* b, T* out, bool assign, Columns columns);        \
  /** The same for columns; the weights of one row follow those of the one before. */           \
  void scale(T* a, Weights<T> weights, Columns columns);                                        \
  /** out = a, each row of the block times its own complex factor; rows of out lie together. */ \
  void turn(const T* a, Columns columns, const T* factors, T* out);                             \
  /** out += conj(factor) · a for each row, or out = … when `assign`; rows lie together. */     \
  void turn_back(const T* a, const T* factors, T* out, bool assign, std::int64_t rows);         \
  /** Rows that lie together become those of a block. */                                        \
  void put_columns(const T* a, T* block, Columns columns);

ADJOIN_DECLARE_KERNELS(float)
ADJOIN_DECLARE_KERNELS(double)
#undef ADJOIN_DECLARE_KERNELS

}  // namespace adjoin::kernels
