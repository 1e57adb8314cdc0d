// SPDX-License-Identifier: BSD-3-Clause
// A blur at every factor-th pixel, and the image sizes that measurements leave open.
#include "adjoin/operators/downsampling.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

/// Every factor-th entry of each spatial axis, as a view.
at::Tensor subsampled(at::Tensor x, std::int64_t factor) {
  for (std::int64_t axis = 2; factor > 1 && axis < x.dim(); ++axis) {
    x = x.slice(axis, 0, x.size(axis), factor);
  }
  return x;
}

void check_dimensions(const char* argument, const at::Tensor& tensor) {
  check(tensor.dim() == 4 || tensor.dim() == 5, "Downsampling: ", argument,
        " must be (B, C, H, W) or (B, C, D, H, W), got ", tensor.sizes());
}

}  // namespace

Downsampling::Downsampling(const at::Tensor& filter, DownsamplingOptions options) : options_(std::move(options)) {
  check(options_.factor >= 1, "Downsampling: factor must be at least 1, got ", options_.factor);
  check(std::ranges::all_of(options_.image_size, [](std::int64_t n) { return n > 0; }),
        "Downsampling: image_size must be positive, got ", at::IntArrayRef(options_.image_size));
  if (filter.defined()) {
    blur_ = std::make_shared<Blur>(filter, BlurOptions{.padding = options_.padding});
    made_of({}, {blur_.get()});
  }
}

Recipe Downsampling::recipe() const {
  return {.maker = "Downsampling",
          .arguments = {{"filter", blur_ ? blur_->filter() : at::Tensor()},
                        {"factor", options_.factor},
                        {"padding", std::string(to_string(options_.padding))},
                        {"image_size", options_.image_size}}};
}

void Downsampling::update_impl(const Params& params) {
  if (!params.contains("filter")) {
    return;
  }
  if (blur_) {
    blur_->update(params);
  } else {
    blur_ = std::make_shared<Blur>(params.get<at::Tensor>("filter"), BlurOptions{.padding = options_.padding});
    made_of({}, {blur_.get()});
  }
}

std::shared_ptr<const Blur> Downsampling::blur(const Params& params) const {
  if (!blur_ && params.contains("filter")) {
    return std::make_shared<const Blur>(params.get<at::Tensor>("filter"), BlurOptions{.padding = options_.padding});
  }
  return blur_;
}

std::vector<std::int64_t> Downsampling::shrinkage(std::size_t axes, const Params& params) const {
  std::vector<std::int64_t> shrinkage(axes, 0);
  if (options_.padding == Padding::Valid && (blur_ || params.contains("filter"))) {
    const at::Tensor filter = params.contains("filter") ? params.get<at::Tensor>("filter") : blur_->filter();
    for (std::size_t i = 0; i < axes && static_cast<std::int64_t>(i) + 2 < filter.dim(); ++i) {
      shrinkage[i] = filter.size(static_cast<std::int64_t>(i) + 2) - 1;
    }
  }
  return shrinkage;
}

at::Tensor Downsampling::A_impl(const at::Tensor& x, const Params& params) const {
  check_dimensions("x", x);
  check(options_.image_size.empty() || x.sizes().slice(2) == at::IntArrayRef(options_.image_size),
        "Downsampling: x must have the spatial size ", at::IntArrayRef(options_.image_size), ", got ", x.sizes());
  const auto blur = this->blur(params);
  const at::Tensor y = subsampled(blur ? blur->A(x, params) : x, options_.factor);
  return y.is_alias_of(x) ? y.clone(at::MemoryFormat::Contiguous) : y.contiguous();
}

std::vector<std::int64_t> Downsampling::image_size(const at::Tensor& y, const Params& params) const {
  check_dimensions("y", y);
  if (!options_.image_size.empty() || options_.factor > 1) {
    return options_.image_size;
  }
  std::vector<std::int64_t> size = y.sizes().slice(2).vec();
  const auto lost = shrinkage(size.size(), params);
  for (std::size_t i = 0; i < size.size(); ++i) {
    size[i] += lost[i];
  }
  return size;
}

at::Tensor Downsampling::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const auto size = image_size(y, params);
  return size.empty() ? at::Tensor() : adjoint(y, size, params);
}

at::Tensor Downsampling::A_adjoint_for_impl(const at::Tensor& y, const at::Tensor& image, const Params& params) const {
  check_dimensions("y", y);
  check_dimensions("the image", image);
  return adjoint(y, image.sizes().slice(2), params);
}

at::Tensor Downsampling::adjoint(const at::Tensor& y, at::IntArrayRef image_size, const Params& params) const {
  const auto axes = static_cast<std::size_t>(y.dim()) - 2;
  check(image_size.size() == axes, "Downsampling: y must have ", image_size.size(),
        " spatial axes as the image has, got ", y.sizes());
  const auto lost = shrinkage(axes, params);
  std::vector<std::int64_t> sizes = y.sizes().vec();
  for (std::size_t i = 0; i < axes; ++i) {
    std::int64_t& size = sizes[i + 2];
    const std::int64_t filtered = image_size[i] - lost[i];
    check((filtered + options_.factor - 1) / options_.factor == size, "Downsampling: y must match images of ",
          image_size, " and the factor ", options_.factor, ", got ", y.sizes());
    size = filtered;
  }
  at::Tensor spread = y;
  if (options_.factor > 1) {
    spread = at::zeros(sizes, y.options());
    subsampled(spread, options_.factor).copy_(y);
  }
  const auto blur = this->blur(params);
  return blur ? blur->A_adjoint(spread, params) : spread.clone();
}

at::Tensor Downsampling::image_like(const at::Tensor& y) const {
  const auto size = image_size(y, {});
  if (size.empty()) {
    return {};
  }
  std::vector<std::int64_t> sizes = y.sizes().slice(0, 2).vec();
  sizes.insert(sizes.end(), size.begin(), size.end());
  return at::zeros(sizes, y.options());
}

}  // namespace adjoin
