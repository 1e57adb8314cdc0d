// The memory and the steps by which the CPU leads images through the transforms of a Blur.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
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
        rows_(at::empty({at::get_num_threads() * transform().along_rows().at_once() * grid.size.back()},
                        at::TensorOptions(c10::CppTypeToScalarType<T>::value))) {}

  Spectrum spectrum() const { return Spectrum(transform()); }

  /// The transforms along the rows of the grid: those of the image that is at the window, zeros elsewhere.
  void load(const T* image, const Window& window, const Spectrum& spectrum) {
    const std::int64_t width = window.size.back() * grid_.step();
    const bool copies = grid_.complex || !fills_rows(window);
    spectrum.for_rows_at_once([&](std::int64_t first, int count) {
      Sources sources = {};
      Targets rows = {};
      int filled = 0;
      for (std::int64_t r = first; r < first + count; ++r) {
        T* const row = spectrum.row(r);
        const std::int64_t image_row = row_of(window, r);
        if (image_row < 0) {
          std::fill_n(row, 2 * transform().bins(), T(0));
          continue;
        }
        const T* source = image + image_row * width;
        if (copies) {
          T* const whole = grid_.complex ? row : grid_row(filled);
          if (!fills_rows(window)) {
            std::fill_n(whole, grid_.size.back() * grid_.step(), T(0));
          }
          std::copy_n(source, width, whole + start(window));
          source = whole;
        }
        sources[static_cast<std::size_t>(filled)] = source;
        rows[static_cast<std::size_t>(filled)] = row;
        ++filled;
      }
      along_rows().forward(sources.data(), rows.data(), filled);
    });
  }
  /// The reverse, for the rows of the window. Overwrites the spectrum.
  void store(const Spectrum& spectrum, const Window& window, T* image) {
    const std::int64_t width = window.size.back() * grid_.step();
    const bool copies = grid_.complex || !fills_rows(window);
    spectrum.for_rows_at_once([&](std::int64_t first, int count) {
      Targets rows = {};
      Targets wholes = {};
      std::array<T*, most> targets = {};
      int filled = 0;
      for (std::int64_t r = first; r < first + count; ++r) {
        const std::int64_t image_row = row_of(window, r);
        if (image_row >= 0) {
          const auto k = static_cast<std::size_t>(filled);
          rows[k] = spectrum.row(r);
          targets[k] = image + image_row * width;
          wholes[k] = !copies ? targets[k] : grid_.complex ? spectrum.row(r) : grid_row(filled);
          ++filled;
        }
      }
      along_rows().backward(rows.data(), wholes.data(), filled);
      for (std::size_t k = 0; copies && k < static_cast<std::size_t>(filled); ++k) {
        std::copy_n(static_cast<const T*>(wholes[k]) + start(window), width, targets[k]);
      }
    });
  }
  /// From the spectrum's columns to the rows of the image at the window and back: body(row of the image, its values)
  /// changes these in between.
  template <class Body>
  void through(const Spectrum& spectrum, const Window& window, const Body& body) {
    const std::int64_t width = window.size.back() * grid_.step();
    const std::int64_t whole_width = grid_.size.back() * grid_.step();
    spectrum.for_rows_at_once([&](std::int64_t first, int count) {
      Targets rows = {};
      Targets wholes = {};
      std::array<std::int64_t, most> image_rows = {};
      int filled = 0;
      for (std::int64_t r = first; r < first + count; ++r) {
        T* const row = spectrum.row(r);
        const std::int64_t image_row = row_of(window, r);
        if (image_row < 0) {
          std::fill_n(row, 2 * transform().bins(), T(0));
          continue;
        }
        const auto k = static_cast<std::size_t>(filled);
        rows[k] = row;
        wholes[k] = grid_.complex ? row : grid_row(filled);
        image_rows[k] = image_row;
        ++filled;
      }
      along_rows().backward(rows.data(), wholes.data(), filled);
      for (std::size_t k = 0; k < static_cast<std::size_t>(filled); ++k) {
        T* const whole = static_cast<T*>(wholes[k]);
        body(image_rows[k], whole + start(window));
        std::fill_n(whole, start(window), T(0));
        std::fill_n(whole + start(window) + width, whole_width - start(window) - width, T(0));
      }
      along_rows().forward(wholes.data(), rows.data(), filled);
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
  static constexpr std::size_t most = fft::RowTransform::most;
  using Sources = std::array<const void*, most>;
  using Targets = std::array<void*, most>;

  const fft::ImageTransform& transform() const { return *grid_.transform; }
  const fft::RowTransform& along_rows() const { return transform().along_rows(); }
  /// This thread's k-th row of the grid.
  T* grid_row(int k) const {
    return rows_.template data_ptr<T>() + (at::get_thread_num() * along_rows().at_once() + k) * grid_.size.back();
  }
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
  at::Tensor rows_;  // of the grid, as many as are transformed at once, for each thread
};

}  // namespace adjoin::blur
