// SPDX-License-Identifier: BSD-3-Clause
// The direct form of a convolution on the CPU.
#pragma once

#include <array>
#include <cstdint>

namespace adjoin::kernels {

/// y_i = Σ_m x_{i + m} w_m for one image: x of `size` and kernel w of `kernel` (depth, height, width) give y of
/// size − kernel + 1 along each axis; all contiguous. `step` = 2 for interleaved complex x and y, else 1; w is real.
void correlate(const float* x, const std::array<std::int64_t, 3>& size, const float* w,
               const std::array<std::int64_t, 3>& kernel, int step, float* y);
void correlate(const double* x, const std::array<std::int64_t, 3>& size, const double* w,
               const std::array<std::int64_t, 3>& kernel, int step, double* y);

}  // namespace adjoin::kernels
