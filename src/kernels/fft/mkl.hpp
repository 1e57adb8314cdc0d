// SPDX-License-Identifier: BSD-3-Clause
// Transforms by oneMKL, which libtorch contains and exports without a header of its own.
#pragma once

#include <memory>

#include "kernels/fft/transform.hpp"

namespace adjoin::fft {

/// Null where libtorch lacks it, or it does not plan this.
std::shared_ptr<const Transform> make_with_mkl(const Plan& plan);

}  // namespace adjoin::fft
