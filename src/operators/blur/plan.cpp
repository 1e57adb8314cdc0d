// SPDX-License-Identifier: BSD-3-Clause
// The estimate by which a plan is direct or by transforms, and each way's computation.
#include "operators/blur/plan.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "kernels/arrays.hpp"
#include "kernels/fft/differentiable.hpp"
#include "kernels/fft/library.hpp"
#include "kernels/fft/sizes.hpp"
#include "operators/blur/border.hpp"
#include "operators/blur/correlate.hpp"
#include "operators/blur/images.hpp"
#include "operators/blur/workspace.hpp"
#include "operators/squares.hpp"

namespace adjoin {

Blur::Plan::Plan(const at::Tensor& filter, const BlurOptions& options, const at::Tensor& like, at::IntArrayRef sizes,
                 bool periodic)
    : padding_(options.padding),
      automatic_(options.method == ConvolutionMethod::Automatic),
      periodic_(padding_ == Padding::Circular && (periodic || std::ranges::all_of(sizes, fft::is_good_size))),
      slow_(periodic_ && !std::ranges::all_of(sizes, fft::is_good_size)),
      dtype_(like.scalar_type()),
      device_(like.device()),
      rank_(filter.dim() - 2),
      image_(sizes.begin(), sizes.end()),
      kernel_(filter.sizes().begin() + 2, filter.sizes().end()),
      grid_{.size = {}, .complex = like.is_complex(), .transform = nullptr},
      filter_(filter.to(device_, filter.is_complex() ? dtype_ : at::toRealValueType(dtype_))) {
  const bool bordered = padding_ != Padding::Valid;
  for (std::size_t i = 0; i < image_.size(); ++i) {
    const std::int64_t centre = kernel_[i] / 2;
    axes_.push_back(static_cast<std::int64_t>(i) + 2);
    before_.push_back(bordered ? kernel_[i] - 1 - centre : 0);
    after_.push_back(bordered ? centre : 0);
    reach_.push_back(kernel_[i] - 1);
    const std::int64_t padded = image_[i] + before_[i] + after_[i];
    grid_.size.push_back(periodic_ ? image_[i] : fft::good_size(padded));
    grid_points_ *= static_cast<double>(grid_.size[i]);
    source_.size.push_back(extends_by_values() ? padded : image_[i]);
    source_.offset.push_back(padding_ == Padding::Constant ? before_[i] : 0);
    target_.size.push_back(padded - kernel_[i] + 1);
    target_.offset.push_back(0);
  }
  fft_ = options.method == ConvolutionMethod::Fft ||
         (automatic_ && (!device_.is_cpu() || quick_transform_time() < direct_time()));
  if (!fft_) {
    flipped_ = filter_.flip(axes_).contiguous();
    conjugate_ = filter_.conj().resolve_conj().contiguous();
  }
  if (device_.is_cpu()) {
    grid_.transform = fft::ImageTransform::make(grid_.size, dtype_);
  }
}

double Blur::Plan::direct_time() const {
  return 0.034 * static_cast<double>(c10::multiply_integers(kernel_)) *
         static_cast<double>(c10::multiply_integers(target_.size));
}

double Blur::Plan::quick_transform_time() const {
  const bool wide = fft::uses_wide_transforms();
  const double border = periodic_ && !slow_ ? 0.0 : wide ? 0.5 : 0.8;
  return ((wide ? 0.08 : 0.2) * std::log2(grid_points_) + border) * grid_points_;
}

at::Tensor Blur::Plan::compute_response() const {
  std::vector<std::int64_t> sizes = filter_.sizes().slice(0, 2).vec();
  sizes.insert(sizes.end(), grid_.size.begin(), grid_.size.end());
  c10::List<std::optional<at::Tensor>> places({std::nullopt, std::nullopt});
  for (std::size_t i = 0; i < grid_.size.size(); ++i) {
    // A periodic grid: the centre goes to the origin. Otherwise the first entry of y comes out at the origin.
    const std::int64_t shift = periodic_ ? -(kernel_[i] / 2) : -reach_[i];
    std::vector<std::int64_t> axis(grid_.size.size(), 1);
    axis[i] = kernel_[i];
    places.push_back(at::arange(shift, shift + kernel_[i], at::TensorOptions(at::kLong).device(device_))
                         .remainder(grid_.size[i])
                         .view(axis));
  }
  const at::Tensor scaled = (filter_ / grid_points_).to(dtype_);
  return spectrum(at::zeros(sizes, scaled.options()).index_put_(places, scaled));
}

const at::Tensor& Blur::Plan::response() const {
  return response_.get([&] { return derived([&] { return padded_rows(compute_response()); }); });
}

const at::Tensor& Blur::Plan::power() const {
  return power_.get([&] { return derived([&] { return compute_power(); }); });
}

const at::Tensor& Blur::Plan::power_in_blocks() const {
  const auto in_blocks = [&] {
    at::Tensor power;
    add_power(power, 1.0);
    return power;
  };
  return power_in_blocks_.get([&] { return derived(in_blocks); });
}

at::Tensor Blur::Plan::compute_power() const {
  const at::Tensor H = response_.is_ready() ? bins(response()) : compute_response();
  return H.abs().square_().mul_(grid_points_);
}

void Blur::Plan::add_power(at::Tensor& sum, double weight) const {
  constexpr std::int64_t numbers_at_once = std::int64_t{1} << 18;
  const at::Tensor H = response_.is_ready() ? bins(response()) : compute_response();
  const fft::ImageTransform* const transform = grid_.transform.get();
  if (!sum.defined()) {
    const auto dtype = H.options().dtype(at::toRealValueType(dtype_));
    sum = transform != nullptr ? transform->zeros_in_blocks(H.sizes().slice(0, 2), dtype) : at::zeros(H.sizes(), dtype);
  } else if (sum.size(0) < H.size(0) || sum.size(1) < H.size(1)) {
    // Filters of several items or channels enlarge the sum.
    std::vector<std::int64_t> sizes = sum.sizes().vec();
    sizes[0] = std::max(sum.size(0), H.size(0));
    sizes[1] = std::max(sum.size(1), H.size(1));
    sum = sum.expand(sizes).contiguous();
  }
  const at::Tensor rows = H.flatten(2, -2);
  const std::int64_t at_once =
      std::max<std::int64_t>(1, numbers_at_once / (rows.size(0) * rows.size(1) * rows.size(3)));
  for (std::int64_t first = 0; first < rows.size(2); first += at_once) {
    const std::int64_t count = std::min(at_once, rows.size(2) - first);
    const at::Tensor power = rows.narrow(2, first, count).abs().square_().mul_(grid_points_);
    if (transform != nullptr) {
      transform->add_to_blocks(sum, first, power, weight);
    } else {
      sum.flatten(2, -2).narrow(2, first, count).add_(power, weight);
    }
  }
}

double Blur::Plan::largest_response() const {
  return largest_response_.get([&] { return bins(response()).detach().abs().max().item<double>(); });
}

double Blur::Plan::squared_norm() const {
  const double largest = largest_response() * grid_points_;
  return largest * largest;
}

at::Tensor Blur::Plan::padded_rows(const at::Tensor& factors) const {
  return at::constant_pad_nd(factors, {0, grid_.transform ? grid_.transform->row_length() - bins() : 0}).contiguous();
}

at::Tensor Blur::Plan::spectrum(const at::Tensor& x) const {
  return grid_.complex ? fft::forward(x, rank_) : fft::forward_real(x, rank_);
}

at::Tensor Blur::Plan::image(const at::Tensor& spectrum) const {
  return grid_.complex ? fft::backward(spectrum, rank_) : fft::backward_real(spectrum, rank_, grid_.size.back());
}

at::Tensor Blur::Plan::padded(const at::Tensor& x) const { return blur::pad(x, before_, after_, padding_); }

at::Tensor Blur::Plan::folded(at::Tensor z) const {
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    z = blur::fold(z, axes_[i], before_[i], after_[i], padding_);
  }
  return z.contiguous();
}

