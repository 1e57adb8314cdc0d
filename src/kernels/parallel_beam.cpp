#include "kernels/parallel_beam.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "adjoin/core/simd.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define ADJOIN_AVX512 __attribute__((target("avx512f,avx512dq")))
#define ADJOIN_AVX2 __attribute__((target("avx2,fma")))
#include <immintrin.h>
#endif

namespace adjoin::parallel_beam {

View joseph_view(double angle, Size image, std::int64_t detectors, double spacing, double shift) {
  // With (u, v) to the right and downwards from the centre, cell d sees u cos − v sin = s(d).
  const double cosine = std::cos(angle);
  const double sine = std::sin(angle);
  const bool columns = std::abs(sine) > std::abs(cosine);
  const double along = static_cast<double>((columns ? image.width : image.height) - 1) / 2.0;
  const double across = static_cast<double>((columns ? image.height : image.width) - 1) / 2.0;
  View view{.columns = columns,
            .reversed = false,
            .offset = 0.0,
            .drift = columns ? cosine / sine : sine / cosine,
            .step = columns ? -spacing / sine : spacing / cosine,
            .weight = 1.0 / std::abs(columns ? sine : cosine),
            .width = 1.0,
            .detectors = detectors};
  const auto last = static_cast<double>(detectors - 1);
  view.offset = across - view.drift * along - view.step * (last / 2.0 + shift);
  if (view.step < 0.0) {
    view.reversed = true;
    view.offset += view.step * last;
    view.step = -view.step;
  }
  return view;
}

View interpolating(View view) {
  view.weight = 1.0;
  view.width = view.step;
  return view;
}

namespace {

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
std::int64_t taps_for(double reach) { return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(reach))); }

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

#ifdef ADJOIN_AVX512
/// The same for 16 lanes of one plane that lie within 32 entries, with one tap on each side: the entries are two
/// registers, and picking them is a permutation.
template <class Sources>
ADJOIN_AVX512 void gather_by_16(const Sources& source, std::int64_t begin, std::int64_t end, Bounds bounds,
                                float* sums) {
  // GCC 12 warns of uninitialised values in the forms of these instructions that take no mask.
  constexpr __mmask16 all = 0xFFFF;
  const __m512 lane = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512 one = _mm512_set1_ps(1.0F);
  __m512 left = _mm512_loadu_ps(sums);
  __m512 right = _mm512_setzero_ps();
  const auto high = static_cast<double>(bounds.high);
  for (std::int64_t i = begin; i < end; ++i) {
    const Source<float> s = source(i);
    const double position = std::min(std::max(s.position, 0.0), high);
    const auto base = static_cast<std::int64_t>(position);
    const __m512 rest = _mm512_set1_ps(static_cast<float>(position - static_cast<double>(base)));
    const __m512 at = _mm512_fmadd_ps(_mm512_set1_ps(s.step), lane, rest);
    const __m512i index = _mm512_maskz_cvttps_epi32(all, at);
    const __m512 fraction = _mm512_maskz_reduce_ps(all, at, _MM_FROUND_TO_ZERO);
    const __m512 first = _mm512_loadu_ps(s.row + base);
    const __m512 second = _mm512_loadu_ps(s.row + base + 16);
    const __m512 slope = _mm512_set1_ps(s.slope);
    const __m512 left_weight = _mm512_maskz_max_ps(all, _mm512_setzero_ps(), _mm512_fnmadd_ps(slope, fraction, one));
    const __m512 right_weight =
        _mm512_maskz_max_ps(all, _mm512_setzero_ps(), _mm512_fmadd_ps(slope, fraction, _mm512_sub_ps(one, slope)));
    left = _mm512_fmadd_ps(left_weight, _mm512_permutex2var_ps(first, index, second), left);
    right = _mm512_fmadd_ps(
        right_weight, _mm512_permutex2var_ps(first, _mm512_add_epi32(index, _mm512_set1_epi32(1)), second), right);
  }
  _mm512_storeu_ps(sums, _mm512_add_ps(left, right));
}

/// Entries `index` of the 16 of two registers.
ADJOIN_AVX2 inline __m256 pick(__m256 first, __m256 second, __m256i index) {
  const __m256i in_second = _mm256_slli_epi32(index, 28);  // bit 3 becomes the sign
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(first, index), _mm256_permutevar8x32_ps(second, index),
                          _mm256_castsi256_ps(in_second));
}

