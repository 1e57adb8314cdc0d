// SPDX-License-Identifier: BSD-3-Clause
// Transforms by FFTW 3, where the system has its libraries, which are loaded when they are asked for.
#pragma once

#include <memory>

#include "kernels/fft/transform.hpp"

namespace adjoin::fft {

/// Null where it is not there, or does not plan this.
std::shared_ptr<const Transform> make_with_fftw(const Plan& plan);

}  // namespace adjoin::fft
