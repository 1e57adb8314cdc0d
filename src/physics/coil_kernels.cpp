#include "coil_kernels.hpp"

#include "adjoin/core/simd.hpp"

#define ADJOIN_INLINE __attribute__((always_inline)) inline

namespace adjoin::coil {
namespace {

// The loops, inlined into each clone of the kernels below, with the step a constant so that they vectorise.

template <int step, class T>
ADJOIN_INLINE void weight_by_map(const T* __restrict xr, const T* __restrict xi, const T* __restrict map,
                                 T* __restrict coil, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = xr[step * i];
    const T im = xi[step * i];
    coil[2 * i] = re * map[2 * i] - im * map[2 * i + 1];
    coil[2 * i + 1] = re * map[2 * i + 1] + im * map[2 * i];
  }
}

template <int step, bool assign, class T>
ADJOIN_INLINE void add_conjugate_weighted(const T* __restrict map, const T* __restrict coil, T* __restrict xr,
                                          T* __restrict xi, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = map[2 * i] * coil[2 * i] + map[2 * i + 1] * coil[2 * i + 1];
    const T im = map[2 * i] * coil[2 * i + 1] - map[2 * i + 1] * coil[2 * i];
    xr[step * i] = assign ? re : xr[step * i] + re;
    xi[step * i] = assign ? im : xi[step * i] + im;
  }
}

template <int step, bool complex_weights, class T>
ADJOIN_INLINE void sample(const T* __restrict w, const T* __restrict coil, T* __restrict yr, T* __restrict yi,
                          std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = coil[2 * i];
    const T im = coil[2 * i + 1];
    if constexpr (complex_weights) {
      yr[step * i] = w[2 * i] * re - w[2 * i + 1] * im;
      yi[step * i] = w[2 * i] * im + w[2 * i + 1] * re;
    } else {
      yr[step * i] = w[i] * re;
      yi[step * i] = w[i] * im;
    }
  }
}

template <int step, bool complex_weights, class T>
ADJOIN_INLINE void unsample(const T* __restrict w, const T* __restrict yr, const T* __restrict yi, T* __restrict coil,
                            std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T re = yr[step * i];
    const T im = yi[step * i];
    if constexpr (complex_weights) {
      coil[2 * i] = w[2 * i] * re + w[2 * i + 1] * im;
      coil[2 * i + 1] = w[2 * i] * im - w[2 * i + 1] * re;
    } else {
      coil[2 * i] = w[i] * re;
      coil[2 * i + 1] = w[i] * im;
    }
  }
}

}  // namespace

#define ADJOIN_DEFINE_KERNELS(T)                                                                                       \
  ADJOIN_SIMD void weight_by_map(Complex<const T> x, const T* map, T* coil, std::int64_t n) {                          \
    x.step == 1 ? weight_by_map<1>(x.re, x.im, map, coil, n) : weight_by_map<2>(x.re, x.im, map, coil, n);             \
  }                                                                                                                    \
  ADJOIN_SIMD void add_conjugate_weighted(const T* map, const T* coil, Complex<T> x, bool assign, std::int64_t n) {    \
    if (assign) {                                                                                                      \
      x.step == 1 ? add_conjugate_weighted<1, true>(map, coil, x.re, x.im, n)                                          \
                  : add_conjugate_weighted<2, true>(map, coil, x.re, x.im, n);                                         \
    } else {                                                                                                           \
      x.step == 1 ? add_conjugate_weighted<1, false>(map, coil, x.re, x.im, n)                                         \
                  : add_conjugate_weighted<2, false>(map, coil, x.re, x.im, n);                                        \
    }                                                                                                                  \
  }                                                                                                                    \
  ADJOIN_SIMD void sample(const T* weights, bool complex_weights, const T* coil, Complex<T> y, std::int64_t n) {       \
    if (complex_weights) {                                                                                             \
      y.step == 1 ? sample<1, true>(weights, coil, y.re, y.im, n) : sample<2, true>(weights, coil, y.re, y.im, n);     \
    } else {                                                                                                           \
      y.step == 1 ? sample<1, false>(weights, coil, y.re, y.im, n) : sample<2, false>(weights, coil, y.re, y.im, n);   \
    }                                                                                                                  \
  }                                                                                                                    \
  ADJOIN_SIMD void unsample(const T* weights, bool complex_weights, Complex<const T> y, T* coil, std::int64_t n) {     \
    if (complex_weights) {                                                                                             \
      y.step == 1 ? unsample<1, true>(weights, y.re, y.im, coil, n) : unsample<2, true>(weights, y.re, y.im, coil, n); \
    } else {                                                                                                           \
      y.step == 1 ? unsample<1, false>(weights, y.re, y.im, coil, n)                                                   \
                  : unsample<2, false>(weights, y.re, y.im, coil, n);                                                  \
    }                                                                                                                  \
  }                                                                                                                    \
  ADJOIN_SIMD void scale(const T* __restrict factors, T* __restrict coil, std::int64_t n) {                            \
    for (std::int64_t i = 0; i < n; ++i) {                                                                             \
      coil[2 * i] *= factors[i];                                                                                       \
      coil[2 * i + 1] *= factors[i];                                                                                   \
    }                                                                                                                  \
  }

ADJOIN_DEFINE_KERNELS(float)
ADJOIN_DEFINE_KERNELS(double)

}  // namespace adjoin::coil
