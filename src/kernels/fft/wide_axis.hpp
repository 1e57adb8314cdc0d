// SPDX-License-Identifier: BSD-3-Clause
// Stockham's passes of radix 2 to 16 over vectors of AVX-512, which leave the spectrum in its natural order (C. Van
// Loan, Computational Frameworks for the Fast Fourier Transform, SIAM 1992, section 1.7).
#pragma once

#include "kernels/fft/wide_vector.hpp"

#ifdef ADJOIN_HAS_WIDE_TRANSFORMS
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numbers>
#include <utility>
#include <vector>

namespace adjoin::fft::wide {

/// Rows of complex numbers, `row` scalars apart.
template <class T>
struct Rows {
  T* first;
  std::int64_t row;
};

/// The rows q + span (p + groups k), k < radix, to rows q + span (radix p + k), for all p < groups and q < span.
template <class T>
struct Pass {
  std::int64_t groups;
  std::int64_t span;
  std::vector<T> cosines;  // of 2πj / radix, for odd radices
  std::vector<T> sines;
  /// For each p and k ≥ 1 the factor e^{−iθ}, θ = 2πpk / (groups radix), as cos θ, sin θ, −sin θ, sin θ; none for one
  /// group.
  std::vector<T> factors;
};

template <class T>
using Run = void (*)(const Pass<T>&, Rows<const T>, Rows<T>, bool backward);

template <int radix, class T>
ADJOIN_WIDE_INLINE void transform(const Butterfly<T>& butterfly, typename Lanes<T>::Vector* a, const Pass<T>& pass) {
  if constexpr (radix == 2) {
    butterfly.two(a[0], a[1]);
  } else if constexpr (radix == 4) {
    butterfly.four(a[0], a[1], a[2], a[3]);
  } else if constexpr (radix == 8) {
    butterfly.eight(a);
  } else if constexpr (radix == 16) {
    butterfly.sixteen(a);
  } else {
    butterfly.template odd<radix>(a, pass.cosines.data(), pass.sines.data());
  }
}

template <class T, int radix>
ADJOIN_WIDE void run(const Pass<T>& pass, Rows<const T> from, Rows<T> to, bool backward) {
  using L = Lanes<T>;
  const T signs[2] = {backward ? T(-1) : T(1), backward ? T(1) : T(-1)};
  const Butterfly<T> butterfly{L::pairs(signs)};
  const std::int64_t span = pass.span;
  const int sine = backward ? 2 : 1;
  const T* factor = pass.factors.data();
  for (std::int64_t p = 0; p < pass.groups; ++p) {
    for (std::int64_t q = 0; q < span; ++q) {
      typename L::Vector a[radix];
      const T* const source = from.first + (q + span * p) * from.row;
      const std::int64_t step = span * pass.groups * from.row;
#pragma GCC unroll 16
      for (int k = 0; k < radix; ++k) {
        a[k] = L::load(source + k * step);
      }
      transform<radix>(butterfly, a, pass);
      T* const target = to.first + (q + span * radix * p) * to.row;
      L::store(target, a[0]);
      if (pass.groups == 1) {
#pragma GCC unroll 16
        for (int k = 1; k < radix; ++k) {
          L::store(target + k * span * to.row, a[k]);
        }
      } else {
#pragma GCC unroll 16
        for (int k = 1; k < radix; ++k) {
          const T* const w = factor + 4 * (k - 1);
          L::store(target + k * span * to.row, L::all(w[0]) * a[k] + L::pairs(w + sine) * L::swapped(a[k]));
        }
      }
    }
    factor += 4 * (radix - 1);
  }
}

template <class T>
Run<T> runner(int radix) {
  switch (radix) {
    case 2:
      return run<T, 2>;
    case 3:
      return run<T, 3>;
    case 4:
      return run<T, 4>;
    case 5:
      return run<T, 5>;
    case 7:
      return run<T, 7>;
    case 8:
      return run<T, 8>;
    case 11:
      return run<T, 11>;
    case 13:
      return run<T, 13>;
    default:
      return run<T, 16>;
  }
}

/// Few radices whose product is n, the powers of 2 shared out evenly; none where n has a prime factor above 13.
inline std::vector<int> radices_of(std::int64_t n) {
  std::vector<int> radices;
  for (const int prime : {13, 11, 7, 5, 3}) {
    for (; n % prime == 0; n /= prime) {
      radices.push_back(prime);
    }
  }
  int twos = 0;
  for (; n % 2 == 0; n /= 2) {
    ++twos;
  }
  for (int passes = (twos + 3) / 4; passes > 0; --passes) {
    const int share = (twos + passes - 1) / passes;
    radices.push_back(1 << share);
    twos -= share;
  }
  return n == 1 ? radices : std::vector<int>();
}

/// Scalars of a line, which is one vector: as many complex numbers as are transformed at once.
template <class T>
constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));

