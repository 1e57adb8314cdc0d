// SPDX-License-Identifier: BSD-3-Clause
// Bilinear samples of a bordered image summed along lines, and spread back.
#include "kernels/sampled_lines.hpp"

#include <algorithm>
#include <array>

#include "adjoin/core/simd.hpp"

namespace adjoin::sampled_lines {

namespace {

constexpr int block = 32;

/// Where samples lie in a bordered image: the upper left of the four pixels around each, and the distance from it.
template <class T>
struct Places {
  std::array<std::int32_t, block> index;
  std::array<T, block> right;
  std::array<T, block> down;
};

/// The affine map from coordinates to a bordered image, whose border is one pixel on the left and above, and two on the
/// right and below.
template <class T>
struct Affine {
  T scale_x;
  T scale_y;
  T offset_x;
  T offset_y;
  T last_x;
  T last_y;
  std::int32_t row;

  explicit Affine(const Frame& frame)
      : scale_x(static_cast<T>(frame.scale_x)),
        scale_y(static_cast<T>(frame.scale_y)),
        offset_x(static_cast<T>(frame.offset_x - 1.0)),
        offset_y(static_cast<T>(frame.offset_y - 1.0)),
        last_x(static_cast<T>(frame.width + 1)),
        last_y(static_cast<T>(frame.height + 1)),
        row(static_cast<std::int32_t>(frame.width + 3)) {}
};

/// Samples outside the image land in the border, between zeros.
template <class T>
ADJOIN_INLINE void locate(const Affine<T>& map, const T* grid, int count, Places<T>& places) {
  for (int k = 0; k < count; ++k) {
    T x = (grid[2 * k] + T(1)) * map.scale_x - map.offset_x;
    T y = (grid[2 * k + 1] + T(1)) * map.scale_y - map.offset_y;
    x = x > T(0) ? x : T(0);
    y = y > T(0) ? y : T(0);
    x = x < map.last_x ? x : map.last_x;
    y = y < map.last_y ? y : map.last_y;
    const auto column = static_cast<std::int32_t>(x);
    const auto line = static_cast<std::int32_t>(y);
    places.index[k] = line * map.row + column;
    places.right[k] = x - static_cast<T>(column);
    places.down[k] = y - static_cast<T>(line);
  }
}

template <class T>
ADJOIN_INLINE void add_samples(const Affine<T>& map, const T* bordered, const T* grid, int count, T* sums) {
  Places<T> places;
  locate(map, grid, count, places);
  const T* below = bordered + map.row;
  for (int k = 0; k < count; ++k) {
    const std::int32_t i = places.index[k];
    const T right = places.right[k];
    const T upper = bordered[i] + right * (bordered[i + 1] - bordered[i]);
    const T lower = below[i] + right * (below[i + 1] - below[i]);
    sums[k] += upper + places.down[k] * (lower - upper);
  }
}

template <class T>
ADJOIN_INLINE void spread_samples(const Affine<T>& map, const T* values, const T* grid, int count, T* bordered) {
  Places<T> places;
  locate(map, grid, count, places);
  T* below = bordered + map.row;
  for (int k = 0; k < count; ++k) {
    const std::int32_t i = places.index[k];
    const T lower = places.down[k] * values[k];
    const T upper = values[k] - lower;
    const T upper_right = places.right[k] * upper;
    const T lower_right = places.right[k] * lower;
    bordered[i] += upper - upper_right;
    bordered[i + 1] += upper_right;
    below[i] += lower - lower_right;
    below[i + 1] += lower_right;
  }
}

template <class T>
ADJOIN_INLINE void sum_lines(const Affine<T>& map, const T* bordered, const View<T>& view, T* sums) {
  std::fill_n(sums, view.lines, T(0));
  for (std::int64_t s = 0; s < view.samples; ++s) {
    const auto [first, end] = view.ranges[s];
    const T* grid = view.grid + s * view.sample_stride;
    std::int32_t l = first;
    for (; l + block <= end; l += block) {
      add_samples(map, bordered, grid + 2 * l, block, sums + l);
    }
    add_samples(map, bordered, grid + 2 * l, end - l, sums + l);
  }
}

template <class T>
ADJOIN_INLINE void spread_lines(const Affine<T>& map, const T* values, const View<T>& view, T* bordered) {
  for (std::int64_t s = 0; s < view.samples; ++s) {
    const auto [first, end] = view.ranges[s];
    const T* grid = view.grid + s * view.sample_stride;
    for (std::int32_t l = first; l < end; l += block) {
      spread_samples(map, values + l, grid + 2 * l, std::min(block, end - l), bordered);
    }
  }
}

}  // namespace

template <class T>
void find_ranges(const Frame& frame, const View<T>& view, Range* ranges) {
  const Affine<T> map(frame);
  for (std::int64_t s = 0; s < view.samples; ++s) {
    const T* grid = view.grid + s * view.sample_stride;
    Range range{0, 0};
    for (std::int32_t l = 0; l < static_cast<std::int32_t>(view.lines); ++l) {
      const T x = (grid[2 * l] + T(1)) * map.scale_x - map.offset_x;
      const T y = (grid[2 * l + 1] + T(1)) * map.scale_y - map.offset_y;
      if (x > T(0) && x < map.last_x && y > T(0) && y < map.last_y) {
        range.first = range.end == 0 ? l : range.first;
        range.end = l + 1;
      }
    }
    ranges[s] = range;
  }
}

template <class T>
void add_border(const Frame& frame, const T* image, const T* weights, T* bordered) {
  const std::int64_t row = frame.width + 3;
  std::fill_n(bordered, row, T(0));
  for (std::int64_t i = 0; i < frame.height; ++i) {
    T* to = bordered + (i + 1) * row;
    const T* from = image + i * frame.width;
    to[0] = to[row - 2] = to[row - 1] = T(0);
    if (weights == nullptr) {
      std::copy_n(from, frame.width, to + 1);
    } else {
      for (std::int64_t j = 0; j < frame.width; ++j) {
        to[j + 1] = from[j] * weights[i * frame.width + j];
      }
    }
  }
  std::fill_n(bordered + (frame.height + 1) * row, 2 * row, T(0));
}

template <class T>
void drop_border(const Frame& frame, const T* bordered, const T* weights, T* image) {
  for (std::int64_t i = 0; i < frame.height; ++i) {
    const T* from = bordered + (i + 1) * (frame.width + 3) + 1;
    T* to = image + i * frame.width;
    for (std::int64_t j = 0; j < frame.width; ++j) {
      to[j] = weights == nullptr ? from[j] : from[j] * weights[i * frame.width + j];
    }
  }
}

template <class T>
void project(const Frame& frame, const T* bordered, const View<T>& view, T factor, T* room, T* y, std::int64_t stride) {
  vectorised<sum_lines<T>>(Affine<T>(frame), bordered, view, room);
  for (std::int64_t l = 0; l < view.lines; ++l) {
    y[l * stride] = factor * room[l];
  }
}

template <class T>
void backproject(const Frame& frame, const T* y, std::int64_t stride, const View<T>& view, T factor, T* room,
                 T* bordered) {
  for (std::int64_t l = 0; l < view.lines; ++l) {
    room[l] = factor * y[l * stride];
  }
  vectorised<spread_lines<T>>(Affine<T>(frame), static_cast<const T*>(room), view, bordered);
}

template void find_ranges(const Frame&, const View<float>&, Range*);
template void find_ranges(const Frame&, const View<double>&, Range*);
template void add_border(const Frame&, const float*, const float*, float*);
template void add_border(const Frame&, const double*, const double*, double*);
template void drop_border(const Frame&, const float*, const float*, float*);
template void drop_border(const Frame&, const double*, const double*, double*);
template void project(const Frame&, const float*, const View<float>&, float, float*, float*, std::int64_t);
template void project(const Frame&, const double*, const View<double>&, double, double*, double*, std::int64_t);
template void backproject(const Frame&, const float*, std::int64_t, const View<float>&, float, float*, float*);
template void backproject(const Frame&, const double*, std::int64_t, const View<double>&, double, double*, double*);

}  // namespace adjoin::sampled_lines