at::Tensor Blur::Plan::forward(const at::Tensor& x) const {
  if (!uses_fft(x)) {
    return blur::correlate(padded(x), flipped_);
  }
  return convolve(extends_by_values() ? padded(x) : x, source_, Factor::response, target_);
}

at::Tensor Blur::Plan::adjoint(const at::Tensor& y) const {
  if (!uses_fft(y)) {
    return folded(blur::correlate(blur::pad(y, reach_, reach_), conjugate_));
  }
  const at::Tensor z = convolve(y, target_, Factor::conjugate, source_);
  return extends_by_values() ? folded(z) : z;
}

at::Tensor Blur::Plan::normal(const at::Tensor& x) const {
  const auto keeps_digits = [&] {
    const double largest = largest_response();
    return keep_digits(largest * largest * grid_points_, dtype_);
  };
  return periodic_ && uses_fft(x) && keeps_digits() ? convolve(x, source_, Factor::power, source_)
                                                    : adjoint(forward(x));
}

at::Tensor Blur::Plan::convolve(const at::Tensor& x, const blur::Window& from, Factor factor,
                                const blur::Window& to) const {
  if (has_kernels_for(x)) {
    return convolve_with_kernels(x, from, factor, to);
  }
  blur::Sizes room;
  for (std::size_t i = 0; i < grid_.size.size(); ++i) {
    room.push_back(grid_.size[i] - from.offset[i] - from.size[i]);
  }
  const at::Tensor transformed = spectrum(blur::pad(x, from.offset, room));
  const at::Tensor product = factor == Factor::response    ? transformed * bins(response())
                             : factor == Factor::conjugate ? transformed * bins(response()).conj()
                                                           : transformed * power();
  at::Tensor y = image(product);
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    y = y.narrow(axes_[i], to.offset[i], to.size[i]);
  }
  return y.contiguous();
}

