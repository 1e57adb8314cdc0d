// SPDX-License-Identifier: BSD-3-Clause
// Sizes of transforms: which are quick, and how their rows lie in memory.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace adjoin::fft {

/// Complex numbers from the start of a row of `numel` to that of the next: an odd number of cache lines, since the
/// columns of an array whose rows are a power of two apart share few sets of the caches.
std::int64_t padded_row(std::int64_t numel, at::ScalarType dtype);
/// kernels::columns_in_block. Padded rows are a multiple of it.
std::int64_t columns_in_block(at::ScalarType dtype);

/// Whether transforms of n points are quick: no prime factor above 7, but for one 11 or 13.
bool is_good_size(std::int64_t n);
/// The smallest such size ≥ n among the multiples of 2, or of 4 from 64 on.
std::int64_t good_size(std::int64_t n);

}  // namespace adjoin::fft
