// SPDX-License-Identifier: BSD-3-Clause
// The rays of Tomography at all its angles, and how devices compute with them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "adjoin/operators/tomography/tomography.hpp"
#include "kernels/parallel_beam/parallel_beam.hpp"

namespace adjoin {

namespace tomography {

/// Whether there are kernels for the tensor's device and dtype.
bool has_kernels(const at::Tensor& tensor);

/// Run them on the contiguous image x, and its measurements.
template <class T>
void project(const at::Tensor& x, parallel_beam::Size image, std::span<const parallel_beam::Measured<T>> measured);
template <class T>
void backproject(std::span<const parallel_beam::Measured<const T>> measured, const at::Tensor& x,
                 parallel_beam::Size image);

/// The tensor's sizes with others along the last two axes.
std::vector<std::int64_t> with_last_two(const at::Tensor& tensor, std::int64_t a, std::int64_t b);

/// Appends the views of a contiguous sinogram.
template <class T>
void append_measured(std::span<const parallel_beam::View> views, T* data,
                     std::vector<parallel_beam::Measured<T>>& measured) {
  const auto stride = static_cast<std::int64_t>(views.size()) * views[0].detectors;
  for (const parallel_beam::View& view : views) {
    measured.push_back({&view, data, stride});
    data += view.detectors;
  }
}

}  // namespace tomography

/// A linear map between images and sinograms of one size.
class Tomography::Beam {
 public:
  enum class Direction : std::uint8_t { project, backproject };

  Beam(parallel_beam::Size image, std::vector<parallel_beam::View> views) : image_(image), views_(std::move(views)) {}

  parallel_beam::Size image() const { return image_; }
  std::span<const parallel_beam::View> views() const { return views_; }

  std::vector<std::int64_t> result_sizes(const at::Tensor& input, Direction direction) const;

  /// The projection, or its adjoint, of valid input; recorded by autograd.
  static at::Tensor apply(const std::shared_ptr<const Beam>& beam, const at::Tensor& input, Direction direction);

 private:
  at::Tensor evaluate(const at::Tensor& input, Direction direction) const;

  struct Recorded;
  struct Handle;

  parallel_beam::Size image_;
  std::vector<parallel_beam::View> views_;
};

}  // namespace adjoin
