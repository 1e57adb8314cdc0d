// SPDX-License-Identifier: BSD-3-Clause
// Backprojections on the CPU: gathering from the views.

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/parallel_for.hpp"
#include "kernels/parallel_beam/gather_by_permuting.hpp"

namespace adjoin::parallel_beam {

namespace {

/// View v, as its rays r(k) = first + along · l + step · k cross a line, solved for the ray.
struct Crossing {
  double first;
  double along;
  double step;
  double slope;
};

/// View v, seen by a block of pixels from `pixel` on of a line.
template <class T>
struct Views {
  const T* rows;
  std::int64_t stride;
  const Crossing* crossings;
  double line;
  double pixel;
  ADJOIN_INLINE Source<T> operator()(std::int64_t view) const {
    const Crossing& c = crossings[view];
    return {rows + view * stride, c.first + c.along * line + c.step * pixel, static_cast<T>(c.step),
            static_cast<T>(c.slope)};
  }
};

/// Backprojects up to `planes` images along the views with lines of one kind. False when there are none.
template <class T, int planes>
bool backproject_group(std::span<const Measured<const T>> views, T* x, std::int64_t count, Size image, bool columns,
                       bool add) {
  double reach = 0.0;
  double widest = 0.0;
  std::int64_t detectors = 0;
  std::vector<Measured<const T>> used;
  for (const auto& measured : views) {
    if (measured.view->columns == columns) {
      used.push_back(measured);
      reach = std::max(reach, measured.view->width / measured.view->step);
      widest = std::max(widest, 1.0 / measured.view->step);
      detectors = std::max(detectors, measured.view->detectors);
    }
  }
  if (used.empty()) {
    return false;
  }
  const auto view_count = static_cast<std::int64_t>(used.size());
  // Rounding must not let a weight that reaches to the next cell exactly ask for a second tap.
  Table<T> table(view_count, detectors, taps_for(reach * (1.0 - 1e-12)), planes);
  std::vector<Crossing> crossings(used.size());
  for (std::int64_t v = 0; v < view_count; ++v) {
    const auto& [pointer, data, plane_stride] = used[static_cast<std::size_t>(v)];
    const View& view = *pointer;
    crossings[static_cast<std::size_t>(v)] = {static_cast<double>(table.padding()) - view.offset / view.step,
                                              -view.drift / view.step, 1.0 / view.step, view.step / view.width};
    const T weight = static_cast<T>(view.weight);
    for (std::int64_t plane = 0; plane < count; ++plane) {
      const T* cells = data + plane * plane_stride;
      T* row = table.row(v) + plane;
      for (std::int64_t ray = 0; ray < view.detectors; ++ray) {
        row[ray * planes] = weight * cells[view.reversed ? view.detectors - 1 - ray : ray];
      }
    }
  }
  const Bounds bounds = bounds_of(table);
  const bool is_narrow = narrow(widest, bounds.taps);
  const std::int64_t lines = columns ? image.width : image.height;
  const std::int64_t length = columns ? image.height : image.width;
  const std::int64_t line_stride = columns ? 1 : image.width;
  const std::int64_t stride = columns ? image.width : 1;
  parallel_for(0, lines, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t pixel = 0; pixel < length; pixel += lanes<planes>) {
      const std::int64_t pixels = std::min<std::int64_t>(lanes<planes>, length - pixel);
      for (std::int64_t line = begin; line < end; ++line) {
        const Views<T> source{table.padded_row(0), table.stride(), crossings.data(), static_cast<double>(line),
                              static_cast<double>(pixel)};
        alignas(64) T sums[lanes<planes> * planes] = {};
        run<T, planes>(source, 0, view_count, bounds, is_narrow, sums);
        for (std::int64_t plane = 0; plane < count; ++plane) {
          T* target = x + plane * image.height * image.width + line * line_stride + pixel * stride;
          for (std::int64_t lane = 0; lane < pixels; ++lane) {
            T& value = target[lane * stride];
            value = add ? value + sums[lane * planes + plane] : sums[lane * planes + plane];
          }
        }
      }
    }
  });
  return true;
}

}  // namespace

template <class T>
void backproject(std::span<const Measured<const T>> views, T* x, std::int64_t planes, Size image) {
  each_group<T>(planes, [&]<int width>(std::int64_t first, std::int64_t count, std::integral_constant<int, width>) {
    const auto moved = from_plane(views, first);
    T* target = x + first * image.height * image.width;
    bool written = false;
    for (const bool columns : {false, true}) {
      written = backproject_group<T, width>(moved, target, count, image, columns, written) || written;
    }
    if (!written) {
      std::fill_n(target, count * image.height * image.width, T{0});
    }
  });
}

template void backproject(std::span<const Measured<const float>>, float*, std::int64_t, Size);
template void backproject(std::span<const Measured<const double>>, double*, std::int64_t, Size);

}  // namespace adjoin::parallel_beam
