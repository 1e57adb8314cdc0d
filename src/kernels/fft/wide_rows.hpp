// SPDX-License-Identifier: BSD-3-Clause
// Transforms of as many rows at once as a vector of AVX-512 has complex numbers: they become the columns of a block and
// rows again, so that no number of a vector meets another one of it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <memory>

namespace adjoin::fft {

/// Of rows of one length: complex ones in place, real ones from and to their half spectra; unnormalised, as Transform.
/// Several threads may use one at once.
class WideRows {
 public:
  /// The most rows of a call.
  static constexpr int most = 8;

  /// Of n numbers of a dtype. Null for n with a prime factor above 13, for odd n of a real one, and where
  /// instruction_set() is not avx512.
  static std::shared_ptr<const WideRows> make(std::int64_t n, c10::ScalarType dtype);
  virtual ~WideRows() = default;

  virtual int at_once() const = 0;
  /// Of the first `count` rows, which are at most at_once(). Complex rows are those of `spectra`, or of `targets`. Of
  /// the first and the last number of a half spectrum the real parts count.
  virtual void forward(const void* const* sources, void* const* spectra, int count) const = 0;
  virtual void backward(const void* const* spectra, void* const* targets, int count) const = 0;
};

}  // namespace adjoin::fft