/// `sum` and the weighted entries for 8 lanes from `position` on, which lie within 16 entries.
ADJOIN_AVX2 inline __m256 add_8(__m256 sum, const Source<float>& s, double position, double high) {
  const __m256 lane = _mm256_set_ps(7, 6, 5, 4, 3, 2, 1, 0);
  const __m256 one = _mm256_set1_ps(1.0F);
  position = std::min(std::max(position, 0.0), high);
  const auto base = static_cast<std::int64_t>(position);
  const __m256 rest = _mm256_set1_ps(static_cast<float>(position - static_cast<double>(base)));
  const __m256 at = _mm256_fmadd_ps(_mm256_set1_ps(s.step), lane, rest);
  const __m256i index = _mm256_cvttps_epi32(at);
  const __m256 fraction = _mm256_sub_ps(at, _mm256_cvtepi32_ps(index));
  const __m256 first = _mm256_loadu_ps(s.row + base);
  const __m256 second = _mm256_loadu_ps(s.row + base + 8);
  const __m256 slope = _mm256_set1_ps(s.slope);
  const __m256 left = _mm256_max_ps(_mm256_setzero_ps(), _mm256_fnmadd_ps(slope, fraction, one));
  const __m256 right = _mm256_max_ps(_mm256_setzero_ps(), _mm256_fmadd_ps(slope, fraction, _mm256_sub_ps(one, slope)));
  sum = _mm256_fmadd_ps(left, pick(first, second, index), sum);
  return _mm256_fmadd_ps(right, pick(first, second, _mm256_add_epi32(index, _mm256_set1_epi32(1))), sum);
}

/// As gather_by_16 for machines with registers of half the size.
template <class Sources>
ADJOIN_AVX2 void gather_by_8(const Sources& source, std::int64_t begin, std::int64_t end, Bounds bounds, float* sums) {
  __m256 near = _mm256_loadu_ps(sums);
  __m256 far = _mm256_loadu_ps(sums + 8);
  const auto high = static_cast<double>(bounds.high);
  for (std::int64_t i = begin; i < end; ++i) {
    const Source<float> s = source(i);
    near = add_8(near, s, s.position, high);
    far = add_8(far, s, s.position + 8.0 * static_cast<double>(s.step), high);
  }
  _mm256_storeu_ps(sums, near);
  _mm256_storeu_ps(sums + 8, far);
}

bool permutes_by_16() {
  static const bool can = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512dq") != 0;
  return can;
}

bool permutes_by_8() {
  static const bool can = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  return can;
}
#endif

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

#define ADJOIN_DEFINE_KERNEL(T, planes, Sources, name)                                                            \
  ADJOIN_SIMD void name(const Sources<T>& source, std::int64_t begin, std::int64_t end, Bounds bounds, T* sums) { \
    if (bounds.taps == 1) {                                                                                       \
      gather<T, planes, true>(source, begin, end, bounds, sums);                                                  \
    } else {                                                                                                      \
      gather<T, planes, false>(source, begin, end, bounds, sums);                                                 \
    }                                                                                                             \
  }
#define ADJOIN_DEFINE_KERNELS(T, planes, name) \
  ADJOIN_DEFINE_KERNEL(T, planes, Lines, name) \
  ADJOIN_DEFINE_KERNEL(T, planes, Views, name)

ADJOIN_DEFINE_KERNELS(float, 1, gather_one)
ADJOIN_DEFINE_KERNELS(double, 1, gather_one)
ADJOIN_DEFINE_KERNELS(float, group<float>, gather_group)
ADJOIN_DEFINE_KERNELS(double, group<double>, gather_group)
#undef ADJOIN_DEFINE_KERNELS
#undef ADJOIN_DEFINE_KERNEL

/// `narrow`: whether 16 lanes lie within the window, and one tap on each side serves.
template <class T, int planes, class Sources>
void run(const Sources& source, std::int64_t begin, std::int64_t end, Bounds bounds, bool narrow, T* sums) {
#ifdef ADJOIN_AVX512
  if constexpr (planes == 1 && std::is_same_v<T, float>) {
    if (narrow) {
      const auto by_permuting = permutes_by_16() ? gather_by_16<Sources> : gather_by_8<Sources>;
      by_permuting(source, begin, end, bounds, sums);
      return;
    }
  }
#endif
  if constexpr (planes == 1) {
    gather_one(source, begin, end, bounds, sums);
  } else {
    gather_group(source, begin, end, bounds, sums);
  }
}

bool narrow(double step, std::int64_t taps) {
#ifdef ADJOIN_AVX512
  return taps == 1 && 15.0 * step + 2.0 <= static_cast<double>(window) && (permutes_by_16() || permutes_by_8());
#else
  return false;
#endif
}

/// Copies image planes into rows of `table`, or its columns; planes beyond `count` stay zero.
template <class T, int planes>
void fill(const T* x, std::int64_t count, Size image, bool columns, Table<T>& table) {
  const std::int64_t lines = columns ? image.width : image.height;
  const std::int64_t length = columns ? image.height : image.width;
  const std::int64_t line_stride = columns ? 1 : image.width;
  const std::int64_t stride = columns ? image.width : 1;
  constexpr std::int64_t block = 16;  // of lines, so that columns are read a cache line at a time
  at::parallel_for(0, (lines + block - 1) / block, 4, [&](std::int64_t begin, std::int64_t end) {
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
  at::parallel_for(0, view_count * blocks, 16, [&](std::int64_t first, std::int64_t last) {
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
  at::parallel_for(0, lines, 8, [&](std::int64_t begin, std::int64_t end) {
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

template void project(const float*, std::int64_t, Size, std::span<const Measured<float>>);
template void project(const double*, std::int64_t, Size, std::span<const Measured<double>>);
template void backproject(std::span<const Measured<const float>>, float*, std::int64_t, Size);
template void backproject(std::span<const Measured<const double>>, double*, std::int64_t, Size);

}  // namespace adjoin::parallel_beam
