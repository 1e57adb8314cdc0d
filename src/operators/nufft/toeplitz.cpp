// SPDX-License-Identifier: BSD-3-Clause
// Convolutions on a grid twice as fine, done as one on the image's own grid for each half-pixel shift.
#include "operators/nufft/toeplitz.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/accumulate.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "adjoin/core/gradients.hpp"
#include "kernels/arrays.hpp"

namespace adjoin::nufft {
namespace {

std::vector<std::int64_t> last_axes(std::size_t count) {
  std::vector<std::int64_t> axes(count);
  std::iota(axes.begin(), axes.end(), -static_cast<std::int64_t>(count));
  return axes;
}

/// (2^axes, sizes), complex double: e^{−πi Σ p n / N} for each choice of p, that along the last axis changing fastest.
at::Tensor turns_of(at::IntArrayRef sizes) {
  at::Tensor turns = at::ones({1}, at::kComplexDouble);
  for (const std::int64_t n : sizes) {
    const at::Tensor angles = at::arange(n, at::kDouble) * (-std::numbers::pi / static_cast<double>(n));
    const at::Tensor both = at::stack({at::ones({n}, at::kComplexDouble), at::polar(at::ones_like(angles), angles)});
    // (2^a, …) and (2, n) to (2^a · 2, …, n)
    std::vector<std::int64_t> shape = {1, 2};
    shape.resize(static_cast<std::size_t>(turns.dim()) + 1, 1);
    shape.push_back(n);
    turns = (turns.unsqueeze(1).unsqueeze(-1) * both.view(shape)).flatten(0, 1);
  }
  return turns;
}

}  // namespace

at::Tensor normal_spectrum(const Transforms& transforms, const at::Tensor& weights) {
  const std::vector<std::int64_t>& sizes = transforms.image_size();
  std::vector<std::int64_t> doubled;
  for (const std::int64_t n : sizes) {
    doubled.push_back(2 * n);
  }
  const auto axes = last_axes(sizes.size());
  const double pixels = static_cast<double>(c10::multiply_integers(sizes));
  const auto options = transforms.trajectory().options().dtype(at::kComplexDouble).requires_grad(false);
  const at::Tensor ones = at::ones(transforms.sample_size(), options);
  const auto wide = std::make_shared<const Transforms>(transforms.trajectory(), doubled, transforms.eps());
  at::Tensor kernel = wide->adjoint(weights.defined() ? ones * weights : ones);
  kernel.mul_(std::sqrt(static_cast<double>(c10::multiply_integers(doubled))) / pixels);
  // Differences go from 1 − N to N − 1; the sum at −N would make the spectrum complex.
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    kernel.select(static_cast<std::int64_t>(axis), 0).zero_();
  }
  const at::Tensor spectrum = at::real(at::fft_fftn(at::fft_ifftshift(kernel, axes), {}, axes));
  // (N, 2, N, 2, …) to (2, 2, …, N, N, …)
  std::vector<std::int64_t> apart;
  std::vector<std::int64_t> order;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    apart.insert(apart.end(), {sizes[axis], 2});
    order.push_back(2 * static_cast<std::int64_t>(axis) + 1);
  }
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    order.push_back(2 * static_cast<std::int64_t>(axis));
  }
  return spectrum.reshape(apart).permute(order).contiguous();
}

Toeplitz::Toeplitz(const at::Tensor& spectrum, const at::Tensor& maps) : maps_(maps) {
  const std::int64_t axes = spectrum.dim() / 2;
  image_size_ = spectrum.sizes().slice(static_cast<std::size_t>(axes)).vec();
  const auto complex = maps.scalar_type();
  const auto real = at::toRealValueType(complex);
  const auto pixels = static_cast<double>(c10::multiply_integers(image_size_));
  const at::Tensor phases = spectrum.flatten(0, axes - 1) / std::pow(2.0, static_cast<double>(axes));
  const at::Tensor turns = turns_of(image_size_);
  spectrum_ = phases.to(maps.device(), real);
  turns_ = turns.to(maps.device(), complex);
  if (!maps.is_cpu()) {
    return;
  }
  transform_ = fft::ImageTransform::make(image_size_, complex);
  std::vector<std::int64_t> block = image_size_;
  block.back() = fft::columns_in_block(real);
  along_columns_ = fft::Transform::make_columns(block, complex);
  if (transform_ == nullptr || along_columns_ == nullptr) {
    transform_.reset();
    return;
  }
  // p along the last axis is the parity of a phase's number.
  const at::Tensor last = turns_of(at::IntArrayRef(image_size_).slice(static_cast<std::size_t>(axes - 1)));
  turned_maps_ = at::stack({maps, maps * last[1].to(complex)}).contiguous();
  const at::IntArrayRef leading = at::IntArrayRef(image_size_).slice(0, static_cast<std::size_t>(axes - 1));
  column_turns_ = turns_of(leading).flatten(1).to(complex).contiguous();
  const at::Tensor scaled = (phases / pixels).to(real);
  power_ = transform_->in_blocks(at::stack({scaled.slice(0, 0, {}, 2), scaled.slice(0, 1, {}, 2)})).contiguous();
}

