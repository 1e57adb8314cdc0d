// SPDX-License-Identifier: BSD-3-Clause
// The memory and the steps by which the CPU leads images through the transforms of a Blur.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

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
  /// In the caller's memory.
  Spectrum spectrum_in(T* memory) const { return Spectrum(transform(), memory); }

  /// The transforms along the rows of the grid: those of the image that is at the window, zeros elsewhere.
  void load(const T* image, const Window& window, const Spectrum& spectrum) {
    const std::int64_t width = window.size.back() * grid_.step();
    spectrum.for_rows_at_once([&](std::int64_t first, int count) {
      const Rows rows = rows_at(window, spectrum, first, count, [&](T* row) { clear(row); });
      std::array<const void*, most> sources = {};
      for (std::size_t k = 0; k < rows.count; ++k) {
        const T* const source = image + rows.image[k] * width;
        sources[k] = source;
        if (!grid_.complex && fills_rows(window)) {
          continue;
        }
        T* const whole = static_cast<T*>(rows.grid[k]);
        if (!fills_rows(window)) {
          std::fill_n(whole, grid_.size.back() * grid_.step(), T(0));
        }
        std::copy_n(source, width, whole + start(window));
        sources[k] = whole;
      }
      along_rows().forward(sources.data(), rows.spectrum.data(), static_cast<int>(rows.count));
    });
  }
  /// The reverse, for the rows of the window. Overwrites the spectrum, which may begin where the image does if that
  /// fills the grid: the image's rows are shorter, and what is behind them moves up to them.
  void store(const Spectrum& spectrum, const Window& window, T* image) {
    const std::int64_t width = window.size.back() * grid_.step();
    const bool in_place = spectrum.data() == image;
    const bool copies = grid_.complex || !fills_rows(window) || in_place;
    // Threads may not move rows to where others still read.
    const bool moves_later = in_place && at::get_num_threads() > 1;
    spectrum.for_rows_at_once([&](std::int64_t first, int count) {
      const Rows rows = rows_at(window, spectrum, first, count, [](T* /*row*/) {});
      std::array<void*, most> targets = rows.grid;
      for (std::size_t k = 0; !copies && k < rows.count; ++k) {
        targets[k] = image + rows.image[k] * width;
      }
      along_rows().backward(rows.spectrum.data(), targets.data(), static_cast<int>(rows.count));
      for (std::size_t k = 0; copies && k < rows.count; ++k) {
        T* const row = moves_later ? spectrum.row(rows.image[k]) : image + rows.image[k] * width;
        std::copy_n(static_cast<const T*>(targets[k]) + start(window), width, row);
      }
    });
    for (std::int64_t r = 1; moves_later && r < transform().rows(); ++r) {
      std::copy_n(spectrum.row(r), width, image + r * width);
    }
  }
  /// From the spectrum's columns to the rows of the image at the window and back: body(row of the image, its values)
  /// changes these in between.
  template <class Body>
  void through(const Spectrum& spectrum, const Window& window, const Body& body) {
    const std::int64_t width = window.size.back() * grid_.step();
    const std::int64_t whole_width = grid_.size.back() * grid_.step();
    spectrum.for_rows_at_once([&](std::int64_t first, int count) {
      const Rows rows = rows_at(window, spectrum, first, count, [&](T* row) { clear(row); });
      along_rows().backward(rows.spectrum.data(), rows.grid.data(), static_cast<int>(rows.count));
      for (std::size_t k = 0; k < rows.count; ++k) {
        T* const whole = static_cast<T*>(rows.grid[k]);
        body(rows.image[k], whole + start(window));
        std::fill_n(whole, start(window), T(0));
        std::fill_n(whole + start(window) + width, whole_width - start(window) - width, T(0));
      }
      along_rows().forward(rows.grid.data(), rows.spectrum.data(), static_cast<int>(rows.count));
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

  /// Rows that the window reaches, among those that are transformed at once.
  struct Rows {
    std::size_t count = 0;
    std::array<std::int64_t, most> image = {};  // their numbers in the image
    std::array<void*, most> spectrum = {};
    std::array<void*, most> grid = {};  // where they may lie whole: in the spectrum, where images are complex
  };
  /// Calls otherwise(the row) for rows of the spectrum that it does not reach.
  template <class Otherwise>
  Rows rows_at(const Window& window, const Spectrum& spectrum, std::int64_t first, int count,
               const Otherwise& otherwise) const {
    Rows rows;
    for (std::int64_t r = first; r < first + count; ++r) {
      const std::int64_t image_row = row_of(window, r);
      T* const row = spectrum.row(r);
      if (image_row < 0) {
        otherwise(row);
        continue;
      }
      const std::size_t k = rows.count++;
      rows.image[k] = image_row;
      rows.spectrum[k] = row;
      rows.grid[k] = grid_.complex ? row : grid_row(k);
    }
    return rows;
  }
  void clear(T* row) const { std::fill_n(row, 2 * transform().bins(), T(0)); }

  const fft::ImageTransform& transform() const { return *grid_.transform; }
  const fft::RowTransform& along_rows() const { return transform().along_rows(); }
  /// This thread's k-th row of the grid.
  T* grid_row(std::size_t k) const {
    return rows_.template data_ptr<T>() +
           (at::get_thread_num() * along_rows().at_once() + static_cast<std::int64_t>(k)) * grid_.size.back();
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

/// Where the spectra of a result's images lie: in the result itself, or in memory of their own, one after the other.
template <class T>
class ResultSpectra {
 public:
  /// `result`: null where they lie in their own.
  ResultSpectra(const Workspace<T>& workspace, T* result) : workspace_(workspace), result_(result) {
    if (result == nullptr) {
      own_.emplace(workspace.spectrum());
    }
  }
  /// Of the image that begins at this number of the result.
  fft::Spectrum<T> of_image(std::int64_t begin) const { return own_ ? *own_ : workspace_.spectrum_in(result_ + begin); }

 private:
  const Workspace<T>& workspace_;
  T* result_;
  std::optional<fft::Spectrum<T>> own_;
};

}  // namespace adjoin::blur
