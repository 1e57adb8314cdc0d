// SPDX-License-Identifier: BSD-3-Clause
// Rows as columns: complex ones as they are, and real ones as complex ones of half the length, whose even and odd
// numbers are told apart in the spectrum (W. H. Press et al., Numerical Recipes, 3rd ed., section 12.3).
#include "kernels/fft/wide_rows.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/fft/wide_axis.hpp"

namespace adjoin::fft {

#ifdef ADJOIN_HAS_WIDE_TRANSFORMS

namespace {

/// Vectors of quarters: what one complex number of double precision takes, or two of single precision.
ADJOIN_WIDE_INLINE void transpose_quarters(__m512d& a, __m512d& b, __m512d& c, __m512d& d) {
  const __m512d ab_low = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
  const __m512d ab_high = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  const __m512d cd_low = __builtin_shufflevector(c, d, 0, 1, 2, 3, 8, 9, 10, 11);
  const __m512d cd_high = __builtin_shufflevector(c, d, 4, 5, 6, 7, 12, 13, 14, 15);
  a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5, 8, 9, 12, 13);
  b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7, 10, 11, 14, 15);
  c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5, 8, 9, 12, 13);
  d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7, 10, 11, 14, 15);
}

/// A square of complex numbers, a row a vector.
template <class T>
ADJOIN_WIDE_INLINE void transpose(__m512d* v) {
  if constexpr (sizeof(T) == sizeof(double)) {
    transpose_quarters(v[0], v[1], v[2], v[3]);
  } else {
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      const __m512d even = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
      const __m512d odd = __builtin_shufflevector(v[i], v[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
      v[i] = even;
      v[i + 1] = odd;
    }
    transpose_quarters(v[0], v[2], v[4], v[6]);
    transpose_quarters(v[1], v[3], v[5], v[7]);
    // Columns 0, 2, 4, 6 and 1, 3, 5, 7 are where they belong.
  }
}

/// The first `count` rows, of `numel` complex numbers, to the lines of a block; the columns beyond are the first row.
template <class T>
ADJOIN_WIDE void rows_to_lines(const void* const* rows, int count, std::int64_t numel, T* lines) {
  constexpr int side = static_cast<int>(wide::line<T> / 2);
  const T* starts[side];
  for (int k = 0; k < side; ++k) {
    starts[k] = static_cast<const T*>(rows[k < count ? k : 0]);
  }
  for (std::int64_t first = 0; first < numel; first += side) {
    __m512d v[side];
    const std::int64_t left = numel - first;
    if (left >= side) {
#pragma GCC unroll 8
      for (int k = 0; k < side; ++k) {
        v[k] = _mm512_loadu_pd(starts[k] + 2 * first);
      }
    } else {
      const auto mask = static_cast<__mmask8>((1U << (8 / side * static_cast<unsigned>(left))) - 1U);
#pragma GCC unroll 8
      for (int k = 0; k < side; ++k) {
        v[k] = _mm512_maskz_loadu_pd(mask, starts[k] + 2 * first);
      }
    }
    transpose<T>(v);
#pragma GCC unroll 8
    for (int k = 0; k < side; ++k) {
      _mm512_storeu_pd(lines + (first + k) * wide::line<T>, v[k]);
    }
  }
}

/// The reverse, for the first `count` rows.
template <class T>
ADJOIN_WIDE void lines_to_rows(const T* lines, std::int64_t numel, void* const* rows, int count) {
  constexpr int side = static_cast<int>(wide::line<T> / 2);
  for (std::int64_t first = 0; first < numel; first += side) {
    __m512d v[side];
#pragma GCC unroll 8
    for (int k = 0; k < side; ++k) {
      v[k] = _mm512_loadu_pd(lines + (first + k) * wide::line<T>);
    }
    transpose<T>(v);
    const std::int64_t left = std::min<std::int64_t>(numel - first, side);
    const auto mask = static_cast<__mmask8>((1U << (8 / side * static_cast<unsigned>(left))) - 1U);
#pragma GCC unroll 8
    for (int k = 0; k < side; ++k) {
      if (k < count) {
        _mm512_mask_storeu_pd(static_cast<T*>(rows[k]) + 2 * first, mask, v[k]);
      }
    }
  }
}

/// Between the spectrum Z of x₂ⱼ + i x₂ⱼ₊₁, of h numbers, and the half spectrum X of x, of h + 1: with even and odd
/// parts E_k = Z_k + conj(Z_{h−k}) and O_k = −i e^{−2πik/2h} (Z_k − conj(Z_{h−k})), X_k = (E_k + O_k) / 2 and X_{h−k} =
/// conj(E_k − O_k) / 2. The way back is its conjugate, without the halves.
template <class T>
ADJOIN_WIDE void join(T* lines, std::int64_t h, const T* factors, bool backward) {
  using L = wide::Lanes<T>;
  using Vector = L::Vector;
  constexpr std::int64_t line = wide::line<T>;
  const T signs[2] = {T(1), T(-1)};
  const T real[2] = {T(1), T(0)};
  const Vector conjugate = L::pairs(signs);
  const Vector half = L::all(backward ? T(1) : T(0.5));
  const int sine = backward ? 2 : 1;
  const std::int64_t last = backward ? h : 0;
  if (backward) {
    L::store(lines, L::load(lines) * L::pairs(real));
    L::store(lines + h * line, L::load(lines + h * line) * L::pairs(real));
  }
  for (std::int64_t k = 0; 2 * k <= h; ++k) {
    const T* const w = factors + 4 * k;
    T* const low = lines + k * line;
    T* const high = lines + (h - k) * line;
    const Vector z = L::load(low);
    const Vector mirrored = conjugate * L::load(k == 0 ? lines + last * line : high);
    const Vector even = half * (z + mirrored);
    const Vector difference = half * (z - mirrored);
    const Vector odd = L::all(w[0]) * difference + L::pairs(w + sine) * L::swapped(difference);
    L::store(low, even + odd);
    if (k > 0 || !backward) {
      L::store(high, conjugate * (even - odd));
    }
  }
}

template <class T>
class WideRowsOf final : public WideRows {
 public:
  WideRowsOf(std::int64_t n, bool complex)
      : complex_(complex), numel_(complex ? n : n / 2), axis_(numel_, wide::line<T>) {
    for (std::int64_t k = 0; !complex && 2 * k <= numel_; ++k) {
      // −i e^{−iθ}
      const double angle = 2.0 * std::numbers::pi * (static_cast<double>(k) / static_cast<double>(n) + 0.25);
      const T sine = static_cast<T>(std::sin(angle));
      factors_.insert(factors_.end(), {static_cast<T>(std::cos(angle)), sine, -sine, sine});
    }
  }
  bool is_valid() const { return axis_.is_valid(); }

  int at_once() const override { return side; }
  void forward(const void* const* sources, void* const* spectra, int count) const override {
    T* const lines = wide::workspace<T>(2, numel_ + side);
    rows_to_lines<T>(complex_ ? spectra : sources, count, numel_, lines);
    axis_(lines, false);
    if (!complex_) {
      join<T>(lines, numel_, factors_.data(), false);
    }
    lines_to_rows<T>(lines, complex_ ? numel_ : numel_ + 1, spectra, count);
  }
  void backward(const void* const* spectra, void* const* targets, int count) const override {
    T* const lines = wide::workspace<T>(2, numel_ + side);
    rows_to_lines<T>(complex_ ? targets : spectra, count, complex_ ? numel_ : numel_ + 1, lines);
    if (!complex_) {
      join<T>(lines, numel_, factors_.data(), true);
    }
    axis_(lines, true);
    lines_to_rows<T>(lines, numel_, targets, count);
  }

 private:
  static constexpr int side = static_cast<int>(wide::line<T> / 2);
  bool complex_;
  std::int64_t numel_;  // complex numbers of a row
  wide::Axis<T> axis_;
  std::vector<T> factors_;
};

template <class T>
std::shared_ptr<const WideRows> make_rows(std::int64_t n, bool complex) {
  const auto rows = std::make_shared<const WideRowsOf<T>>(n, complex);
  return rows->is_valid() ? rows : nullptr;
}

}  // namespace

std::shared_ptr<const WideRows> WideRows::make(std::int64_t n, c10::ScalarType dtype) {
  const bool complex = c10::isComplexType(dtype);
  if (instruction_set() != InstructionSet::avx512 || n < 1 || (!complex && n % 2 != 0)) {
    return nullptr;
  }
  return c10::toRealValueType(dtype) == c10::kDouble ? make_rows<double>(n, complex) : make_rows<float>(n, complex);
}

#else

std::shared_ptr<const WideRows> WideRows::make(std::int64_t /*n*/, c10::ScalarType /*dtype*/) { return nullptr; }

#endif

}  // namespace adjoin::fft
