// SPDX-License-Identifier: BSD-3-Clause
// Plans for the rows and for the blocks of columns of one image.
#include "kernels/image_transform.hpp"

#include <ATen/ATen.h>
#include <c10/util/accumulate.h>

#include <vector>

namespace adjoin::fft {

std::shared_ptr<const ImageTransform> ImageTransform::make(at::IntArrayRef sizes, at::ScalarType dtype) {
  const std::shared_ptr<ImageTransform> result(new ImageTransform);
  result->rows_ = c10::multiply_integers(sizes.slice(0, sizes.size() - 1));
  result->bins_ = at::isComplexType(dtype) ? sizes.back() : sizes.back() / 2 + 1;
  result->row_length_ = padded_row(result->bins_, dtype);
  result->axes_ = static_cast<std::int64_t>(sizes.size());
  const std::int64_t columns = columns_in_block(dtype);
  result->columns_in_blocks_ = (result->bins_ + columns - 1) / columns * columns;
  std::vector<std::int64_t> spectrum = sizes.vec();
  spectrum.back() = result->bins_;
  result->along_rows_ = RowTransform::make(sizes.back(), dtype);
  result->along_columns_ = Transform::make_columns(spectrum, at::toComplexType(dtype));
  return result->along_rows_ != nullptr && result->along_columns_ != nullptr ? result : nullptr;
}

at::Tensor ImageTransform::in_blocks(const at::Tensor& factors) const {
  const at::Tensor rows = factors.flatten(-axes_, -2);
  const at::Tensor padded = at::constant_pad_nd(rows, {0, columns_in_blocks_ - bins_});
  const std::int64_t columns = columns_in_block(factors.scalar_type());
  return padded.unflatten(-1, {columns_in_blocks_ / columns, columns}).movedim(-2, -3).contiguous();
}

at::Tensor ImageTransform::zeros_in_blocks(at::IntArrayRef leading, const at::TensorOptions& options) const {
  const std::int64_t columns = columns_in_block(c10::typeMetaToScalarType(options.dtype()));
  std::vector<std::int64_t> sizes = leading.vec();
  sizes.insert(sizes.end(), {columns_in_blocks_ / columns, rows_, columns});
  return at::zeros(sizes, options);
}

void ImageTransform::add_to_blocks(const at::Tensor& blocks, std::int64_t first, const at::Tensor& factors,
                                   double weight) const {
  const at::Tensor padded = at::constant_pad_nd(factors, {0, columns_in_blocks_ - bins_});
  blocks.movedim(-3, -2).narrow(-3, first, factors.size(-2)).add_(padded.unflatten(-1, {blocks.size(-3), -1}), weight);
}

}  // namespace adjoin::fft
