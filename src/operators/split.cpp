#include "adjoin/operators/split.hpp"

#include <ATen/ATen.h>

#include <memory>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"
#include "adjoin/operators/tomography/tomography.hpp"

namespace adjoin {

std::vector<LinearPhysicsPtr> split(const Tomography& whole, std::int64_t n) {
  const at::Tensor angles = at::tensor(whole.angles(), at::kDouble);
  check(n >= 1 && n <= angles.size(0), "split: n must be between 1 and the number of angles, ", angles.size(0),
        ", got ", n);
  std::vector<LinearPhysicsPtr> parts;
  parts.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    parts.push_back(std::make_shared<Tomography>(angles.slice(0, i, {}, n), whole.image_size(), whole.options()));
  }
  return parts;
}

std::vector<LinearPhysicsPtr> split(const MultiCoilMRI& whole, std::int64_t n) {
  const std::int64_t coils = whole.coil_maps().size(1);
  check(n >= 1 && n <= coils, "split: n must be between 1 and the number of coils, ", coils, ", got ", n);
  std::vector<LinearPhysicsPtr> parts;
  parts.reserve(static_cast<std::size_t>(n));
  for (const at::Tensor& maps : at::tensor_split(whole.coil_maps(), n, 1)) {
    parts.push_back(std::make_shared<MultiCoilMRI>(whole.mask(), maps, whole.options()));
  }
  return parts;
}

SplitBy split_by_from_string(std::string_view name) {
  check(name == "coil" || name == "shot", "by: must be coil or shot, got '", name, "'");
  return name == "coil" ? SplitBy::coil : SplitBy::shot;
}

std::vector<LinearPhysicsPtr> split(const NonuniformFourier& whole, std::int64_t n) {
  const at::Tensor& trajectory = whole.trajectory();
  check(n >= 1 && n <= trajectory.size(0), "split: n must be between 1 and the number of shots, ", trajectory.size(0),
        ", got ", n);
  std::vector<LinearPhysicsPtr> parts;
  parts.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    parts.push_back(std::make_shared<NonuniformFourier>(trajectory.slice(0, i, {}, n), whole.image_size(),
                                                        NonuniformFourierOptions{.eps = whole.eps()}));
  }
  return parts;
}

std::vector<LinearPhysicsPtr> split(const NonCartesianMRI& whole, std::int64_t n, SplitBy by) {
  const at::Tensor& trajectory = whole.trajectory();
  const at::Tensor& maps = whole.coil_maps();
  const auto coil_axis = maps.dim() - static_cast<std::int64_t>(whole.image_size().size()) - 1;
  const std::int64_t count = by == SplitBy::shot ? trajectory.size(0) : coil_axis < 0 ? 1 : maps.size(coil_axis);
  check(n >= 1 && n <= count, "split: n must be between 1 and the number of ", by == SplitBy::shot ? "shots" : "coils",
        ", ", count, ", got ", n);
  at::Tensor weights = whole.weights();
  if (weights.defined() && by == SplitBy::shot) {
    weights = weights.expand(trajectory.sizes().slice(0, trajectory.sizes().size() - 1));
  }
  const std::vector<at::Tensor> coils =
      by == SplitBy::coil && coil_axis >= 0 ? at::tensor_split(maps, n, coil_axis) : std::vector<at::Tensor>{};
  std::vector<LinearPhysicsPtr> parts;
  parts.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    if (by == SplitBy::coil) {
      parts.push_back(
          std::make_shared<NonCartesianMRI>(trajectory, coils.empty() ? maps : coils[static_cast<std::size_t>(i)],
                                            NonCartesianMRIOptions{.eps = whole.eps(), .weights = weights}));
    } else {
      parts.push_back(std::make_shared<NonCartesianMRI>(
          trajectory.slice(0, i, {}, n), maps,
          NonCartesianMRIOptions{.eps = whole.eps(),
                                 .weights = weights.defined() ? weights.slice(0, i, {}, n) : weights}));
    }
  }
  return parts;
}

}  // namespace adjoin
