// SPDX-License-Identifier: BSD-3-Clause
// The residual a − y and its weighing in one pass over memory.
#include "kernels/residual.hpp"

#include "adjoin/core/simd.hpp"

namespace adjoin::kernels {
namespace {

template <class T>
ADJOIN_INLINE void residual_of(T* a, const T* y, const T* w, std::int64_t n, int step) {
  if (y != nullptr) {
    for (std::int64_t i = 0; i < n * step; ++i) {
      a[i] -= y[i];
    }
  }
  if (w == nullptr) {
    return;
  }
  if (step == 1) {
    for (std::int64_t i = 0; i < n; ++i) {
      a[i] *= w[i];
    }
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      a[2 * i] *= w[i];
      a[2 * i + 1] *= w[i];
    }
  }
}

}  // namespace

void weigh_residual(float* a, const float* y, const float* w, std::int64_t n, int step) {
  vectorised<residual_of<float>>(a, y, w, n, step);
}

void weigh_residual(double* a, const double* y, const double* w, std::int64_t n, int step) {
  vectorised<residual_of<double>>(a, y, w, n, step);
}

}  // namespace adjoin::kernels
