// SPDX-License-Identifier: BSD-3-Clause
// Transforms of all coils without shifts of the data: the centring is in phases of maps and mask.
#include "operators/mri/plan.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "kernels/fft/differentiable.hpp"
#include "operators/mri/channels.hpp"
#include "operators/squares.hpp"

namespace adjoin {

namespace mri {

namespace {

std::int64_t axes_of(const MultiCoilMRIOptions& options) { return options.three_d ? 3 : 2; }
std::int64_t image_axes_of(const MultiCoilMRIOptions& options) { return axes_of(options) + (options.dynamic ? 1 : 0); }

at::Tensor with_leading_axes(at::Tensor tensor, std::int64_t axes) {
  while (tensor.dim() < axes) {
    tensor = tensor.unsqueeze(0);
  }
  return tensor;
}

/// Phase factors over the axes of `sizes`: e^{2πi sign Σ_a c_a (j_a − c_a · shift) / n_a}, c = n / 2; ±1 for even n.
at::Tensor phase(at::IntArrayRef sizes, std::int64_t shift, at::ScalarType dtype, at::Device device) {
  at::Tensor product = at::ones({}, at::kComplexDouble);
  for (const std::int64_t n : sizes) {
    const std::int64_t centre = n / 2;
    // Reduced modulo n while still integers: exact for any size.
    const at::Tensor turns = at::remainder(centre * (at::arange(n, at::kLong) - centre * shift), n).to(at::kDouble);
    const at::Tensor angles = turns * (2.0 * std::numbers::pi / static_cast<double>(n));
    at::Tensor factors = at::complex(angles.cos(), angles.sin());
    if (n % 2 == 0) {
      factors = at::complex(at::round(at::real(factors)), at::zeros_like(angles));
    }
    product = product.unsqueeze(-1) * factors;
  }
  return product.to(device, dtype);
}

}  // namespace

at::Tensor checked_maps(const at::Tensor& maps, const MultiCoilMRIOptions& options) {
  check(maps.defined() && maps.is_complex(), "MultiCoilMRI: coil_maps must be a complex tensor, got ",
        maps.defined() ? c10::toString(maps.scalar_type()) : "an undefined one");
  const auto axes = axes_of(options);
  check(maps.dim() >= axes && maps.dim() <= axes + 2 && maps.numel() > 0, "MultiCoilMRI: coil_maps must be ",
        options.three_d ? "(b, N, D, H, W)" : "(b, N, H, W)", ", leading axes left out or not, got ", maps.sizes());
  return with_leading_axes(maps, axes + 2);
}

at::Tensor checked_mask(const at::Tensor& mask, const at::Tensor& maps, const MultiCoilMRIOptions& options) {
  const auto image_axes = image_axes_of(options);
  if (!mask.defined()) {
    return with_leading_axes(at::ones({}, maps.options().dtype(at::toRealValueType(maps.scalar_type()))),
                             image_axes + 2);
  }
  check(!mask.is_complex(), "MultiCoilMRI: mask must be real, got ", mask.scalar_type());
  check(mask.dim() <= image_axes + 2 && mask.numel() > 0, "MultiCoilMRI: mask must have at most ", image_axes + 2,
        " dimensions, got ", mask.sizes());
  at::Tensor whole = with_leading_axes(mask, image_axes + 2);
  check(whole.size(1) == 1 || (whole.size(1) == 2 && at::equal(whole.select(1, 0), whole.select(1, 1))),
        "MultiCoilMRI: mask must have one channel or two equal ones, got ", mask.sizes());
  whole = whole.narrow(1, 0, 1);
  for (std::int64_t axis = 1; axis <= axes_of(options); ++axis) {
    check(whole.size(-axis) == 1 || whole.size(-axis) == maps.size(-axis),
          "MultiCoilMRI: mask must match the coil maps ", maps.sizes(), ", got ", mask.sizes());
  }
  check(whole.size(0) == 1 || maps.size(0) == 1 || whole.size(0) == maps.size(0),
        "MultiCoilMRI: mask and coil_maps must have equally many items, got ", mask.sizes(), " and ", maps.sizes());
  return whole;
}

SampleFactors::SampleFactors(at::Tensor values, at::Tensor ordered)
    : values_(std::move(values)), ordered_(std::move(ordered)) {
  if (ordered_.is_complex() || !ordered_.is_cpu() || records_gradients(ordered_)) {
    return;
  }
  const at::Tensor unit = ordered_.abs().max();
  at::Tensor signs = ordered_.sign();
  if (at::equal(signs * unit, ordered_)) {
    ordered_ = signs.to(at::kChar);
    unit_ = unit.item<double>();
  }
}

SampleFactors SampleFactors::times(double factor) const {
  SampleFactors result = *this;
  if (ordered_.scalar_type() == at::kChar) {
    result.unit_ *= factor;
  } else {
    result.ordered_ = ordered_ * factor;
  }
  return result;
}

}  // namespace mri

MultiCoilMRI::Plan::Plan(const at::Tensor& mask, const at::Tensor& maps, const MultiCoilMRIOptions& options,
                         const at::Tensor& like)
    : options_(options),
      real_(at::toRealValueType(like.scalar_type())),
      device_(like.device()),
      spatial_(maps.sizes().begin() + 2, maps.sizes().end()),
      pixels_(c10::multiply_integers(spatial_)) {
  const auto complex = at::toComplexType(real_);
  maps_ = (maps.to(device_, complex) * mri::phase(spatial_, 0, complex, device_)).contiguous();
  std::vector<std::int64_t> mask_sizes = mask.sizes().vec();
  std::ranges::copy(spatial_, mask_sizes.end() - mri::axes_of(options));
  mask_ = mask.to(device_, real_).expand(mask_sizes).contiguous();
  if (device_.is_cpu()) {
    transform_ = fft::ImageTransform::make(spatial_, complex);
  }
  const bool even = std::ranges::all_of(spatial_, [](std::int64_t n) { return n % 2 == 0; });
  const at::Tensor factors = mri::phase(spatial_, 1, complex, device_) / std::sqrt(static_cast<double>(pixels_));
  const at::Tensor weights = (mask_ * (even ? at::real(factors) : factors)).contiguous();
  weights_ = mri::SampleFactors(weights, weights);
  normal_axes_ = axes_to_transform(mask);
  const at::Tensor power = mask_.square() / static_cast<double>(normal_pixels());
  power_keeps_digits_ = keep_digits(power);
  power_ = mri::SampleFactors(power, transform_ && normal_axes().columns ? transform_->in_blocks(power) : power);
  if (options.dynamic) {
    maps_ = maps_.unsqueeze(2);
  }
}

mri::NormalAxes MultiCoilMRI::Plan::normal_axes() const {
  return {.rows = !normal_axes_.empty() && normal_axes_.back() == axes() - 1,
          .columns = !normal_axes_.empty() && normal_axes_.front() == 0};
}

std::vector<std::int64_t> MultiCoilMRI::Plan::axes_to_transform(const at::Tensor& mask) const {
  const auto varies_along = [&](std::int64_t axis) {
    const at::Tensor first = mask.narrow(mask.dim() - axes() + axis, 0, 1);
    // Equal values of a mask that is differentiated have derivatives of their own.
    return records_gradients(mask) || !at::equal(mask, first.expand_as(mask));
  };
  std::vector<std::int64_t> leading(static_cast<std::size_t>(axes() - 1));
  std::iota(leading.begin(), leading.end(), 0);
  const bool any_leading = std::ranges::any_of(leading, varies_along);
  std::vector<std::int64_t> result = any_leading ? leading : std::vector<std::int64_t>();
  if (varies_along(axes() - 1)) {
    result.push_back(axes() - 1);
  }
  return result;
}

std::int64_t MultiCoilMRI::Plan::normal_pixels() const {
  std::int64_t product = 1;
  for (const std::int64_t axis : normal_axes_) {
    product *= spatial_[static_cast<std::size_t>(axis)];
  }
  return product;
}

void MultiCoilMRI::Plan::check_tensor(const char* argument, const at::Tensor& tensor, std::int64_t channels,
                                      std::optional<std::int64_t> coil_count) const {
  const auto image_axes = mri::image_axes_of(options_);
  bool fits = tensor.dim() == image_axes + (coil_count ? 3 : 2) && tensor.size(1) == channels &&
              (!coil_count || tensor.size(2) == *coil_count) &&
              tensor.sizes().slice(static_cast<std::size_t>(tensor.dim() - axes())) == at::IntArrayRef(spatial_);
  if (fits) {
    for (const at::Tensor* own : {&maps_, &mask_}) {
      fits = fits && (own->size(0) == 1 || own->size(0) == tensor.size(0));
    }
    fits = fits && (!options_.dynamic || mask_.size(2) == 1 || mask_.size(2) == tensor.size(-axes() - 1));
  }
  check(fits, "MultiCoilMRI: ", argument, " must be (B, ", channels, coil_count ? c10::str(", ", *coil_count) : "",
        ", image) with coil maps ", maps_.sizes(), " and mask ", mask_.sizes(), ", got ", tensor.sizes());
}

std::vector<std::int64_t> MultiCoilMRI::Plan::image_sizes(const at::Tensor& y) const {
  std::vector<std::int64_t> sizes = {y.size(0), y.is_complex() ? 1 : 2};
  sizes.insert(sizes.end(), y.sizes().end() - mri::image_axes_of(options_), y.sizes().end());
  return sizes;
}

std::vector<std::int64_t> MultiCoilMRI::Plan::measurement_sizes(const at::Tensor& x) const {
  std::vector<std::int64_t> sizes = {x.size(0)};
  if (!x.is_complex()) {
    sizes.push_back(2);
  }
  sizes.push_back(coils());
  sizes.insert(sizes.end(), x.sizes().begin() + 2, x.sizes().end());
  return sizes;
}

at::Tensor MultiCoilMRI::Plan::forward(const at::Tensor& x) const {
  const at::Tensor y = fft::forward(mri::image_as_complex(x) * maps_, axes()) * weights_.values();
  return x.is_complex() ? y : mri::as_channels(y);
}

at::Tensor MultiCoilMRI::Plan::adjoint(const at::Tensor& y) const {
  const at::Tensor coil_images = fft::backward(mri::joined_channels(y) * weights_.values().conj(), axes());
  const at::Tensor x = (maps_.conj() * coil_images).sum(1, true);
  return y.is_complex() ? x : mri::as_channels(x.squeeze(1));
}

at::Tensor MultiCoilMRI::Plan::normal(const at::Tensor& x) const {
  if (!power_keeps_digits_) {
    return adjoint(forward(x));
  }
  const at::Tensor weighted = mri::image_as_complex(x) * maps_;
  std::vector<std::int64_t> along = normal_axes_;
  for (std::int64_t& axis : along) {
    axis += weighted.dim() - axes();
  }
  const at::Tensor coil_images = fft::backward_along(fft::forward_along(weighted, along) * power_.values(), along);
  const at::Tensor z = (maps_.conj() * coil_images).sum(1, true);
  return x.is_complex() ? z : mri::as_channels(z.squeeze(1));
}

template <class T>
void MultiCoilMRI::Plan::append_tasks(const at::Tensor& source, Space source_space, const at::Tensor& target,
                                      Space target_space, bool first, const mri::SampleFactors& powers,
                                      std::vector<mri::CoilTask<T>>& tasks) const {
  const bool complex = source.is_complex();
  const int step = complex ? 2 : 1;
  const std::int64_t items = source.size(0);
  const std::int64_t frames = options_.dynamic ? source.size(-axes() - 1) : 1;
  const std::int64_t coil_count = coils();
  const std::int64_t mask_frames = options_.dynamic ? mask_.size(2) : 1;
  const std::int64_t numel = normal_axes().columns ? transform_->numel_in_blocks() : pixels_;
  const auto* maps = static_cast<const T*>(maps_.const_data_ptr());
  const auto weights = weights_.weights<T>();
  const auto power = powers.weights<T>();
  // The part of a tensor that belongs to one item, coil and frame.
  const auto part = [&]<class U>(U* base, Space space, std::int64_t item, std::int64_t n, std::int64_t frame) {
    const std::int64_t count = space == Space::image ? frames : coil_count * frames;
    const std::int64_t index = space == Space::image ? frame : n * frames + frame;
    U* re = base + (item * count * 2 + index * step) * pixels_;
    return kernels::Complex<U>{re, complex ? re + 1 : re + count * pixels_, step};
  };
  const auto* from = static_cast<const T*>(source.const_data_ptr());
  auto* to = static_cast<T*>(target.data_ptr());
  for (std::int64_t b = 0; b < items; ++b) {
    for (std::int64_t n = 0; n < coil_count; ++n) {
      for (std::int64_t t = 0; t < frames; ++t) {
        const std::int64_t map_index = (maps_.size(0) == 1 ? 0 : b) * coil_count + n;
        const std::int64_t mask_index = (mask_.size(0) == 1 ? 0 : b) * mask_frames + (mask_frames == 1 ? 0 : t);
        tasks.push_back({maps + 2 * map_index * pixels_, kernels::from(weights, mask_index * pixels_),
                         kernels::from(power, mask_index * numel), part(from, source_space, b, n, t),
                         part(to, target_space, b, n, t), first && n == 0});
      }
    }
  }
}

template <class T>
void MultiCoilMRI::Plan::attach(const at::Tensor& y, const at::Tensor& weights, bool complex,
                                std::span<mri::CoilTask<T>> tasks) const {
  const std::int64_t items = weights.size(0);
  const auto count = static_cast<std::int64_t>(tasks.size()) / items;  // coils and frames
  const auto* measured = y.defined() ? static_cast<const T*>(y.const_data_ptr()) : nullptr;
  const auto* factors = static_cast<const T*>(weights.const_data_ptr());
  for (std::int64_t b = 0; b < items; ++b) {
    for (std::int64_t k = 0; k < count; ++k) {
      mri::CoilTask<T>& task = tasks[static_cast<std::size_t>(b * count + k)];
      if (complex) {  // a weight for both parts
        const T* const w = factors + (b * count + k) * pixels_;
        task.residual_weights = {w, w, 1};
      } else {
        const T* const w = factors + (2 * b * count + k) * pixels_;
        task.residual_weights = {w, w + count * pixels_, 1};
      }
      if (measured != nullptr) {
        const T* const re = measured + (complex ? 2 * (b * count + k) : 2 * b * count + k) * pixels_;
        task.measured = {re, complex ? re + 1 : re + count * pixels_, complex ? 2 : 1};
      }
    }
  }
}

template void MultiCoilMRI::Plan::attach(const at::Tensor&, const at::Tensor&, bool,
                                         std::span<mri::CoilTask<float>>) const;
template void MultiCoilMRI::Plan::attach(const at::Tensor&, const at::Tensor&, bool,
                                         std::span<mri::CoilTask<double>>) const;
template void MultiCoilMRI::Plan::append_tasks(const at::Tensor&, Space, const at::Tensor&, Space, bool,
                                               const mri::SampleFactors&, std::vector<mri::CoilTask<float>>&) const;
template void MultiCoilMRI::Plan::append_tasks(const at::Tensor&, Space, const at::Tensor&, Space, bool,
                                               const mri::SampleFactors&, std::vector<mri::CoilTask<double>>&) const;

}  // namespace adjoin
