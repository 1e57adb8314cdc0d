// SPDX-License-Identifier: BSD-3-Clause
// Complex images and measurements as real ones of two channels, their real and imaginary part.
#pragma once

#include <ATen/ATen.h>

namespace adjoin::mri {

inline bool has_two_channels(const at::Tensor& x) { return !x.is_complex() && x.size(1) == 2; }

/// (B, 2, …) real to (B, …) complex; complex as it is.
inline at::Tensor joined_channels(const at::Tensor& t) {
  return t.is_complex() ? t : at::complex(t.select(1, 0).contiguous(), t.select(1, 1).contiguous());
}
/// (B, 2, …) real, or (B, 1, …) real or complex, to (B, 1, …) complex.
inline at::Tensor image_as_complex(const at::Tensor& x) {
  return has_two_channels(x) ? joined_channels(x).unsqueeze(1) : x.to(at::toComplexType(x.scalar_type()));
}
/// (B, …) complex to (B, 2, …) real.
inline at::Tensor as_channels(const at::Tensor& z) { return at::stack({at::real(z), at::imag(z)}, 1); }

}  // namespace adjoin::mri
