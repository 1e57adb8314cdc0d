// SPDX-License-Identifier: BSD-3-Clause
// Sums of an image along lines of sample points, by bilinear interpolation, and their adjoint: the computations behind
// SampledProjection.
#pragma once

#include <cstdint>
#include <span>

namespace adjoin::sampled_lines {

/// The image, and how the coordinates of the samples refer to it.
struct Frame {
  std::int64_t height;
  std::int64_t width;
  /// Coordinate c ∈ [−1, 1] is pixel (c + 1) · scale − offset of the image.
  double scale_x;
  double scale_y;
  double offset_x;
  double offset_y;
};

/// The samples that may see the image, of one sample point of all lines of a view.
struct Range {
  std::int32_t first;
  std::int32_t end;
};

/// The lines of one view: sample s of line l is at grid[s · sample_stride + 2 l + {0, 1}] = (x, y).
template <class T>
struct View {
  const T* grid;
  std::int64_t sample_stride;
  std::int64_t samples;
  std::int64_t lines;
  /// One for each sample point.
  const Range* ranges;
};

/// Writes the ranges of a view.
template <class T>
void find_ranges(const Frame& frame, const View<T>& view, Range* ranges);

/// Numbers of an image with the border that the functions below need.
inline std::int64_t bordered_size(const Frame& frame) { return (frame.height + 3) * (frame.width + 3); }
/// bordered = weights · image inside a border of zeros, and the reverse, which drops the border; `weights` may be null.
template <class T>
void add_border(const Frame& frame, const T* image, const T* weights, T* bordered);
template <class T>
void drop_border(const Frame& frame, const T* bordered, const T* weights, T* image);

/// y[l · stride] = factor · Σ_s of the image at sample s of line l, interpolated, zero outside. `room` is for as many
/// numbers as there are lines.
template <class T>
void project(const Frame& frame, const T* bordered, const View<T>& view, T factor, T* room, T* y, std::int64_t stride);
/// Adds the adjoint of that to `bordered`.
template <class T>
void backproject(const Frame& frame, const T* y, std::int64_t stride, const View<T>& view, T factor, T* room,
                 T* bordered);

}  // namespace adjoin::sampled_lines
