// SPDX-License-Identifier: BSD-3-Clause
// Guesses at common faults, each tried on one sample: a missing conjugate, a missing flip, a factor.
#include "physics/checks/adjoint_diagnosis.hpp"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>
#include <c10/util/complex.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/adjointness.hpp"

namespace adjoin::checks {

namespace {

c10::complex<double> inner(const at::Tensor& a, const at::Tensor& b, bool real) {
  const c10::complex<double> product = adjoin::dot(a, b)[0];
  return real ? c10::complex<double>(product.real()) : product;
}

double scale_of(const SupposedAdjoint& pair) { return adjoin::norm(pair.Au) * adjoin::norm(pair.v); }

bool agree(const SupposedAdjoint& pair, c10::complex<double> a, c10::complex<double> b) {
  return std::abs(a - b) <= 10.0 * pair.tol * scale_of(pair);
}

// Whether ⟨A u, v⟩ is the product without conjugates of u and A_adjoint v.
bool conjugate_is_missing(const SupposedAdjoint& pair, const at::Tensor& back) {
  const bool real = !pair.u.is_complex();
  return (pair.Au.is_complex() || back.is_complex()) &&
         agree(pair, inner(pair.Au.conj(), pair.v, real), inner(pair.u.conj(), back, real));
}

// The image or measurement turned round along all axes behind batch and channels.
at::Tensor flipped(const at::Tensor& tensor) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(tensor.dim() - 2));
  std::iota(axes.begin(), axes.end(), 2);
  return tensor.flip(axes);
}

bool flip_is_missing(const SupposedAdjoint& pair) {
  if (pair.u.dim() < 3 || pair.v.dim() < 3) {
    return false;
  }
  return agree(pair, inner(pair.Au, pair.v, !pair.u.is_complex()),
               inner(flipped(pair.u), pair.A_adjoint(flipped(pair.v)), !pair.u.is_complex()));
}

}  // namespace

double mismatch_of(const SupposedAdjoint& pair) {
  return adjoint_mismatch(pair.u, pair.Au, pair.v, pair.A_adjoint(pair.v));
}

std::string diagnose(const SupposedAdjoint& pair) {
  const bool real = !pair.u.is_complex();
  const at::Tensor back = pair.A_adjoint(pair.v);
  const auto forward = inner(pair.Au, pair.v, real);
  const auto backward = inner(pair.u, back, real);
  if (conjugate_is_missing(pair, back)) {
    return "Without conjugates the two agree: A_adjoint is the transpose, and a conjugate is missing (of the weights, "
           "the "
           "matrix or the spectrum).";
  }
  const at::Tensor other = pair.A(pair.A_adjoint(pair.v)) + pair.v;
  const auto forward_of_other = inner(pair.Au, other, real);
  const auto backward_of_other = inner(pair.u, pair.A_adjoint(other), real);
  const auto factor = backward / forward;
  if (std::abs(backward) > pair.tol * scale_of(pair) &&
      std::abs(factor * forward_of_other - backward_of_other) <=
          10.0 * pair.tol * adjoin::norm(pair.Au) * adjoin::norm(other)) {
    return std::abs(factor.imag()) <= 10.0 * pair.tol * std::abs(factor)
               ? c10::str("A_adjoint is the adjoint times ", factor.real(),
                          ": the scale is wrong (of a transform that is not orthonormal, a mean, a step).")
               : c10::str("A_adjoint is the adjoint times ", factor.real(), factor.imag() < 0 ? " - " : " + ",
                          std::abs(factor.imag()), "i: the scale is wrong, or a conjugate is missing.");
  }
  if (flip_is_missing(pair)) {
    return "With all spatial axes turned round the two agree: a flip is missing, of the kernel that A_adjoint "
           "convolves "
           "with (or the conjugate of its spectrum).";
  }
  return "It is neither a missing conjugate nor a factor nor a missing flip: compare A_adjoint with the transposed "
         "matrix "
         "of A on a small image.";
}

}  // namespace adjoin::checks
