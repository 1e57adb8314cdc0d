// SPDX-License-Identifier: BSD-3-Clause
// Transforms of blocks of columns by adjoin's own passes, in which a row of the block is one vector of AVX-512.
#pragma once

#include <memory>

#include "kernels/fft/transform.hpp"

namespace adjoin::fft {

/// In place, for complex plans over one or two axes and as many columns as a cache line has numbers. Null for other
/// plans, for sizes with a prime factor above 13, and where instruction_set() is not avx512.
std::shared_ptr<const Transform> make_wide(const Plan& plan);

}  // namespace adjoin::fft
