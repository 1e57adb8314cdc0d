// SPDX-License-Identifier: BSD-3-Clause
// The choice between our kernel and torch's convolution.
#include "operators/blur/correlate.hpp"

#include <ATen/ATen.h>

#include <vector>

#include "adjoin/core/gradients.hpp"
#include "kernels/arrays.hpp"
#include "kernels/correlation.hpp"
#include "operators/blur/images.hpp"

namespace adjoin::blur {
namespace {

using Axes = c10::SmallVector<std::int64_t, 3>;

/// On the CPU, for real weights.
at::Tensor correlate_directly(const at::Tensor& x, const at::Tensor& weights) {
  const at::Tensor source = kernels::plain(x);
  const at::Tensor filters = weights.contiguous();
  std::vector<std::int64_t> sizes = x.sizes().vec();
  for (std::size_t axis = 2; axis < sizes.size(); ++axis) {
    sizes[axis] -= weights.size(static_cast<std::int64_t>(axis)) - 1;
  }
  at::Tensor y = at::empty(sizes, x.options());
  const int step = x.is_complex() ? 2 : 1;
  const auto size = planes(x.sizes().slice(2));
  const auto kernel = planes(weights.sizes().slice(2));
  const std::int64_t images = x.size(0) * x.size(1);
  kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
    const auto* from = static_cast<const T*>(source.const_data_ptr());
    const auto* taps = static_cast<const T*>(filters.const_data_ptr());
    auto* to = static_cast<T*>(y.data_ptr());
    for_image_ranges(images, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        const std::int64_t filter = filter_index(weights, k, x.size(1));
        kernels::correlate(from + k * step * (source.numel() / images), size,
                           taps + filter * (kernel[0] * kernel[1] * kernel[2]), kernel, step,
                           to + k * step * (y.numel() / images));
      }
    });
  });
  return y;
}

}  // namespace

at::Tensor correlate(const at::Tensor& x, const at::Tensor& weights) {
  if (weights.is_complex()) {
    return correlate(x, at::real(weights)) + c10::complex<double>(0.0, 1.0) * correlate(x, at::imag(weights));
  }
  if (x.device().is_cpu() && !records_gradients(x) && !records_gradients(weights)) {
    return correlate_directly(x, weights);
  }
  if (x.is_complex()) {
    const at::Tensor parts = at::cat({at::real(x), at::imag(x)}, 1);
    const at::Tensor doubled = weights.size(1) == 1 ? weights : at::cat({weights, weights}, 1);
    const auto halves = correlate(parts, doubled).chunk(2, 1);
    return at::complex(halves[0], halves[1]);
  }
  const auto images = x.size(0) * x.size(1);
  std::vector<std::int64_t> weight_sizes = weights.sizes().vec();
  weight_sizes[0] = x.size(0);
  weight_sizes[1] = x.size(1);
  const at::Tensor filters = weights.expand(weight_sizes).flatten(0, 1).unsqueeze(1);
  const at::Tensor y = at::convolution(x.flatten(0, 1).unsqueeze(0), filters, {}, Axes(x.dim() - 2, 1),
                                       Axes(x.dim() - 2, 0), Axes(x.dim() - 2, 1), false, Axes(x.dim() - 2, 0), images);
  return y.squeeze(0).unflatten(0, {x.size(0), x.size(1)});
}

}  // namespace adjoin::blur
