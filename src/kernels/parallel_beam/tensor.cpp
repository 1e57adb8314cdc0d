// SPDX-License-Identifier: BSD-3-Clause
// Projection and backprojection by tensor operations, which run on any device.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "kernels/parallel_beam/parallel_beam.hpp"

namespace adjoin::parallel_beam {

namespace {

/// Entries of the largest intermediate tensor.
constexpr std::int64_t chunk_entries = std::int64_t{1} << 24;

/// A property of the views as (views, 1, 1) in double precision.
template <class Get>
at::Tensor property(std::span<const View> views, at::Device device, const Get& get) {
  std::vector<double> values;
  values.reserve(views.size());
  for (const View& view : views) {
    values.push_back(get(view));
  }
  return at::tensor(values, at::kDouble).view({-1, 1, 1}).to(device);
}

at::Tensor count(std::int64_t n, at::Device device) {
  return at::arange(n, at::TensorOptions(at::kDouble).device(device));
}

/// Σ over `axis` of the entries of tables (planes, rows, length) around `positions` in the given rows, both
/// (views, lines, entries), with weights max(0, 1 − slope · distance).
at::Tensor gather(const at::Tensor& tables, const at::Tensor& rows, const at::Tensor& positions,
                  const at::Tensor& slope, std::int64_t taps, std::int64_t axis) {
  const std::int64_t length = tables.size(2);
  const at::Tensor flat = tables.flatten(1);
  const at::Tensor base = positions.floor();
  at::Tensor sum;
  for (std::int64_t tap = 1 - taps; tap <= taps; ++tap) {
    const at::Tensor entry = base + tap;
    const at::Tensor inside = (entry >= 0) * (entry < length);
    const at::Tensor weight = ((1.0 - slope * (entry - positions).abs()).clamp_min(0.0) * inside).to(tables.dtype());
    const at::Tensor index = (rows * length + entry.clamp(0, length - 1)).to(at::kLong);
    std::vector<std::int64_t> sizes = index.sizes().vec();
    sizes.insert(sizes.begin(), tables.size(0));
    const at::Tensor term = (flat.index_select(1, index.flatten()).view(sizes) * weight).sum(axis + 1);
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

/// Calls f(first, count) for runs of at most so many views that share their lines' direction and order of rays.
template <class F>
void each_run(std::span<const View> views, std::int64_t entries_a_view, const F& f) {
  const auto most =
      static_cast<std::size_t>(std::max<std::int64_t>(1, chunk_entries / std::max<std::int64_t>(1, entries_a_view)));
  std::size_t first = 0;
  while (first < views.size()) {
    std::size_t end = first + 1;
    while (end < views.size() && end - first < most && views[end].columns == views[first].columns &&
           views[end].reversed == views[first].reversed) {
      ++end;
    }
    f(first, end - first);
    first = end;
  }
}

}  // namespace

at::Tensor project(const at::Tensor& x, std::span<const View> views) {
  std::vector<at::Tensor> sinograms;
  each_run(views, x.numel() * views[0].detectors / std::min(x.size(1), x.size(2)),
           [&](std::size_t first, std::size_t n) {
             const auto run = views.subspan(first, n);
             const at::Tensor tables = run[0].columns ? x.transpose(1, 2) : x;
             const auto get = [&](const auto& member) { return property(run, x.device(), member); };
             const at::Tensor lines = count(tables.size(1), x.device()).view({1, -1, 1});
             const at::Tensor rays = count(run[0].detectors, x.device()).view({1, 1, -1});
             const at::Tensor positions = get([](const View& v) { return v.offset; }) +
                                          get([](const View& v) { return v.drift; }) * lines +
                                          get([](const View& v) { return v.step; }) * rays;
             const double reach = std::ranges::max(run, {}, &View::width).width;
             const at::Tensor sums =
                 gather(tables, lines.expand_as(positions), positions, get([](const View& v) { return 1.0 / v.width; }),
                        static_cast<std::int64_t>(std::ceil(reach)), 1);
             const at::Tensor part = sums * get([](const View& v) { return v.weight; }).squeeze(2).to(x.dtype());
             sinograms.push_back(run[0].reversed ? part.flip(2) : part);
           });
  return at::cat(sinograms, 1);
}

at::Tensor backproject(const at::Tensor& y, std::span<const View> views, Size image) {
  at::Tensor sum = at::zeros({y.size(0), image.height, image.width}, y.options());
  each_run(views, sum.numel(), [&](std::size_t first, std::size_t n) {
    const auto run = views.subspan(first, n);
    const auto get = [&](const auto& member) { return property(run, y.device(), member); };
    const at::Tensor measured = y.narrow(1, static_cast<std::int64_t>(first), static_cast<std::int64_t>(n)) *
                                get([](const View& v) { return v.weight; }).squeeze(2).to(y.dtype());
    const at::Tensor lines = count(run[0].columns ? image.width : image.height, y.device()).view({1, -1, 1});
    const at::Tensor pixels = count(run[0].columns ? image.height : image.width, y.device()).view({1, 1, -1});
    const at::Tensor positions =
        (pixels - get([](const View& v) { return v.offset; }) - get([](const View& v) { return v.drift; }) * lines) /
        get([](const View& v) { return v.step; });
    double reach = 0.0;
    for (const View& view : run) {
      reach = std::max(reach, view.width / view.step);
    }
    const at::Tensor rows = count(static_cast<std::int64_t>(n), y.device()).view({-1, 1, 1});
    const at::Tensor part =
        gather(run[0].reversed ? measured.flip(2) : measured, rows.expand_as(positions), positions,
               get([](const View& v) { return v.step / v.width; }), static_cast<std::int64_t>(std::ceil(reach)), 0);
    sum = sum + (run[0].columns ? part.transpose(1, 2) : part);
  });
  return sum;
}

}  // namespace adjoin::parallel_beam
