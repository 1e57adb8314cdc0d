// SPDX-License-Identifier: BSD-3-Clause
// Transforms of whole images and of blocks of columns, as plans for the library in use.
#include "kernels/fft/transform.hpp"

#include "kernels/fft/fftw.hpp"
#include "kernels/fft/library.hpp"
#include "kernels/fft/mkl.hpp"
#include "kernels/fft/sizes.hpp"
#include "kernels/fft/wide.hpp"

namespace adjoin::fft {
namespace {

/// Along the axes of arrays of `sizes` whose rows begin so many numbers apart.
c10::SmallVector<Plan::Axis, 3> axes_of(at::IntArrayRef sizes, std::int64_t source_row, std::int64_t spectrum_row) {
  c10::SmallVector<Plan::Axis, 3> axes;
  std::int64_t source = 1;
  std::int64_t spectrum = 1;
  for (std::size_t i = sizes.size(); i-- > 0;) {
    axes.insert(axes.begin(), Plan::Axis{sizes[i], source, spectrum});
    source *= i + 1 == sizes.size() ? source_row : sizes[i];
    spectrum *= i + 1 == sizes.size() ? spectrum_row : sizes[i];
  }
  return axes;
}

std::shared_ptr<const Transform> make_with_library(const Plan& plan) {
  switch (library()) {
    case Library::mkl:
      return make_with_mkl(plan);
    case Library::fftw:
      return make_with_fftw(plan);
    case Library::torch:
      break;
  }
  return nullptr;
}

}  // namespace

std::shared_ptr<const Transform> Transform::make(at::IntArrayRef sizes, at::ScalarType dtype) {
  const std::int64_t row = sizes.back();
  return make_with_library(
      {.axes = axes_of(sizes, row, c10::isComplexType(dtype) ? row : row / 2 + 1), .dtype = dtype, .count = 1});
}

std::shared_ptr<const Transform> Transform::make_columns(at::IntArrayRef sizes, at::ScalarType dtype) {
  const std::int64_t row = padded_row(sizes.back(), dtype);
  auto axes = axes_of(sizes, row, row);
  axes.pop_back();
  const Plan plan{.axes = axes, .dtype = dtype, .count = columns_in_block(dtype)};
  const auto wide = uses_wide_transforms() ? make_wide(plan) : nullptr;
  return wide != nullptr ? wide : make_with_library(plan);
}

}  // namespace adjoin::fft
