// SPDX-License-Identifier: BSD-3-Clause
// Projections on the CPU: gathering from the lines of images.

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/parallel_for.hpp"
#include "kernels/parallel_beam/gather_by_permuting.hpp"

namespace adjoin::parallel_beam {

namespace {

/// Line l of an image, seen by a block of rays.
template <class T>
struct Lines {
  const T* rows;
  std::int64_t stride;
  double first;
  double drift;
  T step;
  T slope;
  ADJOIN_INLINE Source<T> operator()(std::int64_t line) const {
    return {rows + line * stride, first + drift * static_cast<double>(line), step, slope};
  }
};

/// Copies image planes into rows of `table`, or its columns; planes beyond `count` stay zero.
template <class T, int planes>
void fill(const T* x, std::int64_t count, Size image, bool columns, Table<T>& table) {
  const std::int64_t lines = columns ? image.width : image.height;
  const std::int64_t length = columns ? image.height : image.width;
  const std::int64_t line_stride = columns ? 1 : image.width;
  const std::int64_t stride = columns ? image.width : 1;
  constexpr std::int64_t block = 16;  // of lines, so that columns are read a cache line at a time
  parallel_for(0, (lines + block - 1) / block, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t plane = 0; plane < count; ++plane) {
      const T* source = x + plane * image.height * image.width;
      for (std::int64_t first = begin * block; first < std::min(lines, end * block); first += block) {
        const std::int64_t last = std::min(lines, first + block);
        if (columns) {
          for (std::int64_t k = 0; k < length; ++k) {
            for (std::int64_t line = first; line < last; ++line) {
              table.row(line)[k * planes + plane] = source[line + k * stride];
            }
          }
        } else {
          for (std::int64_t line = first; line < last; ++line) {
            T* row = table.row(line) + plane;
            for (std::int64_t k = 0; k < length; ++k) {
              row[k * planes] = source[line * line_stride + k];
            }
          }
        }
      }
    }
  });
}

/// The lines [begin, end) that rays at first + drift · line + [0, span] can meet, entries −reach to length − 1 + reach.
std::pair<std::int64_t, std::int64_t> lines_met(double first, double drift, double span, double reach,
                                                std::int64_t length, std::int64_t begin, std::int64_t end) {
  const double low = -reach - span - first;
  const double high = static_cast<double>(length - 1) + reach - first;
  if (std::abs(drift) * static_cast<double>(end) < 1e-6) {
    return low <= 1.0 && high >= -1.0 ? std::pair{begin, end} : std::pair{begin, begin};
  }
  const double from = std::min(low / drift, high / drift);
  const double to = std::max(low / drift, high / drift);
  const auto clamp = [&](double line) {
    return static_cast<std::int64_t>(std::clamp(line, static_cast<double>(begin), static_cast<double>(end)));
  };
  return {clamp(std::floor(from)), clamp(std::ceil(to) + 1.0)};
}

/// Projects up to `planes` images along the views with lines of one kind.
template <class T, int planes>
void project_group(const T* x, std::int64_t count, Size image, bool columns, std::span<const Measured<T>> views) {
  double reach = 0.0;
  std::int64_t blocks = 0;
  for (const auto& measured : views) {
    if (measured.view->columns == columns) {
      reach = std::max(reach, measured.view->width);
      blocks = std::max(blocks, (measured.view->detectors + lanes<planes> - 1) / lanes<planes>);
    }
  }
  if (blocks == 0) {
    return;
  }
  const std::int64_t lines = columns ? image.width : image.height;
  const std::int64_t length = columns ? image.height : image.width;
  Table<T> table(lines, length, taps_for(reach), planes);
  fill<T, planes>(x, count, image, columns, table);
  const Bounds bounds = bounds_of(table);
  const std::int64_t tile =
      std::max<std::int64_t>(16, tile_bytes / (table.stride() * static_cast<std::int64_t>(sizeof(T))));

  const auto project_block = [&](const Measured<T>& measured, std::int64_t ray, std::int64_t begin, std::int64_t end) {
    const View& view = *measured.view;
    const double first = view.offset + view.step * static_cast<double>(ray);
    const auto [from, to] =
        lines_met(first, view.drift, view.step * (lanes<planes> - 1), view.width, length, begin, end);
    const Lines<T> source{table.padded_row(0),
                          table.stride(),
                          first + static_cast<double>(table.padding()),
                          view.drift,
                          static_cast<T>(view.step),
                          static_cast<T>(1.0 / view.width)};
    alignas(64) T sums[lanes<planes> * planes] = {};
    run<T, planes>(source, from, to, bounds, narrow(view.step, bounds.taps), sums);
    const T weight = static_cast<T>(view.weight);
    const std::int64_t rays = std::min<std::int64_t>(lanes<planes>, view.detectors - ray);
    for (std::int64_t lane = 0; lane < rays; ++lane) {
      T* cell = measured.data + (view.reversed ? view.detectors - 1 - ray - lane : ray + lane);
      for (std::int64_t plane = 0; plane < count; ++plane) {
        const T sum = weight * sums[lane * planes + plane];
        T& y = cell[plane * measured.plane_stride];
        y = begin == 0 ? sum : y + sum;
      }
    }
  };

  const auto view_count = static_cast<std::int64_t>(views.size());
  parallel_for(0, view_count * blocks, 16, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t begin = 0; begin < lines; begin += tile) {
      for (std::int64_t i = first; i < last; ++i) {
        const auto& measured = views[static_cast<std::size_t>(i / blocks)];
        const std::int64_t ray = (i % blocks) * lanes<planes>;
        if (measured.view->columns == columns && ray < measured.view->detectors) {
          project_block(measured, ray, begin, std::min(lines, begin + tile));
        }
      }
    }
  });
}

}  // namespace

template <class T>
void project(const T* x, std::int64_t planes, Size image, std::span<const Measured<T>> views) {
  each_group<T>(planes, [&]<int width>(std::int64_t first, std::int64_t count, std::integral_constant<int, width>) {
    const auto moved = from_plane(views, first);
    for (const bool columns : {false, true}) {
      project_group<T, width>(x + first * image.height * image.width, count, image, columns, moved);
    }
  });
}

template void project(const float*, std::int64_t, Size, std::span<const Measured<float>>);
template void project(const double*, std::int64_t, Size, std::span<const Measured<double>>);

}  // namespace adjoin::parallel_beam
