// SPDX-License-Identifier: BSD-3-Clause
// The discrete Fourier transform of an image on the CPU in its two stages: along the last axis, a row at a time, and
// along the others, a block of columns at a time. What is done to the image before, between and after them is done to a
// row or a block while it is in cache.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "core/parallel_for.hpp"
#include "kernels/complex_kernels.hpp"
#include "kernels/fft/rows.hpp"
#include "kernels/fft/sizes.hpp"
#include "kernels/fft/transform.hpp"

namespace adjoin::fft {

/// The transforms of images of one size and dtype.
class ImageTransform {
 public:
  /// For images of `sizes` (two or three axes) and dtype float, double (half spectra as forward_real's) or a complex
  /// one. Null where no library serves (fft::Library::torch).
  static std::shared_ptr<const ImageTransform> make(at::IntArrayRef sizes, at::ScalarType dtype);

  /// The rows of an image, and of its spectrum.
  std::int64_t rows() const { return rows_; }
  /// Numbers of a row of the spectrum, and from its start to that of the next: padded_row(bins()).
  std::int64_t bins() const { return bins_; }
  std::int64_t row_length() const { return row_length_; }

  /// Factors for the numbers of spectra, (…, the sizes of a spectrum), in the order in which blocks of columns take
  /// them: (…, blocks, rows, columns of a block), with zeros behind the last column.
  at::Tensor in_blocks(const at::Tensor& factors) const;
  /// Zeros in blocks, of factors whose sizes before those of a spectrum are `leading`.
  at::Tensor zeros_in_blocks(at::IntArrayRef leading, const at::TensorOptions& options) const;
  /// Adds weight · factors, (…, some rows, bins()), to the rows of `blocks` from `first` on.
  void add_to_blocks(const at::Tensor& blocks, std::int64_t first, const at::Tensor& factors, double weight) const;
  /// Of a spectrum's factors in blocks.
  std::int64_t numel_in_blocks() const { return rows_ * columns_in_blocks_; }

  /// Between rows of an image, each contiguous, and rows of the spectrum; in place where images are complex.
  const RowTransform& along_rows() const { return *along_rows_; }
  /// Of a block of columns of the spectrum, in place.
  const Transform& along_columns() const { return *along_columns_; }

 private:
  ImageTransform() = default;
  std::int64_t rows_ = 1;
  std::int64_t bins_ = 0;
  std::int64_t row_length_ = 0;
  std::int64_t axes_ = 0;
  std::int64_t columns_in_blocks_ = 0;  // of all blocks together
  std::shared_ptr<const RowTransform> along_rows_;
  std::shared_ptr<const Transform> along_columns_;
};

/// Memory for the spectrum of one image, reused from image to image so that it stays in cache, T the precision. What is
/// behind the rows is zero and stays so.
template <class T>
class Spectrum {
 public:
  explicit Spectrum(const ImageTransform& transform)
      : Spectrum(transform, at::empty({2 * transform.rows() * transform.row_length()},
                                      at::TensorOptions(c10::CppTypeToScalarType<T>::value))) {}
  /// In memory of the caller's, which has as many complex numbers as the transform has rows times their length.
  Spectrum(const ImageTransform& transform, T* memory)
      : along_rows_(transform.along_rows()),
        rows_(transform.rows()),
        bins_(transform.bins()),
        row_length_(transform.row_length()),
        data_(memory) {
    for_each_row([&](std::int64_t /*r*/, T* row) { std::fill(row + 2 * bins_, row + 2 * row_length_, T(0)); });
  }

  T* data() const { return data_; }
  T* row(std::int64_t r) const { return data() + 2 * r * row_length_; }
  /// Of blocks of columns, and of what else has the layout of this.
  kernels::Columns columns() const { return {rows_, row_length_}; }

  /// Calls body(r, the row) for each row, on as many threads as there are.
  template <class Body>
  void for_each_row(const Body& body) const {
    parallel_for(0, rows_, 1 + least_numbers / row_length_,
                 [&](std::int64_t begin, std::int64_t end) { for_rows(begin, end - begin, body); });
  }
  /// For some rows, on this thread.
  template <class Body>
  void for_rows(std::int64_t first, std::int64_t count, const Body& body) const {
    for (std::int64_t r = first; r < first + count; ++r) {
      body(r, row(r));
    }
  }
  /// Calls body(first, count) for as many neighbouring rows as are transformed at once, until all are done, on as many
  /// threads as there are.
  template <class Body>
  void for_rows_at_once(const Body& body) const {
    const std::int64_t at_once = along_rows_.at_once();
    const std::int64_t groups = (rows_ + at_once - 1) / at_once;
    parallel_for(0, groups, 1 + least_numbers / (at_once * row_length_), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t g = begin; g < end; ++g) {
        body(g * at_once, static_cast<int>(std::min(at_once, rows_ - g * at_once)));
      }
    });
  }
  /// The transforms along the rows of a complex image, each after prepare(r, the row) has written it.
  template <class Prepare>
  void forward_rows(const Prepare& prepare) const {
    for_rows_at_once([&](std::int64_t first, int count) { forward_rows(first, count, prepare); });
  }
  /// The reverse, each before finish(r, the row) reads it.
  template <class Finish>
  void backward_rows(const Finish& finish) const {
    for_rows_at_once([&](std::int64_t first, int count) { backward_rows(first, count, finish); });
  }
  /// Of some rows that are transformed at once.
  template <class Prepare>
  void forward_rows(std::int64_t first, int count, const Prepare& prepare) const {
    const auto rows = rows_from(first, count);
    for_rows(first, count, prepare);
    along_rows_.forward(rows.data(), rows.data(), count);
  }
  template <class Finish>
  void backward_rows(std::int64_t first, int count, const Finish& finish) const {
    const auto rows = rows_from(first, count);
    along_rows_.backward(rows.data(), rows.data(), count);
    for_rows(first, count, finish);
  }
  /// Calls body(offset, the block) for each block of columns, `offset` the columns before it: its factors in blocks
  /// begin at number offset · rows. On as many threads as there are.
  template <class Body>
  void for_each_block(const Body& body) const {
    constexpr std::int64_t columns = kernels::columns_in_block<T>;
    const std::int64_t blocks = (bins_ + columns - 1) / columns;
    parallel_for(0, blocks, 1 + least_numbers / (rows_ * columns), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) {
        body(b * columns, data() + 2 * b * columns);
      }
    });
  }

 private:
  /// What a thread is worth while for.
  static constexpr std::int64_t least_numbers = 8192;

  Spectrum(const ImageTransform& transform, at::Tensor memory) : Spectrum(transform, memory.template data_ptr<T>()) {
    memory_ = std::move(memory);
  }
  std::array<void*, RowTransform::most> rows_from(std::int64_t first, int count) const {
    std::array<void*, RowTransform::most> rows = {};
    for (int k = 0; k < count; ++k) {
      rows[static_cast<std::size_t>(k)] = row(first + k);
    }
    return rows;
  }

  const RowTransform& along_rows_;
  std::int64_t rows_;
  std::int64_t bins_;
  std::int64_t row_length_;
  T* data_;
  at::Tensor memory_;  // which data_ points to, where it is this object's own
};

}  // namespace adjoin::fft
