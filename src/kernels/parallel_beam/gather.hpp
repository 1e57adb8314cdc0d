// SPDX-License-Identifier: BSD-3-Clause
// The one computation behind projections and backprojections on the CPU: weighted entries of rows of numbers are summed
// up at positions that are affine in the row and in the result.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "adjoin/core/simd.hpp"
#include "kernels/parallel_beam/parallel_beam.hpp"

namespace adjoin::parallel_beam {

/// Planes handled at once, innermost in memory: one vector register of the widest machines.
template <class T>
constexpr int group = 64 / sizeof(T);
/// Results computed at once.
template <int planes>
constexpr int lanes = planes == 1 ? 16 : 4;
/// Bytes of lines that projecting reads again and again.
constexpr std::int64_t tile_bytes = std::int64_t{256} << 10;
/// What the vector kernel reads past a position.
constexpr std::int64_t window = 32;

/// Taps on each side of a position when the weights reach `reach` entries far.
inline std::int64_t taps_for(double reach) {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(reach)));
}

/// Rows of numbers, `padding` zeros before and after each.
template <class T>
class Table {
 public:
  Table(std::int64_t rows, std::int64_t length, std::int64_t taps, std::int64_t planes)
      : length_(length),
        padding_(std::max(window, 2 * taps)),
        taps_(taps),
        planes_(planes),
        data_(static_cast<std::size_t>(rows * stride())) {}

  T* row(std::int64_t index) { return data_.data() + index * stride() + padding_ * planes_; }
  const T* padded_row(std::int64_t index) const { return data_.data() + index * stride(); }
  std::int64_t stride() const { return (length_ + 2 * padding_) * planes_; }
  std::int64_t length() const { return length_; }
  std::int64_t padding() const { return padding_; }
  std::int64_t taps() const { return taps_; }

 private:
  std::int64_t length_;
  std::int64_t padding_;
  std::int64_t taps_;
  std::int64_t planes_;
  std::vector<T> data_;
};

/// What a gather reads of one row of a table: entries around position + step · lane, counted from the start of its
/// padding, with weights that fall off with `slope`.
template <class T>
struct Source {
  const T* row;
  double position;
  T step;
  T slope;
};

/// Bounds of positions: beyond them there are only zeros.
struct Bounds {
  std::int64_t low;
  std::int64_t high;
  std::int64_t taps;
};

template <class T>
Bounds bounds_of(const Table<T>& table) {
  return {table.taps() - 1, table.padding() + table.length() + table.taps() - 1, table.taps()};
}

/// Half a group of planes, as a vector that the compiler maps to registers of any size.
template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using Type [[gnu::vector_size(32)]] = float;
};
template <>
struct VectorOf<double> {
  using Type [[gnu::vector_size(32)]] = double;
};

/// sums[lane][plane] += Σ_{i = begin}^{end − 1} of the weighted entries of source(i). Positions are split into an
/// integer and a small remainder, so that single precision suffices for the weights.
template <class T, int planes, bool single_tap, class Sources>
ADJOIN_INLINE void gather(const Sources& source, std::int64_t begin, std::int64_t end, Bounds bounds, T* sums) {
  constexpr int n = lanes<planes>;
  constexpr int parts = planes == 1 ? 1 : 2;
  using Entry = std::conditional_t<planes == 1, T, typename VectorOf<T>::Type>;
  Entry total[n * parts] = {};
  for (std::int64_t i = begin; i < end; ++i) {
    const Source<T> s = source(i);
    const auto base = static_cast<std::int64_t>(s.position);
    const T rest = static_cast<T>(s.position - static_cast<double>(base));
    const T low = static_cast<T>(bounds.low - base);
    const T high = static_cast<T>(bounds.high - base);
    int index[n];
    T left[n];
    T right[n];
    for (int lane = 0; lane < n; ++lane) {
      T at = rest + s.step * static_cast<T>(lane);
      at = at < low ? low : at;
      at = at > high ? high : at;
      index[lane] = static_cast<int>(at);
      const T fraction = at - static_cast<T>(index[lane]);
      left[lane] = T{1} - s.slope * fraction;
      right[lane] = T{1} - s.slope * (T{1} - fraction);
    }
    const T* row = s.row + base * planes;
    for (std::int64_t tap = 0; tap < (single_tap ? 1 : bounds.taps); ++tap) {
      for (int lane = 0; lane < n; ++lane) {
        const T left_weight = left[lane] > T{0} ? left[lane] : T{0};
        const T right_weight = right[lane] > T{0} ? right[lane] : T{0};
        const T* before = row + (index[lane] - tap) * planes;
        const T* after = row + (index[lane] + tap + 1) * planes;
        for (int part = 0; part < parts; ++part) {
          Entry a;
          Entry b;
          std::memcpy(&a, before + part * (planes / parts), sizeof(Entry));
          std::memcpy(&b, after + part * (planes / parts), sizeof(Entry));
          total[lane * parts + part] += left_weight * a + right_weight * b;
        }
      }
      if constexpr (!single_tap) {
        for (int lane = 0; lane < n; ++lane) {
          left[lane] -= s.slope;
          right[lane] -= s.slope;
        }
      }
    }
  }
  T* sum = sums;
  for (const Entry& entry : total) {
    Entry old;
    std::memcpy(&old, sum, sizeof(Entry));
    old += entry;
    std::memcpy(sum, &old, sizeof(Entry));
    sum += planes / parts;
  }
}

/// Calls one(first, count) for runs of planes, those of whole groups with std::true_type.
template <class T, class F>
void each_group(std::int64_t planes, const F& run_group) {
  std::int64_t first = 0;
  while (first < planes) {
    const std::int64_t left = planes - first;
    if (left >= group<T> / 2) {
      run_group(first, std::min<std::int64_t>(left, group<T>), std::integral_constant<int, group<T>>{});
      first += group<T>;
    } else {
      run_group(first, std::int64_t{1}, std::integral_constant<int, 1>{});
      ++first;
    }
  }
}

template <class T>
std::vector<Measured<T>> from_plane(std::span<const Measured<T>> views, std::int64_t plane) {
  std::vector<Measured<T>> moved(views.begin(), views.end());
  for (auto& measured : moved) {
    measured.data += plane * measured.plane_stride;
  }
  return moved;
}

}  // namespace adjoin::parallel_beam
