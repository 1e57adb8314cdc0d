// The memory and the steps by which the CPU leads images through the transforms of a Blur.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>

#include "kernels/complex_kernels.hpp"
#include "kernels/image_transform.hpp"
#include "operators/blur/images.hpp"
#include "operators/blur/plan.hpp"

namespace adjoin::blur {

/// Leads one image after another through the transforms: by load() and forward() to its spectrum, by backward() and
/// store() back.
template <class T>
class Workspace {
 public:
  using Spectrum = fft::Spectrum<T>;

  explicit Workspace(const Grid& grid)
      : grid_(grid),
        row_(at::empty({at::get_num_threads() * grid.size.back()},
                       at::TensorOptions(c10::CppTypeToScalarType<T>::value))) {}

  Spectrum spectrum() const { return Spectrum(transform()); }

  /// The transforms along the rows of the grid: those of the image that is at the window, zeros elsewhere.
  void load(const T* image, const Window& window, const Spectrum& spectrum) {
    const std::int64_t width = window.size.back() * grid_.step();
    spectrum.for_each_row([&](std::int64_t r, T* row) {
      const std::int64_t image_row = row_of(window, r);
      if (image_row < 0) {
        std::fill_n(row, 2 * transform().bins(), T(0));
        return;
      }
      const T* const source = image + image_row * width;
      if (fills_rows(window) && !grid_.complex) {
        along_row().forward(source, row);
        return;
      }
      T* const whole = grid_.complex ? row : grid_row();
      if (!fills_rows(window)) {
        std::fill_n(whole, grid_.size.back() * grid_.step(), T(0));
      }
      std::copy_n(source, width, whole + start(window));
      along_row().forward(whole, row);
    });
  }
  /// The reverse, for the rows of the window. Overwrites the spectrum.
  void store(const Spectrum& spectrum, const Window& window, T* image) {
    const std::int64_t width = window.size.back() * grid_.step();
    spectrum.for_each_row([&](std::int64_t r, T* row) {
      const std::int64_t image_row = row_of(window, r);
      if (image_row < 0) {
        return;
      }
      T* const target = image + image_row * width;
      if (fills_rows(window) && !grid_.complex) {
        along_row().backward(row, target);
        return;
      }
      T* const whole = grid_.complex ? row : grid_row();
      along_row().backward(row, whole);
      std::copy_n(whole + start(window), width, target);
    });
  }
  /// From the spectrum's columns to the rows of the image at the window and back: body(row of the image, its values)
  /// changes these in between.
  template <class Body>
  void through(const Spectrum& spectrum, const Window& window, const Body& body) {
    const std::int64_t width = window.size.back() * grid_.step();
    const std::int64_t whole_width = grid_.size.back() * grid_.step();
    spectrum.for_each_row([&](std::int64_t r, T* row) {
      const std::int64_t image_row = row_of(window, r);
      if (image_row < 0) {
        std::fill_n(row, 2 * transform().bins(), T(0));
        return;
      }
      T* const whole = grid_.complex ? row : grid_row();
      along_row().backward(row, whole);
      body(image_row, whole + start(window));
      std::fill_n(whole, start(window), T(0));
      std::fill_n(whole + start(window) + width, whole_width - start(window) - width, T(0));
      along_row().forward(whole, row);
    });
  }
  // The transforms along a block of columns.
  void forward(T* block) const { transform().along_columns().forward(block, block); }
  void backward(T* block) const { transform().along_columns().backward(block, block); }
  /// Of the block that begins at column `offset`, from `power` in blocks.
  kernels::Weights<T> factors(const T* power, std::int64_t offset) const {
    return {power + offset * transform().rows()};
  }

 private:
  const fft::ImageTransform& transform() const { return *grid_.transform; }
  const fft::Transform& along_row() const { return transform().along_row(); }
  T* grid_row() const { return row_.template data_ptr<T>() + at::get_thread_num() * grid_.size.back(); }
  bool fills_rows(const Window& window) const { return window.size.back() == grid_.size.back(); }
  std::int64_t start(const Window& window) const { return window.offset.back() * grid_.step(); }
  /// The row of the image at the window that row r of the grid is; -1 for none.
  std::int64_t row_of(const Window& window, std::int64_t r) const {
    const auto whole = planes(grid_.size);
    const auto size = planes(window.size);
    const std::int64_t plane = r / whole[1] - (grid_.size.size() == 3 ? window.offset[0] : 0);
    const std::int64_t row = r % whole[1] - window.offset[window.offset.size() - 2];
    return plane < 0 || plane >= size[0] || row < 0 || row >= size[1] ? -1 : plane * size[1] + row;
  }

  const Grid& grid_;
  at::Tensor row_;  // of the grid, for each thread
};

}  // namespace adjoin::blur
