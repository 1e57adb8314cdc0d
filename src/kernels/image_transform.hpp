// The discrete Fourier transform of an image on the CPU in its two stages: along the last axis, a row at a time, and
// along the others, a block of columns at a time. What is done to the image before, between and after them is done to a
// row or a block while it is in cache.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "kernels/complex_kernels.hpp"
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
  /// Of a spectrum's factors in blocks.
  std::int64_t numel_in_blocks() const { return rows_ * columns_in_blocks_; }

  /// Between a row of an image, which is contiguous, and one of the spectrum; in place where images are complex.
  const Transform& along_row() const { return *along_row_; }
  /// Of a block of columns of the spectrum, in place.
  const Transform& along_columns() const { return *along_columns_; }

 private:
  ImageTransform() = default;
  std::int64_t rows_ = 1;
  std::int64_t bins_ = 0;
  std::int64_t row_length_ = 0;
  std::int64_t axes_ = 0;
  std::int64_t columns_in_blocks_ = 0;  // of all blocks together
  std::shared_ptr<const Transform> along_row_;
  std::shared_ptr<const Transform> along_columns_;
};

/// Memory for the spectrum of one image, reused from image to image so that it stays in cache, T the precision. What is
/// behind the rows is zero and stays so.
template <class T>
class Spectrum {
 public:
  explicit Spectrum(const ImageTransform& transform)
      : rows_(transform.rows()),
        bins_(transform.bins()),
        row_length_(transform.row_length()),
        memory_(at::empty({2 * rows_ * row_length_}, at::TensorOptions(c10::CppTypeToScalarType<T>::value))) {
    for_each_row([&](std::int64_t /*r*/, T* row) { std::fill(row + 2 * bins_, row + 2 * row_length_, T(0)); });
  }

  T* data() const { return memory_.template data_ptr<T>(); }
  T* row(std::int64_t r) const { return data() + 2 * r * row_length_; }
  /// Of blocks of columns, and of what else has the layout of this.
  kernels::Columns columns() const { return {rows_, row_length_}; }

  /// Calls body(r, the row) for each row, on as many threads as there are.
  template <class Body>
  void for_each_row(const Body& body) const {
    at::parallel_for(0, rows_, 1 + least_numbers / row_length_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        body(r, row(r));
      }
    });
  }
  /// Calls body(offset, the block) for each block of columns, `offset` the columns before it: its factors in blocks
  /// begin at number offset · rows. On as many threads as there are.
  template <class Body>
  void for_each_block(const Body& body) const {
    constexpr std::int64_t columns = kernels::columns_in_block<T>;
    const std::int64_t blocks = (bins_ + columns - 1) / columns;
    at::parallel_for(0, blocks, 1 + least_numbers / (rows_ * columns), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) {
        body(b * columns, data() + 2 * b * columns);
      }
    });
  }

 private:
  /// What a thread is worth while for.
  static constexpr std::int64_t least_numbers = 8192;

  std::int64_t rows_;
  std::int64_t bins_;
  std::int64_t row_length_;
  at::Tensor memory_;
};

}  // namespace adjoin::fft
