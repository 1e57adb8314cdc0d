// SPDX-License-Identifier: BSD-3-Clause
// Projections of images along parallel rays, and their adjoints: the computations behind Tomography.
//
// Seen along its dominant axis, a view is a family of rays that cross the lines of an image (its rows, or its columns)
// at positions which are affine in the line and in the ray. Projecting gathers from the lines at those positions;
// solving for the ray turns backprojecting into the same gathering, from the views. So one kernel does both, free of
// races, and both use the weights weight · max(0, 1 − |k − p| / width) of pixel k and ray position p.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace adjoin::parallel_beam {

/// One angle. Ray r crosses line l at position offset + drift · l + step · r, step > 0.
struct View {
  /// The lines are the columns of the image, not its rows.
  bool columns;
  /// Ray r is the detector's cell detectors − 1 − r, not r.
  bool reversed;
  double offset;
  double drift;
  double step;
  double weight;
  double width;
  std::int64_t detectors;
};

struct Size {
  std::int64_t height;
  std::int64_t width;
  bool operator==(const Size&) const = default;
};

/// The line integrals that cell d of the detector, at (d − (detectors − 1) / 2 − shift) · spacing from the centre of
/// the image, sees at `angle` (radians), by Joseph's method: linear interpolation in each line.
View joseph_view(double angle, Size image, std::int64_t detectors, double spacing, double shift);
/// The same rays with the weights of linear interpolation between the cells of the detector: backprojection smears each
/// cell over the image without the ripple of the transposed line integrals.
View interpolating(View view);

/// Measurements of one view: cell d of plane p is data[p · plane_stride + d].
template <class T>
struct Measured {
  const View* view;
  T* data;
  std::int64_t plane_stride;
};

/// Projects images x, contiguous (planes, height, width), writing all cells of all views.
template <class T>
void project(const T* x, std::int64_t planes, Size image, std::span<const Measured<T>> views);
/// The adjoint, summed over the views and written to x.
template <class T>
void backproject(std::span<const Measured<const T>> views, T* x, std::int64_t planes, Size image);

/// Whether there are kernels for a GPU and dtype, which are compiled at the first question.
bool has_gpu_kernels(at::Device device, at::ScalarType dtype);
/// The same on such a GPU, in the order of its current stream; x is contiguous, (…, height, width), and there, as the
/// measurements are.
template <class T>
void project_on_gpu(const at::Tensor& x, Size image, std::span<const Measured<T>> views);
template <class T>
void backproject_on_gpu(std::span<const Measured<const T>> views, const at::Tensor& x, Size image);

/// The same as tensor operations, on any device: x is (planes, height, width), y is (planes, views, detectors), and all
/// views have equally many detectors.
at::Tensor project(const at::Tensor& x, std::span<const View> views);
at::Tensor backproject(const at::Tensor& y, std::span<const View> views, Size image);

}  // namespace adjoin::parallel_beam
