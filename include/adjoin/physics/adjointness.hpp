// SPDX-License-Identifier: BSD-3-Clause
// The measure behind every adjointness_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>

#include "adjoin/core/vector_space.hpp"

namespace adjoin {

/// |⟨A u, v⟩ − ⟨u, Aᵀ v⟩| / (‖A u‖ ‖v‖), or the numerator alone when A u or v is zero. For real u and complex A u, the
/// real parts only: Aᵀ is then the adjoint under the real inner product.
template <class Y>
double adjoint_mismatch(const at::Tensor& u, const Y& Au, const Y& v, const at::Tensor& A_adjoint_v) {
  const auto products = adjoin::dots({VectorPair<Y>{&Au, &v}, {&Au, &Au}, {&v, &v}});
  const c10::complex<double> difference = products[0][0] - adjoin::dot(u, A_adjoint_v)[0];
  const double mismatch = u.is_complex() ? std::abs(difference) : std::abs(difference.real());
  const double scale = std::sqrt(products[1][0].real() * products[2][0].real());
  return scale > 0.0 ? mismatch / scale : mismatch;
}

}  // namespace adjoin
