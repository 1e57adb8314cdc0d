// SPDX-License-Identifier: BSD-3-Clause
// Loops over the contiguous memory of vectors, and how tensors are handed to them in chunks.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "core/parallel_for.hpp"

namespace adjoin {

// Σ a b, Σ a² of n numbers, and the imaginary part of Σ conj(a) b for n complex numbers stored as pairs, accumulated in
// double precision; y ← alpha x + beta y of n real or complex numbers.
double real_dot(const float* a, const float* b, std::int64_t n);
double real_squares(const float* a, std::int64_t n);
double imaginary_dot(const float* a, const float* b, std::int64_t n);
void real_axpby(float alpha, const float* x, float beta, float* y, std::int64_t n);
void complex_axpby(float ar, float ai, const float* x, float br, float bi, float* y, std::int64_t n);
double real_dot(const double* a, const double* b, std::int64_t n);
double real_squares(const double* a, std::int64_t n);
double imaginary_dot(const double* a, const double* b, std::int64_t n);
void real_axpby(double alpha, const double* x, double beta, double* y, std::int64_t n);
void complex_axpby(double ar, double ai, const double* x, double br, double bi, double* y, std::int64_t n);

// Fixed chunks, so that a sum does not depend on the number of threads.
inline constexpr std::int64_t chunk = 1 << 16;

template <class F>
double chunked_sum(std::int64_t n, F part) {
  if (n <= chunk) {
    return part(std::int64_t{0}, n);
  }
  const std::int64_t count = (n + chunk - 1) / chunk;
  std::vector<double> parts(static_cast<std::size_t>(count));
  parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      parts[static_cast<std::size_t>(c)] = part(c * chunk, std::min(n, (c + 1) * chunk));
    }
  });
  double total = 0.0;
  for (double p : parts) {
    total += p;
  }
  return total;
}

template <class F>
void chunked_for(std::int64_t n, F body) {
  if (n <= chunk) {
    body(std::int64_t{0}, n);
  } else {
    parallel_for(0, n, chunk, body);
  }
}

inline bool has_kernel(const at::Tensor& t) {
  const auto type = t.scalar_type();
  return t.is_cpu() && t.is_contiguous() && !t.is_conj() && !t.is_neg() &&
         (type == at::kFloat || type == at::kDouble || type == at::kComplexFloat || type == at::kComplexDouble);
}

// Calls f with the tensor's real type; complex numbers are pairs of it.
template <class F>
auto with_real_type(const at::Tensor& t, F f) {
  return t.scalar_type() == at::kFloat || t.scalar_type() == at::kComplexFloat ? f(float{}) : f(double{});
}

template <class T>
const T* data(const at::Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}

template <class T>
T* mutable_data(at::Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

inline void check_items(const at::Tensor& a, std::int64_t items) {
  check(items >= 1, "items: must be at least 1, got ", items);
  check(items == 1 || (a.dim() > 0 && a.size(0) == items), "vector: dimension 0 must have one entry for each of ",
        items, " items, got shape ", a.sizes());
}

}  // namespace adjoin
