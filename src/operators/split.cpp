// SPDX-License-Identifier: BSD-3-Clause
// Parts of an operator by its angles, coils or shots.
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
  const bool by_coil = by == SplitBy::coil;
  const at::Tensor& trajectory = whole.trajectory();
  const at::Tensor maps = whole.coil_maps();
  const std::int64_t count = by_coil ? maps.size(1) : trajectory.size(0);
  check(n >= 1 && n <= count, "split: n must be between 1 and the number of ", by_coil ? "coils" : "shots", ", ", count,
        ", got ", n);
  at::Tensor weights = whole.weights();
  if (weights.defined() && !by_coil) {
    weights = weights.expand(trajectory.sizes().slice(0, trajectory.sizes().size() - 1));
  }
  const auto shots = [&](const at::Tensor& t, std::int64_t i) { return t.defined() ? t.slice(0, i, {}, n) : t; };
  const std::vector<at::Tensor> coils = at::tensor_split(maps, by_coil ? n : 1, 1);
  std::vector<LinearPhysicsPtr> parts;
  parts.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    parts.push_back(std::make_shared<NonCartesianMRI>(
        by_coil ? trajectory : shots(trajectory, i), coils[by_coil ? static_cast<std::size_t>(i) : 0],
        NonCartesianMRIOptions{.eps = whole.eps(),
                               .weights = by_coil ? weights : shots(weights, i),
                               .normal_spectrum = by_coil ? whole.given_spectrum() : at::Tensor()}));
  }
  return parts;
}

}  // namespace adjoin
