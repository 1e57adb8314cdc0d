// SPDX-License-Identifier: BSD-3-Clause
// Sizes without large prime factors, and rows that do not fall on the same lines of a cache.
#include "kernels/fft/sizes.hpp"

#include "kernels/complex_kernels.hpp"

namespace adjoin::fft {

std::int64_t padded_row(std::int64_t numel, at::ScalarType dtype) {
  const std::int64_t in_line = columns_in_block(dtype);
  const std::int64_t lines = (numel + in_line - 1) / in_line;
  return (lines + 1 - lines % 2) * in_line;
}

std::int64_t columns_in_block(at::ScalarType dtype) {
  return at::toRealValueType(dtype) == at::kDouble ? kernels::columns_in_block<double>
                                                   : kernels::columns_in_block<float>;
}

bool is_good_size(std::int64_t n) {
  for (const std::int64_t prime : {2, 3, 5, 7}) {
    while (n % prime == 0) {
      n /= prime;
    }
  }
  return n == 1 || n == 11 || n == 13;
}

std::int64_t good_size(std::int64_t n) {
  // Odd multiples are slower than the next size that the vector units like.
  const std::int64_t multiple = n >= 64 ? 4 : (n > 1 ? 2 : 1);
  std::int64_t size = (n + multiple - 1) / multiple * multiple;
  while (!is_good_size(size)) {
    size += multiple;
  }
  return size;
}

}  // namespace adjoin::fft
