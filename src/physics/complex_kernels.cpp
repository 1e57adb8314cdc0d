#include "complex_kernels.hpp"

#include "adjoin/core/simd.hpp"

namespace adjoin::kernels {
namespace {

// The loops, inlined into each clone of the kernels below, with the step a constant so that they vectorise.

template <int step, class T>
ADJOIN_INLINE void multiply(const T* __restrict ar, const T* __restrict ai, const T* __restrict b, T* __restrict out,
                            std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = ar[step * i];
    const T im = ai[step * i];
    out[2 * i] = re * b[2 * i] - im * b[2 * i + 1];
    out[2 * i + 1] = re * b[2 * i + 1] + im * b[2 * i];
  }
}

template <int step, bool assign, class T>
ADJOIN_INLINE void multiply_conjugate(const T* __restrict a, const T* __restrict b, T* __restrict out_re,
                                      T* __restrict out_im, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    const T im = a[2 * i] * b[2 * i + 1] - a[2 * i + 1] * b[2 * i];
    out_re[step * i] = assign ? re : out_re[step * i] + re;
    out_im[step * i] = assign ? im : out_im[step * i] + im;
  }
}

template <bool conjugate, class T>
ADJOIN_INLINE void multiply_in_place(T* __restrict a, const T* __restrict b, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = a[2 * i];
    const T im = a[2 * i + 1];
    const T b_im = conjugate ? -b[2 * i + 1] : b[2 * i + 1];
    a[2 * i] = re * b[2 * i] - im * b_im;
    a[2 * i + 1] = re * b_im + im * b[2 * i];
  }
}

template <int step, bool complex_weights, class T>
ADJOIN_INLINE void sample(const T* __restrict w, const T* __restrict a, T* __restrict out_re, T* __restrict out_im,
                          std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = a[2 * i];
    const T im = a[2 * i + 1];
    if constexpr (complex_weights) {
      out_re[step * i] = w[2 * i] * re - w[2 * i + 1] * im;
      out_im[step * i] = w[2 * i] * im + w[2 * i + 1] * re;
    } else {
      out_re[step * i] = w[i] * re;
      out_im[step * i] = w[i] * im;
    }
  }
}

template <int step, bool complex_weights, class T>
ADJOIN_INLINE void unsample(const T* __restrict w, const T* __restrict ar, const T* __restrict ai, T* __restrict out,
                            std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = ar[step * i];
    const T im = ai[step * i];
    if constexpr (complex_weights) {
      out[2 * i] = w[2 * i] * re + w[2 * i + 1] * im;
      out[2 * i + 1] = w[2 * i] * im - w[2 * i + 1] * re;
    } else {
      out[2 * i] = w[i] * re;
      out[2 * i + 1] = w[i] * im;
    }
  }
}

}  // namespace

#define ADJOIN_DEFINE_KERNELS(T)                                                                                       \
  ADJOIN_SIMD void multiply(Complex<const T> a, const T* b, T* out, std::int64_t n) {                                  \
    a.step == 1 ? multiply<1>(a.re, a.im, b, out, n) : multiply<2>(a.re, a.im, b, out, n);                             \
  }                                                                                                                    \
  ADJOIN_SIMD void multiply_conjugate(const T* a, const T* b, Complex<T> out, bool assign, std::int64_t n) {           \
    if (assign) {                                                                                                      \
      out.step == 1 ? multiply_conjugate<1, true>(a, b, out.re, out.im, n)                                             \
                    : multiply_conjugate<2, true>(a, b, out.re, out.im, n);                                            \
    } else {                                                                                                           \
      out.step == 1 ? multiply_conjugate<1, false>(a, b, out.re, out.im, n)                                            \
                    : multiply_conjugate<2, false>(a, b, out.re, out.im, n);                                           \
    }                                                                                                                  \
  }                                                                                                                    \
  ADJOIN_SIMD void multiply_in_place(T* a, const T* b, bool conjugate, std::int64_t n) {                               \
    conjugate ? multiply_in_place<true>(a, b, n) : multiply_in_place<false>(a, b, n);                                  \
  }                                                                                                                    \
  ADJOIN_SIMD void scale(T* __restrict a, const T* __restrict b, std::int64_t n) {                                     \
    for (std::int64_t i = 0; i < n; ++i) {                                                                             \
      a[2 * i] *= b[i];                                                                                                \
      a[2 * i + 1] *= b[i];                                                                                            \
    }                                                                                                                  \
  }                                                                                                                    \
  ADJOIN_SIMD void sample(const T* weights, bool complex_weights, const T* a, Complex<T> out, std::int64_t n) {        \
    if (complex_weights) {                                                                                             \
      out.step == 1 ? sample<1, true>(weights, a, out.re, out.im, n) : sample<2, true>(weights, a, out.re, out.im, n); \
    } else {                                                                                                           \
      out.step == 1 ? sample<1, false>(weights, a, out.re, out.im, n)                                                  \
                    : sample<2, false>(weights, a, out.re, out.im, n);                                                 \
    }                                                                                                                  \
  }                                                                                                                    \
  ADJOIN_SIMD void unsample(const T* weights, bool complex_weights, Complex<const T> a, T* out, std::int64_t n) {      \
    if (complex_weights) {                                                                                             \
      a.step == 1 ? unsample<1, true>(weights, a.re, a.im, out, n) : unsample<2, true>(weights, a.re, a.im, out, n);   \
    } else {                                                                                                           \
      a.step == 1 ? unsample<1, false>(weights, a.re, a.im, out, n) : unsample<2, false>(weights, a.re, a.im, out, n); \
    }                                                                                                                  \
  }

ADJOIN_DEFINE_KERNELS(float)
ADJOIN_DEFINE_KERNELS(double)

}  // namespace adjoin::kernels
