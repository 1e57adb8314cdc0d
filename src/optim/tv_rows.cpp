// SPDX-License-Identifier: BSD-3-Clause
// One row at a time: differences, projections onto the unit ball, and their adjoints.
#include "optim/tv_rows.hpp"

#include <cmath>

#include "adjoin/core/simd.hpp"

namespace adjoin::tv {

namespace {

// The bodies are inlined into one function for each type, number of dimensions and of parts, compiled for several
// instruction sets. Loops over dimensions and parts are unrolled.

template <class T, int dims>
ADJOIN_INLINE void primal_body(T* x, const T* b, const Rows<T>& p, const Rows<T>& before, std::int64_t n, T gamma,
                               T lower, T upper) {
  const T* first = p[0];
  const T* first_before = before[0];
  const T* middle = p[1];
  const T* middle_before = before[1];
  const T* last = p[dims - 1];
  const auto pixel = [&](std::int64_t j, T last_before) __attribute__((always_inline)) {
    T adjoint = first_before[j] - first[j] + last_before - last[j];
    if constexpr (dims == 3) {
      adjoint += middle_before[j] - middle[j];
    }
    const T value = b[j] - gamma * adjoint;
    const T above = value < lower ? lower : value;
    x[j] = above > upper ? upper : above;
  };
  pixel(0, T(0));
  ADJOIN_INDEPENDENT
  for (std::int64_t j = 1; j < n; ++j) {
    pixel(j, last[j - 1]);
  }
}

// Pointers of one part, loaded once.
template <class T>
struct Part {
  const T* x;
  const T* first_after;
  const T* middle_after;
  T* p_first;
  T* p_middle;
  T* p_last;
  T* r_first;
  T* r_middle;
  T* r_last;
};

// The step of one part at a pixel before its projection, and its squared modulus.
template <class T, int dims>
struct Ascent {
  ADJOIN_INLINE Ascent(const Part<T>& part, std::int64_t j, T d_last, T step)
      : first(part.r_first[j] + step * (part.first_after[j] - part.x[j])), last(part.r_last[j] + step * d_last) {
    if constexpr (dims == 3) {
      middle = part.r_middle[j] + step * (part.middle_after[j] - part.x[j]);
    }
  }
  ADJOIN_INLINE T square() const {
    return dims == 3 ? first * first + middle * middle + last * last : first * first + last * last;
  }
  ADJOIN_INLINE void store(const Part<T>& part, std::int64_t j, T scale, T beta) const {
    one(part.p_first[j], part.r_first[j], first * scale, beta);
    one(part.p_last[j], part.r_last[j], last * scale, beta);
    if constexpr (dims == 3) {
      one(part.p_middle[j], part.r_middle[j], middle * scale, beta);
    }
  }
  static ADJOIN_INLINE void one(T& p, T& r, T next, T beta) {
    r = next + beta * (next - p);
    p = next;
  }

