// SPDX-License-Identifier: BSD-3-Clause
// Products, sums and weights of complex arrays, planar or interleaved, in loops that vectorise.
#include "kernels/complex_kernels.hpp"

#include "adjoin/core/simd.hpp"

namespace adjoin::kernels {
namespace {

// What is inlined into each clone of the kernels below. An entry of a result is a function of its number; what selects
// it is a constant of its type, so that loops vectorise.

template <class T>
struct Entry {
  T re;
  T im;
};

template <class T>
struct Planes {
  const T* re;
  const T* im;
  ADJOIN_INLINE Entry<T> operator()(std::int64_t i) const { return {re[i], im[i]}; }
};

template <class T>
struct Interleaved {
  const T* both;
  ADJOIN_INLINE Entry<T> operator()(std::int64_t i) const { return {both[2 * i], both[2 * i + 1]}; }
};

template <class T>
struct Values {
  const T* values;
  ADJOIN_INLINE T operator()(std::int64_t i) const { return values[i]; }
  ADJOIN_INLINE Values from(std::int64_t i) const { return {values + i}; }
};

template <class T>
struct Signs {
  const std::int8_t* signs;
  T unit;
  ADJOIN_INLINE T operator()(std::int64_t i) const { return unit * static_cast<T>(signs[i]); }
  ADJOIN_INLINE Signs from(std::int64_t i) const { return {signs + i, unit}; }
};

template <class T>
ADJOIN_INLINE Entry<T> product(T a, Entry<T> b) {
  return {a * b.re, a * b.im};
}
template <class T>
ADJOIN_INLINE Entry<T> product(Entry<T> a, Entry<T> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <class T>
ADJOIN_INLINE T conj(T a) {
  return a;
}
template <class T>
ADJOIN_INLINE Entry<T> conj(Entry<T> a) {
  return {a.re, -a.im};
}

/// Entries computed at a time: in one loop with their computation, GCC stores to planes, or adds, number by number.
constexpr std::int64_t block = 64;

template <bool conjugate, bool add, class T, class A, class B>
ADJOIN_INLINE void write_block(const A& a, const B& b, std::int64_t first, Complex<T> out, std::int64_t count) {
  T re[block];
  T im[block];
  for (std::int64_t i = 0; i < count; ++i) {
    const auto factor = a(first + i);
    const Entry<T> entry = product(conjugate ? conj(factor) : factor, b(first + i));
    re[i] = entry.re;
    im[i] = entry.im;
  }
  if (out.step == 1) {
    for (std::int64_t i = 0; i < count; ++i) {
      out.re[first + i] = add ? out.re[first + i] + re[i] : re[i];
    }
    for (std::int64_t i = 0; i < count; ++i) {
      out.im[first + i] = add ? out.im[first + i] + im[i] : im[i];
    }
  } else {
    T* const both = out.re + 2 * first;
    for (std::int64_t i = 0; i < count; ++i) {
      both[2 * i] = add ? both[2 * i] + re[i] : re[i];
      both[2 * i + 1] = add ? both[2 * i + 1] + im[i] : im[i];
    }
  }
}

/// out = a · b, or conj(a) · b; or added to out.
template <bool conjugate, bool add, class T, class A, class B>
ADJOIN_INLINE void write(const A& a, const B& b, Complex<T> out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + block <= n; i += block) {
    write_block<conjugate, add>(a, b, i, out, block);
  }
  write_block<conjugate, add>(a, b, i, out, n - i);
}

template <bool conjugate, class T, class A>
ADJOIN_INLINE void weigh(const Weights<T>& weights, const A& a, Complex<T> out, std::int64_t n) {
  if (weights.signs != nullptr) {
    write<conjugate, false>(Signs<T>{weights.signs, weights.unit}, a, out, n);
  } else if (weights.complex) {
    write<conjugate, false>(Interleaved<T>{weights.values}, a, out, n);
  } else {
    write<conjugate, false>(Values<T>{weights.values}, a, out, n);
  }
}

template <class T>
ADJOIN_INLINE Complex<T> interleaved(T* both) {
  return {both, both + 1, 2};
}

template <bool conjugate, bool add, class T>
ADJOIN_INLINE void write_columns(const T* a, const T* b, T* out, Columns columns) {
  for (std::int64_t row = 0; row < columns.rows; ++row) {
    const std::int64_t start = 2 * row * columns.stride;
    write_block<conjugate, add>(Interleaved<T>{a + start}, Interleaved<T>{b + start}, 0, interleaved(out + start),
                                columns_in_block<T>);
  }
}

/// As many rows of columns as a block has numbers for. The factors are widened all at once: those of a row alone are
/// fewer than a vector holds.
template <class T, class Factor>
ADJOIN_INLINE void scale_block(T* a, const Factor& factor, std::int64_t stride, std::int64_t rows) {
  T factors[2 * block];
  for (std::int64_t i = 0; i < rows * columns_in_block<T>; ++i) {
    factors[2 * i] = factor(i);
    factors[2 * i + 1] = factors[2 * i];
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < 2 * columns_in_block<T>; ++i) {
      a[2 * row * stride + i] *= factors[2 * row * columns_in_block<T> + i];
    }
  }
}

template <class T, class Factor>
ADJOIN_INLINE void scale_columns(T* a, const Factor& factor, Columns columns) {
  constexpr std::int64_t step = block / columns_in_block<T>;
  std::int64_t row = 0;
  for (; row + step <= columns.rows; row += step) {
    scale_block(a + 2 * row * columns.stride, factor.from(row * columns_in_block<T>), columns.stride, step);
  }
  scale_block(a + 2 * row * columns.stride, factor.from(row * columns_in_block<T>), columns.stride, columns.rows - row);
}

// What is compiled for each instruction set.

template <class T>
ADJOIN_INLINE void multiply_by(Complex<const T> a, const T* b, T* out, std::int64_t n) {
  a.step == 1 ? write<false, false>(Planes<T>{a.re, a.im}, Interleaved<T>{b}, interleaved(out), n)
              : write<false, false>(Interleaved<T>{a.re}, Interleaved<T>{b}, interleaved(out), n);
}
template <class T>
ADJOIN_INLINE void multiply_conjugate_by(const T* a, const T* b, Complex<T> out, bool assign, std::int64_t n) {
  assign ? write<true, false>(Interleaved<T>{a}, Interleaved<T>{b}, out, n)
         : write<true, true>(Interleaved<T>{a}, Interleaved<T>{b}, out, n);
}
template <class T>
ADJOIN_INLINE void scale_by(T* a, Weights<T> weights, std::int64_t n) {
  weigh<false>(weights, Interleaved<T>{a}, interleaved(a), n);
}
template <class T>
ADJOIN_INLINE void sample_by(Weights<T> weights, const T* a, Complex<T> out, std::int64_t n) {
  weigh<false>(weights, Interleaved<T>{a}, out, n);
}
template <class T>
ADJOIN_INLINE void unsample_by(Weights<T> weights, Complex<const T> a, T* out, std::int64_t n) {
  a.step == 1 ? weigh<true>(weights, Planes<T>{a.re, a.im}, interleaved(out), n)
              : weigh<true>(weights, Interleaved<T>{a.re}, interleaved(out), n);
}
template <class T>
ADJOIN_INLINE void multiply_columns(const T* a, const T* b, T* out, Columns columns) {
  write_columns<false, false>(a, b, out, columns);
}
template <class T>
ADJOIN_INLINE void multiply_conjugate_columns(const T* a, const T* b, T* out, bool assign, Columns columns) {
  assign ? write_columns<true, false>(a, b, out, columns) : write_columns<true, true>(a, b, out, columns);
}
template <class T>
ADJOIN_INLINE void scale_columns_by(T* a, Weights<T> weights, Columns columns) {
  weights.signs != nullptr ? scale_columns(a, Signs<T>{weights.signs, weights.unit}, columns)
                           : scale_columns(a, Values<T>{weights.values}, columns);
}

/// One number for all entries.
template <class T>
struct Same {
  Entry<T> value;
  ADJOIN_INLINE Entry<T> operator()(std::int64_t /*i*/) const { return value; }
};

template <bool conjugate, bool add, class T>
ADJOIN_INLINE void turn_rows(const T* a, std::int64_t stride, const T* factors, T* out, std::int64_t rows) {
  constexpr std::int64_t count = columns_in_block<T>;
  for (std::int64_t row = 0; row < rows; ++row) {
    const Same<T> factor{{factors[2 * row], factors[2 * row + 1]}};
    write_block<conjugate, add>(factor, Interleaved<T>{a + 2 * row * stride}, 0, interleaved(out + 2 * row * count),
                                count);
  }
}
template <class T>
ADJOIN_INLINE void turn_columns(const T* a, Columns columns, const T* factors, T* out) {
  turn_rows<false, false>(a, columns.stride, factors, out, columns.rows);
}
template <class T>
ADJOIN_INLINE void turn_columns_back(const T* a, const T* factors, T* out, bool assign, std::int64_t rows) {
  assign ? turn_rows<true, false>(a, columns_in_block<T>, factors, out, rows)
         : turn_rows<true, true>(a, columns_in_block<T>, factors, out, rows);
}
template <class T>
ADJOIN_INLINE void put_in_columns(const T* a, T* out, Columns columns) {
  constexpr std::int64_t count = 2 * columns_in_block<T>;
  for (std::int64_t row = 0; row < columns.rows; ++row) {
    for (std::int64_t i = 0; i < count; ++i) {
      out[2 * row * columns.stride + i] = a[row * count + i];
    }
  }
}

}  // namespace

