// SPDX-License-Identifier: BSD-3-Clause
// The samples of several operators on one image as those of one trajectory.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "adjoin/operators/nufft/nonuniform_fourier.hpp"
#include "operators/nufft/fused_as_one.hpp"

namespace adjoin {

namespace {

class FusedSums final : public FusedAsOne<NonuniformFourier> {
 public:
  using FusedAsOne::FusedAsOne;

 private:
  std::shared_ptr<const Union<NonuniformFourier>> unite() const override {
    const auto all = std::make_shared<Union<NonuniformFourier>>();
    std::vector<at::Tensor> points;
    for (const auto& one : operators()) {
      const at::Tensor& trajectory = one->trajectory();
      if (one->requires_grad()) {
        return nullptr;
      }
      points.push_back(trajectory.flatten(0, -2).to(at::kDouble));
      all->counts.push_back(points.back().size(0));
      all->samples.push_back(trajectory.sizes().slice(0, trajectory.sizes().size() - 1).vec());
    }
    const NonuniformFourierOptions options{.eps = (*this)[0].eps()};
    all->whole = std::make_shared<const NonuniformFourier>(at::cat(points), (*this)[0].image_size(), options);
    return all;
  }
};

}  // namespace

std::unique_ptr<FusedStack> NonuniformFourier::fuse(
    std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto sums = all_of_class<NonuniformFourier>(operators);
  const auto alike = [&](const auto& one) { return one->image_size_ == image_size_ && one->eps_ == eps_; };
  return sums.empty() || !std::ranges::all_of(sums, alike) ? nullptr : std::make_unique<FusedSums>(std::move(sums));
}

}  // namespace adjoin
