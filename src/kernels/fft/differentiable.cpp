// SPDX-License-Identifier: BSD-3-Clause
// ATen's own transforms, called without scaling along any axes.
#include "kernels/fft/differentiable.hpp"

#include <ATen/ATen.h>

namespace adjoin::fft {
namespace {

/// ATen's code for transforms that are not scaled.
constexpr std::int64_t unnormalised = 0;

c10::SmallVector<std::int64_t, 3> trailing_axes(const at::Tensor& x, std::int64_t rank) {
  c10::SmallVector<std::int64_t, 3> axes;
  for (std::int64_t axis = x.dim() - rank; axis < x.dim(); ++axis) {
    axes.push_back(axis);
  }
  return axes;
}

}  // namespace

at::Tensor forward(const at::Tensor& x, std::int64_t rank) { return forward_along(x, trailing_axes(x, rank)); }

at::Tensor backward(const at::Tensor& x, std::int64_t rank) { return backward_along(x, trailing_axes(x, rank)); }

at::Tensor forward_along(const at::Tensor& x, at::IntArrayRef axes) {
  return axes.empty() ? x : at::_fft_c2c(x, axes, unnormalised, true);
}

at::Tensor backward_along(const at::Tensor& x, at::IntArrayRef axes) {
  return axes.empty() ? x : at::_fft_c2c(x, axes, unnormalised, false);
}

at::Tensor forward_real(const at::Tensor& x, std::int64_t rank) {
  return at::_fft_r2c(x, trailing_axes(x, rank), unnormalised, true);
}

at::Tensor backward_real(const at::Tensor& spectrum, std::int64_t rank, std::int64_t last_size) {
  return at::_fft_c2r(spectrum, trailing_axes(spectrum, rank), unnormalised, last_size);
}

}  // namespace adjoin::fft