#define ADJOIN_DEFINE_KERNELS(T)                                                                                      \
  void multiply(Complex<const T> a, const T* b, T* out, std::int64_t n) { vectorised<multiply_by<T>>(a, b, out, n); } \
  void multiply_conjugate(const T* a, const T* b, Complex<T> out, bool assign, std::int64_t n) {                      \
    vectorised<multiply_conjugate_by<T>>(a, b, out, assign, n);                                                       \
  }                                                                                                                   \
  void scale(T* a, Weights<T> weights, std::int64_t n) { vectorised<scale_by<T>>(a, weights, n); }                    \
  void sample(Weights<T> weights, const T* a, Complex<T> out, std::int64_t n) {                                       \
    vectorised<sample_by<T>>(weights, a, out, n);                                                                     \
  }                                                                                                                   \
  void unsample(Weights<T> weights, Complex<const T> a, T* out, std::int64_t n) {                                     \
    vectorised<unsample_by<T>>(weights, a, out, n);                                                                   \
  }                                                                                                                   \
  void multiply(const T* a, const T* b, T* out, Columns columns) {                                                    \
    vectorised<multiply_columns<T>>(a, b, out, columns);                                                              \
  }                                                                                                                   \
  void multiply_conjugate(const T* a, const T* b, T* out, bool assign, Columns columns) {                             \
    vectorised<multiply_conjugate_columns<T>>(a, b, out, assign, columns);                                            \
  }                                                                                                                   \
  void scale(T* a, Weights<T> weights, Columns columns) { vectorised<scale_columns_by<T>>(a, weights, columns); }     \
  void turn(const T* a, Columns columns, const T* factors, T* out) {                                                  \
    vectorised<turn_columns<T>>(a, columns, factors, out);                                                            \
  }                                                                                                                   \
  void turn_back(const T* a, const T* factors, T* out, bool assign, std::int64_t rows) {                              \
    vectorised<turn_columns_back<T>>(a, factors, out, assign, rows);                                                  \
  }                                                                                                                   \
  void put_columns(const T* a, T* out, Columns columns) { vectorised<put_in_columns<T>>(a, out, columns); }

ADJOIN_DEFINE_KERNELS(float)
ADJOIN_DEFINE_KERNELS(double)

}  // namespace adjoin::kernels
