// SPDX-License-Identifier: BSD-3-Clause
// Weighted residuals of arrays on the CPU.
#pragma once

#include <cstdint>

namespace adjoin::kernels {

/// a = w · (a − y) for n entries of `step` numbers, 1, or 2 for interleaved complex ones, which share a weight. Null
/// for y stands for zeros, for w for ones.
void weigh_residual(float* a, const float* y, const float* w, std::int64_t n, int step);
void weigh_residual(double* a, const double* y, const double* w, std::int64_t n, int step);

}  // namespace adjoin::kernels
