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

#define ADJOIN_DECLARE_KERNELS(T)                                                                  \
  /** out = a · b. */                                                                              \
  void multiply(Complex<const T> a, const T* b, T* out, std::int64_t n);                           \
  /** out += conj(a) · b, or out = … when `assign`. */                                             \
  void multiply_conjugate(const T* a, const T* b, Complex<T> out, bool assign, std::int64_t n);    \
  /** a = a · b, or conj(b) · a when `conjugate`. */                                               \
  void multiply_in_place(T* a, const T* b, bool conjugate, std::int64_t n);                        \
  /** a = a · b, b real. */                                                                        \
  void scale(T* a, const T* b, std::int64_t n);                                                    \
  /** out = weights · a; the weights are real, or interleaved complex when `complex_weights`. */   \
  void sample(const T* weights, bool complex_weights, const T* a, Complex<T> out, std::int64_t n); \
  /** out = conj(weights) · a. */                                                                  \
  void unsample(const T* weights, bool complex_weights, Complex<const T> a, T* out, std::int64_t n);

ADJOIN_DECLARE_KERNELS(float)
ADJOIN_DECLARE_KERNELS(double)
#undef ADJOIN_DECLARE_KERNELS

}  // namespace adjoin::kernels