  T first;
  T middle = T(0);
  T last;
};

template <class T, int dims, int parts>
ADJOIN_INLINE void dual_body(const Parts<const T*>& x, const Parts<Rows<T>>& after, const Parts<MutableRows<T>>& p,
                             const Parts<MutableRows<T>>& r, std::int64_t n, T step, T beta) {
  constexpr std::size_t middle = dims == 3 ? 1 : 0;  // any valid row where it is not used
  const auto part = [&](std::size_t c) __attribute__((always_inline)) {
    return Part<T>{x[c],           after[c][0], after[c][middle], p[c][0],       p[c][middle],
                   p[c][dims - 1], r[c][0],     r[c][middle],     r[c][dims - 1]};
  };
  const Part<T> a = part(0);
  const Part<T> b = part(parts - 1);
  const auto scale = [](T square)
                         __attribute__((always_inline)) { return T(1) / std::sqrt(square > T(1) ? square : T(1)); };
  const auto pixel = [&](std::int64_t j, T a_last, T b_last) __attribute__((always_inline)) {
    const Ascent<T, dims> first(a, j, a_last, step);
    if constexpr (parts == 1) {
      first.store(a, j, scale(first.square()), beta);
    } else {
      const Ascent<T, dims> second(b, j, b_last, step);
      const T common = scale(first.square() + second.square());
      first.store(a, j, common, beta);
      second.store(b, j, common, beta);
    }
  };
  ADJOIN_INDEPENDENT
  for (std::int64_t j = 0; j < n - 1; ++j) {
    pixel(j, a.x[j + 1] - a.x[j], b.x[j + 1] - b.x[j]);
  }
  pixel(n - 1, T(0), T(0));
}

template <class T, int dims, int parts, bool with_dual>
ADJOIN_INLINE double gap_body(const Parts<const T*>& x, const Parts<Rows<T>>& after, const Parts<Rows<T>>& p,
                              std::int64_t n) {
  constexpr std::int64_t lanes = 16;
  struct Differences {
    T square;
    T product;
  };
  const auto differences = [&](std::size_t c, std::int64_t j, bool inside) __attribute__((always_inline)) {
    const T here = x[c][j];
    const T d_first = after[c][0][j] - here;
    const T d_last = inside ? x[c][j + 1] - here : T(0);
    Differences result{d_first * d_first + d_last * d_last, T(0)};
    if constexpr (with_dual) {
      result.product = d_first * p[c][0][j] + d_last * p[c][dims - 1][j];
    }
    if constexpr (dims == 3) {
      const T d_middle = after[c][1][j] - here;
      result.square += d_middle * d_middle;
      if constexpr (with_dual) {
        result.product += d_middle * p[c][1][j];
      }
    }
    return result;
  };
  const auto pixel = [&](std::int64_t j, bool inside) __attribute__((always_inline)) {
    Differences sum = differences(0, j, inside);
    if constexpr (parts == 2) {
      const Differences other = differences(1, j, inside);
      sum.square += other.square;
      sum.product += other.product;
    }
    return static_cast<double>(std::sqrt(sum.square) - sum.product);
  };
  double sums[lanes] = {};
  std::int64_t j = 0;
  for (; j + lanes < n; j += lanes) {
    for (std::int64_t l = 0; l < lanes; ++l) {
      sums[l] += pixel(j + l, true);
    }
  }
  double total = pixel(n - 1, false);
  for (; j < n - 1; ++j) {
    total += pixel(j, true);
  }
  for (const double sum : sums) {
    total += sum;
  }
  return total;
}

template <class T, int dims>
void primal_of(T* x, const T* b, const Rows<T>& p, const Rows<T>& before, std::int64_t n, T gamma, T lower, T upper) {
  vectorised<primal_body<T, dims>>(x, b, p, before, n, gamma, lower, upper);
}

template <class T, int dims, int parts>
void dual_of(const Parts<const T*>& x, const Parts<Rows<T>>& after, const Parts<MutableRows<T>>& p,
             const Parts<MutableRows<T>>& r, std::int64_t n, T step, T beta) {
  vectorised<dual_body<T, dims, parts>>(x, after, p, r, n, step, beta);
}

template <class T, int dims, int parts>
double gap_of(const Parts<const T*>& x, const Parts<Rows<T>>& after, const Parts<Rows<T>>& p, std::int64_t n) {
  return p[0][0] == nullptr ? vectorised<gap_body<T, dims, parts, false>>(x, after, p, n)
                            : vectorised<gap_body<T, dims, parts, true>>(x, after, p, n);
}

}  // namespace

template <class T>
PrimalRow<T> primal_row(std::size_t dims) {
  return dims == 2 ? primal_of<T, 2> : primal_of<T, 3>;
}

template <class T>
DualRow<T> dual_row(std::size_t dims, std::size_t parts) {
  if (parts == 1) {
    return dims == 2 ? dual_of<T, 2, 1> : dual_of<T, 3, 1>;
  }
  return dims == 2 ? dual_of<T, 2, 2> : dual_of<T, 3, 2>;
}

template <class T>
GapRow<T> gap_row(std::size_t dims, std::size_t parts) {
  if (parts == 1) {
    return dims == 2 ? gap_of<T, 2, 1> : gap_of<T, 3, 1>;
  }
  return dims == 2 ? gap_of<T, 2, 2> : gap_of<T, 3, 2>;
}

#define ADJOIN_INSTANTIATE(T)                             \
  template PrimalRow<T> primal_row(std::size_t);          \
  template DualRow<T> dual_row(std::size_t, std::size_t); \
  template GapRow<T> gap_row(std::size_t, std::size_t);
ADJOIN_INSTANTIATE(float)
ADJOIN_INSTANTIATE(double)

}  // namespace adjoin::tv
