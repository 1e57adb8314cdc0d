#include "image_transform.hpp"

#include <c10/util/accumulate.h>

#include <vector>

namespace adjoin::fft {

std::shared_ptr<const ImageTransform> ImageTransform::make(at::IntArrayRef sizes, at::ScalarType dtype) {
  const std::shared_ptr<ImageTransform> result(new ImageTransform);
  result->rows_ = c10::multiply_integers(sizes.slice(0, sizes.size() - 1));
  result->bins_ = at::isComplexType(dtype) ? sizes.back() : sizes.back() / 2 + 1;
  result->row_length_ = padded_row(result->bins_, dtype);
  std::vector<std::int64_t> spectrum = sizes.vec();
  spectrum.back() = result->bins_;
  result->along_row_ = Transform::make(sizes.slice(sizes.size() - 1), dtype);
  result->along_columns_ = Transform::make_columns(spectrum, at::toComplexType(dtype));
  return result->along_row_ != nullptr && result->along_columns_ != nullptr ? result : nullptr;
}

}  // namespace adjoin::fft