at::Tensor Toeplitz::convolve(const at::Tensor& images) const {
  const auto axes = last_axes(image_size_.size());
  at::Tensor sum;
  for (std::int64_t phase = 0; phase < spectrum_.size(0); ++phase) {
    const at::Tensor spectrum = at::fft_fftn(images * turns_[phase], {}, axes) * spectrum_[phase];
    const at::Tensor part = at::fft_ifftn(spectrum, {}, axes) * turns_[phase].conj();
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

at::Tensor Toeplitz::operator()(const at::Tensor& x) const {
  if (transform_ == nullptr || records_gradients(x)) {
    return (convolve(x * maps_) * maps_.conj()).sum(1, true);
  }
  const at::Tensor source = kernels::plain(x);
  at::Tensor result = at::empty(x.sizes(), source.options());
  kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
    const auto* maps = static_cast<const T*>(turned_maps_.const_data_ptr());
    const auto* from = static_cast<const T*>(source.const_data_ptr());
    auto* to = static_cast<T*>(result.mutable_data_ptr());
    const std::int64_t numbers = 2 * c10::multiply_integers(image_size_);
    const std::int64_t coils = maps_.size(1);
    std::vector<Task<T>> tasks;
    for (std::int64_t b = 0; b < x.size(0); ++b) {
      for (std::int64_t n = 0; n < coils; ++n) {
        const std::int64_t map = (maps_.size(0) == 1 ? 0 : b) * coils + n;
        tasks.push_back({maps + map * numbers, from + b * numbers, to + b * numbers, n == 0});
      }
    }
    run(tasks);
  });
  return result;
}

template <class T>
void Toeplitz::run(const std::vector<Task<T>>& tasks) const {
  constexpr std::int64_t columns = kernels::columns_in_block<T>;
  const std::int64_t width = transform_->bins();
  const std::int64_t rows = transform_->rows();
  const std::int64_t column_phases = column_turns_.size(0);
  const kernels::Columns apart = {rows, columns};
  const auto* turns = static_cast<const T*>(column_turns_.const_data_ptr());
  const auto* power = static_cast<const T*>(power_.const_data_ptr());
  const fft::Spectrum<T> coil(*transform_);
  // A block of columns, and what becomes of it by one phase after another.
  const at::Tensor scratch =
      at::empty({at::get_num_threads(), 2, rows * columns * 2}, c10::CppTypeToScalarType<T>::value);
  for (const Task<T>& task : tasks) {
    for (std::int64_t phase = 0; phase < 2; ++phase) {
      const T* const map = task.map + phase * 2 * maps_.numel();
      const kernels::Complex<const T> source = {task.source, task.source + 1, 2};
      const kernels::Complex<T> target = {task.target, task.target + 1, 2};
      coil.forward_rows([&](std::int64_t r, T* row) {
        kernels::multiply(kernels::from(source, r * width), map + 2 * r * width, row, width);
      });
      coil.for_each_block([&](std::int64_t offset, T* block) {
        T* const turned = scratch.template mutable_data_ptr<T>() + at::get_thread_num() * 4 * rows * columns;
        T* const sum = turned + 2 * rows * columns;
        for (std::int64_t q = 0; q < column_phases; ++q) {
          const T* const turn = turns + 2 * q * rows;
          const T* const factors = power + (phase * column_phases + q) * transform_->numel_in_blocks() + offset * rows;
          kernels::turn(block, coil.columns(), turn, turned);
          along_columns_->forward(turned, turned);
          kernels::scale(turned, kernels::Weights<T>{factors}, apart);
          along_columns_->backward(turned, turned);
          kernels::turn_back(turned, turn, sum, q == 0, rows);
        }
        kernels::put_columns(sum, block, coil.columns());
      });
      coil.backward_rows([&](std::int64_t r, T* row) {
        kernels::multiply_conjugate(map + 2 * r * width, row, kernels::from(target, r * width),
                                    task.first && phase == 0, width);
      });
    }
  }
}

}  // namespace adjoin::nufft
