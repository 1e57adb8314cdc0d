#include "adjoin/operators/split.hpp"

#include <ATen/ATen.h>

#include <memory>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
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

}  // namespace adjoin
