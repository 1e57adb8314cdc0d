// SPDX-License-Identifier: BSD-3-Clause
// The choice between adjoin's own transforms of several rows and the library's, one after the other.
#include "kernels/fft/rows.hpp"

#include "kernels/fft/library.hpp"

namespace adjoin::fft {

std::shared_ptr<const RowTransform> RowTransform::make(std::int64_t n, c10::ScalarType dtype) {
  const std::shared_ptr<RowTransform> result(new RowTransform);
  result->one_ = Transform::make({n}, dtype);
  result->wide_ = uses_wide_transforms() ? WideRows::make(n, dtype) : nullptr;
  return result->one_ != nullptr ? result : nullptr;
}

void RowTransform::forward(const void* const* sources, void* const* spectra, int count) const {
  if (wide_ != nullptr && count > 0) {
    wide_->forward(sources, spectra, count);
    return;
  }
  for (int k = 0; k < count; ++k) {
    one_->forward(sources[k], spectra[k]);
  }
}

void RowTransform::backward(void* const* spectra, void* const* targets, int count) const {
  if (wide_ != nullptr && count > 0) {
    wide_->backward(spectra, targets, count);
    return;
  }
  for (int k = 0; k < count; ++k) {
    one_->backward(spectra[k], targets[k]);
  }
}

}  // namespace adjoin::fft
