#include "optim/tv_rows.hpp"

#include <cmath>

#include "adjoin/core/simd.hpp"

namespace adjoin::tv {

namespace {

// The bodies are inlined into one function for each type and number of dimensions, compiled for several instruction
// sets. `first`, `middle` and `last` are the spatial dimensions; there is no middle one of two.

// The rows of a loop do not overlap.
#if defined(__GNUC__) && !defined(__clang__)
#define ADJOIN_INDEPENDENT _Pragma("GCC ivdep")
#else
#define ADJOIN_INDEPENDENT
#endif

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

// The step at one pixel, whose differences are d_first, d_middle and d_last.
template <class T, int dims>
ADJOIN_INLINE void dual_pixel(T d_first, T d_middle, T d_last, T& p_first, T& p_middle, T& p_last, T& r_first,
                              T& r_middle, T& r_last, T step, T beta) {
  const T q_first = r_first + step * d_first;
  const T q_middle = dims == 3 ? r_middle + step * d_middle : T(0);
  const T q_last = r_last + step * d_last;
  const T square = q_first * q_first + q_middle * q_middle + q_last * q_last;
  const T scale = T(1) / std::sqrt(square > T(1) ? square : T(1));
  const T next_first = q_first * scale;
  const T next_last = q_last * scale;
  r_first = next_first + beta * (next_first - p_first);
  r_last = next_last + beta * (next_last - p_last);
  p_first = next_first;
  p_last = next_last;
  if constexpr (dims == 3) {
    const T next_middle = q_middle * scale;
    r_middle = next_middle + beta * (next_middle - p_middle);
    p_middle = next_middle;
  }
}

template <class T, int dims>
ADJOIN_INLINE void dual_body(const T* x, const Rows<T>& after, const MutableRows<T>& p, const MutableRows<T>& r,
                             std::int64_t n, T step, T beta) {
  constexpr std::size_t middle = dims == 3 ? 1 : 0;  // any valid row where it is not used
  const T* first_after = after[0];
  const T* middle_after = after[middle];
  T* p_first = p[0];
  T* p_middle = p[middle];
  T* p_last = p[dims - 1];
  T* r_first = r[0];
  T* r_middle = r[middle];
  T* r_last = r[dims - 1];
  ADJOIN_INDEPENDENT
  for (std::int64_t j = 0; j < n - 1; ++j) {
    dual_pixel<T, dims>(first_after[j] - x[j], middle_after[j] - x[j], x[j + 1] - x[j], p_first[j], p_middle[j],
                        p_last[j], r_first[j], r_middle[j], r_last[j], step, beta);
  }
  const std::int64_t j = n - 1;
  dual_pixel<T, dims>(first_after[j] - x[j], middle_after[j] - x[j], T(0), p_first[j], p_middle[j], p_last[j],
                      r_first[j], r_middle[j], r_last[j], step, beta);
}

template <class T, int dims, bool with_dual>
ADJOIN_INLINE double gap_body(const T* x, const Rows<T>& after, const Rows<T>& p, std::int64_t n) {
  constexpr std::int64_t lanes = 16;
  const T* first_after = after[0];
  const T* middle_after = after[1];
  const T* p_first = p[0];
  const T* p_middle = p[1];
  const T* p_last = p[dims - 1];
  const auto pixel = [&](std::int64_t j, T difference) __attribute__((always_inline)) {
    const T d_first = first_after[j] - x[j];
    T d_middle = T(0);
    if constexpr (dims == 3) {
      d_middle = middle_after[j] - x[j];
    }
    T value = std::sqrt(d_first * d_first + d_middle * d_middle + difference * difference);
    if constexpr (with_dual) {
      value -= d_first * p_first[j] + difference * p_last[j];
      if constexpr (dims == 3) {
        value -= d_middle * p_middle[j];
      }
    }
    return static_cast<double>(value);
  };
  double sums[lanes] = {};
  std::int64_t j = 0;
  for (; j + lanes < n; j += lanes) {
    for (std::int64_t l = 0; l < lanes; ++l) {
      sums[l] += pixel(j + l, x[j + l + 1] - x[j + l]);
    }
  }
  double total = pixel(n - 1, T(0));
  for (; j < n - 1; ++j) {
    total += pixel(j, x[j + 1] - x[j]);
  }
  for (const double sum : sums) {
    total += sum;
  }
  return total;
}

}  // namespace

#define ADJOIN_DEFINE_ROWS(T)                                                                                       \
  ADJOIN_SIMD void primal_row_2(T* x, const T* b, const Rows<T>& p, const Rows<T>& before, std::int64_t n, T gamma, \
                                T lower, T upper) {                                                                 \
    primal_body<T, 2>(x, b, p, before, n, gamma, lower, upper);                                                     \
  }                                                                                                                 \
  ADJOIN_SIMD void primal_row_3(T* x, const T* b, const Rows<T>& p, const Rows<T>& before, std::int64_t n, T gamma, \
                                T lower, T upper) {                                                                 \
    primal_body<T, 3>(x, b, p, before, n, gamma, lower, upper);                                                     \
  }                                                                                                                 \
  ADJOIN_SIMD void dual_row_2(const T* x, const Rows<T>& after, const MutableRows<T>& p, const MutableRows<T>& r,   \
                              std::int64_t n, T step, T beta) {                                                     \
    dual_body<T, 2>(x, after, p, r, n, step, beta);                                                                 \
  }                                                                                                                 \
  ADJOIN_SIMD void dual_row_3(const T* x, const Rows<T>& after, const MutableRows<T>& p, const MutableRows<T>& r,   \
                              std::int64_t n, T step, T beta) {                                                     \
    dual_body<T, 3>(x, after, p, r, n, step, beta);                                                                 \
  }                                                                                                                 \
  ADJOIN_SIMD double gap_row_2(const T* x, const Rows<T>& after, const Rows<T>& p, std::int64_t n) {                \
    return p[0] == nullptr ? gap_body<T, 2, false>(x, after, p, n) : gap_body<T, 2, true>(x, after, p, n);          \
  }                                                                                                                 \
  ADJOIN_SIMD double gap_row_3(const T* x, const Rows<T>& after, const Rows<T>& p, std::int64_t n) {                \
    return p[0] == nullptr ? gap_body<T, 3, false>(x, after, p, n) : gap_body<T, 3, true>(x, after, p, n);          \
  }

ADJOIN_DEFINE_ROWS(float)
ADJOIN_DEFINE_ROWS(double)

}  // namespace adjoin::tv
