// SPDX-License-Identifier: BSD-3-Clause
// Rows of results summed in registers over the whole kernel.
#include "kernels/correlation.hpp"

#include <cstring>

#include "adjoin/core/simd.hpp"

namespace adjoin::kernels {
namespace {

template <class T>
struct Vector {
  using type [[gnu::vector_size(64)]] = T;
  static constexpr std::int64_t size = 64 / sizeof(T);
};

/// `vectors` · 16 floats or · 8 doubles of one row of y, summed in registers over the whole kernel.
template <int vectors, class T>
ADJOIN_INLINE void correlate_block(const T* x, std::int64_t row, std::int64_t plane, const T* w,
                                   const std::array<std::int64_t, 3>& kernel, int step, T* y) {
  using Register = Vector<T>::type;
  Register sums[vectors] = {};
  for (std::int64_t d = 0; d < kernel[0]; ++d) {
    for (std::int64_t h = 0; h < kernel[1]; ++h) {
      const T* source = x + d * plane + h * row;
      for (std::int64_t k = 0; k < kernel[2]; ++k, ++w, source += step) {
        for (int v = 0; v < vectors; ++v) {
          Register values;
          std::memcpy(&values, source + v * Vector<T>::size, sizeof(values));
          sums[v] += values * *w;
        }
      }
    }
  }
  std::memcpy(y, sums, sizeof(sums));
}

template <class T>
ADJOIN_INLINE T correlate_at(const T* x, std::int64_t row, std::int64_t plane, const T* w,
                             const std::array<std::int64_t, 3>& kernel, int step) {
  T sum = 0;
  for (std::int64_t d = 0; d < kernel[0]; ++d) {
    for (std::int64_t h = 0; h < kernel[1]; ++h) {
      for (std::int64_t k = 0; k < kernel[2]; ++k) {
        sum += x[d * plane + h * row + k * step] * *w++;
      }
    }
  }
  return sum;
}

template <class T>
ADJOIN_INLINE void correlate_rows(const T* x, std::array<std::int64_t, 3> size, const T* w,
                                  std::array<std::int64_t, 3> kernel, int step, T* y) {
  constexpr std::int64_t lanes = Vector<T>::size;
  constexpr int wide = 4;
  const std::int64_t row = size[2] * step;
  const std::int64_t plane = size[1] * row;
  const std::int64_t columns = (size[2] - kernel[2] + 1) * step;
  for (std::int64_t d = 0; d + kernel[0] <= size[0]; ++d) {
    for (std::int64_t h = 0; h + kernel[1] <= size[1]; ++h) {
      const T* source = x + d * plane + h * row;
      std::int64_t i = 0;
      for (; i + wide * lanes <= columns; i += wide * lanes) {
        correlate_block<wide>(source + i, row, plane, w, kernel, step, y + i);
      }
      for (; i + lanes <= columns; i += lanes) {
        correlate_block<1>(source + i, row, plane, w, kernel, step, y + i);
      }
      for (; i < columns; ++i) {
        y[i] = correlate_at(source + i, row, plane, w, kernel, step);
      }
      y += columns;
    }
  }
}

}  // namespace

void correlate(const float* x, const std::array<std::int64_t, 3>& size, const float* w,
               const std::array<std::int64_t, 3>& kernel, int step, float* y) {
  vectorised<correlate_rows<float>>(x, size, w, kernel, step, y);
}

void correlate(const double* x, const std::array<std::int64_t, 3>& size, const double* w,
               const std::array<std::int64_t, 3>& kernel, int step, double* y) {
  vectorised<correlate_rows<double>>(x, size, w, kernel, step, y);
}

}  // namespace adjoin::kernels
