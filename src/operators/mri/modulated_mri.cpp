// SPDX-License-Identifier: BSD-3-Clause
// Factors of time and space whose products add up to the modulation, each with an operator of its own.
#include "adjoin/operators/mri/modulated_mri.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/channel_mixing.hpp"
#include "adjoin/operators/diagonal.hpp"

namespace adjoin {

namespace {

constexpr std::int64_t most_segments = 128;

/// e^{−2πi a b} for all pairs of a and b.
at::Tensor phases(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor angle = at::outer(a, b) * (-2.0 * std::numbers::pi);
  return at::polar(at::ones_like(angle), angle);
}

/// Numbers from the least to the largest of those given, evenly spread; one where they are all equal.
at::Tensor spread(const at::Tensor& values, std::int64_t count) {
  const at::Scalar least = values.min().item();
  const at::Scalar most = values.max().item();
  return least.toDouble() == most.toDouble() ? at::full({1}, least, values.options())
                                             : at::linspace(least, most, count, values.options());
}

/// Factors e^{−2πi f τ} (segments, image) and b (segments, times), whose products add up to e^{−2πi f t}.
std::pair<at::Tensor, at::Tensor> segments_of(const at::Tensor& field_map, const at::Tensor& times, double accuracy) {
  const at::Tensor f = field_map.flatten();
  const at::Tensor t = times.flatten();
  constexpr std::int64_t samples = 512;
  const at::Tensor some_f = spread(f, samples);
  const at::Tensor some_t = spread(t, samples);
  const at::Tensor wanted = phases(some_f, some_t);
  for (std::int64_t count = 1; count <= most_segments; ++count) {
    const at::Tensor centres = count == 1 ? (t.min() + t.max()).reshape({1}) / 2
                                          : at::linspace(t.min().item(), t.max().item(), count, t.options());
    const at::Tensor by_segment = phases(some_f, centres);
    const at::Tensor inverse = at::linalg_pinv(by_segment, 1e-10);
    const at::Tensor error = at::matmul(by_segment, at::matmul(inverse, wanted)) - wanted;
    if (error.abs().max().item<double>() <= accuracy) {
      const at::Tensor b = at::matmul(inverse, phases(some_f, t));
      std::vector<std::int64_t> image = field_map.sizes().vec();
      std::vector<std::int64_t> shape = times.sizes().vec();
      image.insert(image.begin(), count);
      shape.insert(shape.begin(), count);
      return {phases(centres, f).view(image), b.view(shape)};
    }
  }
  check(false, "off_resonance_mri: field_map and times differ by up to ",
        ((f.max() - f.min()) * (t.max() - t.min())).item<double>(), " turns, which needs over ", most_segments,
        " segments for an accuracy of ", accuracy);
  return {};
}

}  // namespace

LinearPhysicsPtr off_resonance_mri(const at::Tensor& trajectory, const at::Tensor& coil_maps,
                                   const at::Tensor& field_map, const at::Tensor& times, double accuracy,
                                   const NonCartesianMRIOptions& options) {
  constexpr const char* name = "off_resonance_mri";
  const auto plain = std::make_shared<NonCartesianMRI>(trajectory, coil_maps, options);
  const std::vector<std::int64_t> size = plain->image_size();
  check(field_map.defined() && field_map.is_floating_point() && field_map.sizes() == at::IntArrayRef(size), name,
        ": field_map must be real ", at::IntArrayRef(size), ", got ",
        field_map.defined() ? c10::str(field_map.scalar_type(), " ", field_map.sizes()) : "an undefined tensor");
  check(times.defined() && times.is_floating_point() && times.numel() > 0, name, ": times must be real, got ",
        times.defined() ? c10::str(times.scalar_type(), " ", times.sizes()) : "an undefined tensor");
  std::vector<std::int64_t> shape = plain->trajectory().sizes().vec();
  shape.pop_back();
  const bool fits = times.dim() <= static_cast<std::int64_t>(shape.size()) &&
                    at::is_expandable_to(times.sizes(), at::IntArrayRef(shape));
  check(fits, name, ": times must broadcast to the samples ", at::IntArrayRef(shape), ", got ", times.sizes());
  check(accuracy > 0.0 && std::isfinite(accuracy), name, ": accuracy must be positive, got ", accuracy);
  const at::Tensor f = field_map.detach().to(at::kCPU, at::kDouble);
  const at::Tensor t = times.detach().to(at::kCPU, at::kDouble);
  check(at::isfinite(f).all().item<bool>() && at::isfinite(t).all().item<bool>(), name,
        ": field_map and times must be finite");
  const auto [by_pixel, by_time] = segments_of(f, t, accuracy);
  const at::Tensor maps = plain->coil_maps();
  LinearPhysicsPtr total;
  for (std::int64_t segment = 0; segment < by_pixel.size(0); ++segment) {
    const auto transform =
        std::make_shared<NonCartesianMRI>(trajectory, maps * by_pixel[segment].to(maps.scalar_type()), options);
    const auto weights = std::make_shared<Diagonal>(by_time[segment].to(maps.scalar_type()));
    const LinearPhysicsPtr term = compose(weights, transform);
    total = total ? sum(total, term) : term;
  }
  return total;
}

LinearPhysicsPtr subspace_mri(const at::Tensor& trajectory, const at::Tensor& coil_maps, const at::Tensor& basis,
                              const NonCartesianMRIOptions& options) {
  const auto transform = std::make_shared<NonCartesianMRI>(trajectory, coil_maps, options);
  const std::int64_t axes = trajectory.dim();
  check(axes >= 2 && basis.defined() && (basis.is_floating_point() || basis.is_complex()) && basis.dim() == 2 &&
            basis.size(0) == trajectory.size(0) && basis.size(1) > 0,
        "subspace_mri: basis must be (shots, K) with ", trajectory.size(0), " shots, got ",
        basis.defined() ? c10::str(basis.scalar_type(), " ", basis.sizes()) : "an undefined tensor");
  const std::int64_t images = basis.size(1);
  LinearPhysicsPtr total;
  for (std::int64_t k = 0; k < images; ++k) {
    at::Tensor factors = basis.select(1, k);
    for (std::int64_t axis = 1; axis + 1 < axes; ++axis) {
      factors = factors.unsqueeze(-1);
    }
    const at::Tensor choice = at::zeros({1, images}, at::kFloat);
    choice.select(1, k).fill_(1);
    const LinearPhysicsPtr image = std::make_shared<ChannelMixing>(choice);
    const LinearPhysicsPtr term = compose(std::make_shared<Diagonal>(factors), compose(transform, image));
    total = total ? sum(total, term) : term;
  }
  return total;
}

}  // namespace adjoin