at::Tensor Blur::Plan::convolve_with_kernels(const at::Tensor& x, const blur::Window& from, Factor factor,
                                             const blur::Window& to) const {
  const at::Tensor source = kernels::plain(x);
  std::vector<std::int64_t> sizes = {x.size(0), x.size(1)};
  sizes.insert(sizes.end(), to.size.begin(), to.size.end());
  const at::Tensor y = at::empty(sizes, x.options());
  const bool power = factor == Factor::power;
  const at::Tensor& factors = power ? power_in_blocks() : response();
  kernels::with_precision_of(dtype_, [&]<class T>(T) {
    const auto* in = static_cast<const T*>(source.const_data_ptr());
    const auto* values = static_cast<const T*>(factors.const_data_ptr());
    auto* out = static_cast<T*>(y.data_ptr());
    blur::for_image_ranges(x.size(0) * x.size(1), [&](std::int64_t begin, std::int64_t end) {
      blur::Workspace<T> workspace(grid_);
      const auto spectrum = workspace.spectrum();
      for (std::int64_t k = begin; k < end; ++k) {
        const T* const by =
            values + blur::filter_index(factors, k, x.size(1)) * (power ? numel_in_blocks() : 2 * spectrum_size());
        workspace.load(in + k * array_size(from), from, spectrum);
        spectrum.for_each_block([&](std::int64_t offset, T* block) {
          workspace.forward(block);
          if (power) {
            kernels::scale(block, workspace.factors(by, offset), spectrum.columns());
          } else if (factor == Factor::conjugate) {
            kernels::multiply_conjugate(by + 2 * offset, block, block, true, spectrum.columns());
          } else {
            kernels::multiply(by + 2 * offset, block, block, spectrum.columns());
          }
          workspace.backward(block);
        });
        workspace.store(spectrum, to, out + k * array_size(to));
      }
    });
  });
  return y;
}

}  // namespace adjoin