/// This thread's memory of so many lines, which begins at one; each of four.
template <class T>
T* workspace(std::size_t which, std::int64_t lines) {
  thread_local std::array<std::vector<T>, 4> memory;
  std::vector<T>& one = memory[which];
  one.resize(std::max(one.size(), static_cast<std::size_t>((lines + 1) * line<T>)));
  void* start = one.data();
  std::size_t bytes = one.size() * sizeof(T);
  return static_cast<T*>(std::align(64, static_cast<std::size_t>(lines) * 64, start, bytes));
}

/// The transform along one axis of `size` vectors, `row` scalars from one to the next.
template <class T>
class Axis {
 public:
  Axis(std::int64_t size, std::int64_t row) : size_(size), row_(row) {
    std::int64_t left = size_;
    std::int64_t span = 1;
    for (const int radix : radices_of(size_)) {
      passes_.emplace_back(runner<T>(radix), make_pass(radix, left / radix, span));
      left /= radix;
      span *= radix;
    }
  }
  /// False for sizes with a prime factor above 13.
  bool is_valid() const { return size_ == 1 || !passes_.empty(); }
  std::int64_t size() const { return size_; }
  std::int64_t row() const { return row_; }

  /// Unnormalised, in place, from the first vector on.
  void operator()(T* block, bool backward) const {
    const Rows<T> rows{block, row_};
    // A pass goes from one array to another.
    Rows<T> from = rows;
    for (std::size_t i = 0; i < passes_.size(); ++i) {
      const Rows<T> to = i + 1 == passes_.size() ? rows : Rows<T>{workspace<T>(i % 2, size_), line<T>};
      const auto& [run, pass] = passes_[i];
      run(pass, {from.first, from.row}, to, backward);
      from = to;
    }
  }

 private:
  static Pass<T> make_pass(int radix, std::int64_t groups, std::int64_t span) {
    Pass<T> pass{.groups = groups, .span = span, .cosines = {}, .sines = {}, .factors = {}};
    for (int j = 0; j < radix; ++j) {
      const double angle = 2.0 * std::numbers::pi * j / radix;
      pass.cosines.push_back(static_cast<T>(std::cos(angle)));
      pass.sines.push_back(static_cast<T>(std::sin(angle)));
    }
    for (std::int64_t p = 0; groups > 1 && p < groups; ++p) {
      for (int k = 1; k < radix; ++k) {
        const double angle = 2.0 * std::numbers::pi * static_cast<double>(p * k) / static_cast<double>(groups * radix);
        const T sine = static_cast<T>(std::sin(angle));
        pass.factors.insert(pass.factors.end(), {static_cast<T>(std::cos(angle)), sine, -sine, sine});
      }
    }
    return pass;
  }

  std::int64_t size_;
  std::int64_t row_;  // scalars from a row to the next
  std::vector<std::pair<Run<T>, Pass<T>>> passes_;
};

}  // namespace adjoin::fft::wide
#endif
