// SPDX-License-Identifier: BSD-3-Clause
// Products with weights that repeat over the leading axes, stored or added, of numbers or of their conjugates.
#include "kernels/weigh.hpp"

#include <c10/util/complex.h>

#include <algorithm>

#include "adjoin/core/simd.hpp"

namespace adjoin::kernels {
namespace {

template <class T>
ADJOIN_INLINE T conjugate_of(T value) {
  if constexpr (c10::is_complex<T>::value) {
    return {value.real(), -value.imag()};
  } else {
    return value;
  }
}

template <Use use, class T>
ADJOIN_INLINE void put_product(T& to, T weight, T x) {
  if constexpr (use == Use::store) {
    to = weight * x;
  } else if constexpr (use == Use::store_conjugate) {
    to = conjugate_of(weight) * x;
  } else {
    to += conjugate_of(weight) * x;
  }
}

template <Use use, class T>
ADJOIN_INLINE void weigh_range(T* to, const T* weights, std::int64_t period, const T* x, std::int64_t begin,
                               std::int64_t end) {
  if (period == 1) {
    const T weight = *weights;
    for (std::int64_t k = begin; k < end; ++k) {
      put_product<use>(to[k], weight, x[k]);
    }
    return;
  }
  while (begin < end) {
    const std::int64_t phase = begin % period;
    const std::int64_t length = std::min(end - begin, period - phase);
    for (std::int64_t k = 0; k < length; ++k) {
      put_product<use>(to[begin + k], weights[phase + k], x[begin + k]);
    }
    begin += length;
  }
}

template <class T>
ADJOIN_INLINE void weigh_typed(Use use, void* to, const RepeatedWeights& weights, const void* x, std::int64_t begin,
                               std::int64_t end) {
  auto* const target = static_cast<T*>(to);
  const auto* const w = static_cast<const T*>(weights.data);
  const auto* const source = static_cast<const T*>(x);
  switch (use) {
    case Use::store:
      return weigh_range<Use::store>(target, w, weights.period, source, begin, end);
    case Use::store_conjugate:
      return weigh_range<Use::store_conjugate>(target, w, weights.period, source, begin, end);
    case Use::add_conjugate:
      return weigh_range<Use::add_conjugate>(target, w, weights.period, source, begin, end);
  }
}

ADJOIN_INLINE void weigh_any(at::ScalarType dtype, Use use, void* to, RepeatedWeights weights, const void* x,
                             std::int64_t begin, std::int64_t end) {
  switch (dtype) {
    case at::kFloat:
      return weigh_typed<float>(use, to, weights, x, begin, end);
    case at::kDouble:
      return weigh_typed<double>(use, to, weights, x, begin, end);
    case at::kComplexFloat:
      return weigh_typed<c10::complex<float>>(use, to, weights, x, begin, end);
    default:
      return weigh_typed<c10::complex<double>>(use, to, weights, x, begin, end);
  }
}

}  // namespace

void weigh(at::ScalarType dtype, Use use, void* to, const RepeatedWeights& weights, const void* x, std::int64_t begin,
           std::int64_t end) {
  vectorised<weigh_any>(dtype, use, to, weights, x, begin, end);
}

}  // namespace adjoin::kernels
