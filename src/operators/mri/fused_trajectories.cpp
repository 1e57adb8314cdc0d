// Coils along one trajectory, or trajectories with common coils, as one operator.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "operators/nufft/fused_as_one.hpp"

namespace adjoin {

namespace {

std::vector<std::int64_t> samples_of(const NonCartesianMRI& one) {
  return one.trajectory().sizes().slice(0, one.trajectory().sizes().size() - 1).vec();
}

bool are_equal(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) {
    return a.defined() == b.defined();
  }
  return a.is_same(b) || (a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && at::equal(a, b));
}

class FusedTrajectories final : public FusedAsOne<NonCartesianMRI> {
 public:
  using FusedAsOne::FusedAsOne;

 private:
  std::shared_ptr<const Union<NonCartesianMRI>> unite() const override {
    const NonCartesianMRI& first = (*this)[0];
    const auto all = [&](const auto& holds) {
      return std::ranges::all_of(operators(), [&](const auto& one) { return holds(*one); });
    };
    if (!all([](const NonCartesianMRI& one) { return !one.requires_grad(); })) {
      return nullptr;
    }
    const bool one_trajectory = all([&](const NonCartesianMRI& one) {
      return are_equal(one.trajectory(), first.trajectory()) && are_equal(one.weights(), first.weights()) &&
             one.coil_maps().size(0) == first.coil_maps().size(0) &&
             one.coil_maps().scalar_type() == first.coil_maps().scalar_type();
    });
    if (one_trajectory) {
      return of_coils();
    }
    return all([&](const NonCartesianMRI& one) { return are_equal(one.coil_maps(), first.coil_maps()); }) ? of_samples()
                                                                                                          : nullptr;
  }

  std::shared_ptr<const Union<NonCartesianMRI>> of_coils() const {
    const NonCartesianMRI& first = (*this)[0];
    const auto axis = -static_cast<std::int64_t>(samples_of(first).size()) - 1;
    const auto result =
        std::make_shared<Union<NonCartesianMRI>>(Union<NonCartesianMRI>{.whole = nullptr, .axis = axis});
    std::vector<at::Tensor> maps;
    for (const auto& one : operators()) {
      maps.push_back(one->coil_maps());
      result->counts.push_back(maps.back().size(1));
    }
    result->whole = std::make_shared<const NonCartesianMRI>(
        first.trajectory(), at::cat(maps, 1), NonCartesianMRIOptions{.eps = first.eps(), .weights = first.weights()});
    return result;
  }

  std::shared_ptr<const Union<NonCartesianMRI>> of_samples() const {
    const auto result = std::make_shared<Union<NonCartesianMRI>>();
    std::vector<at::Tensor> points;
    std::vector<at::Tensor> weights;
    for (const auto& one : operators()) {
      points.push_back(one->trajectory().flatten(0, -2).to(at::kDouble));
      result->counts.push_back(points.back().size(0));
      result->samples.push_back(samples_of(*one));
      const at::Tensor own = one->weights().defined() ? one->weights().to(at::kDouble) : at::ones({}, at::kDouble);
      weights.push_back(own.expand(result->samples.back()).flatten());
    }
    const bool weighed = std::ranges::any_of(operators(), [](const auto& one) { return one->weights().defined(); });
    const NonCartesianMRI& first = (*this)[0];
    result->whole = std::make_shared<const NonCartesianMRI>(
        at::cat(points), first.coil_maps(),
        NonCartesianMRIOptions{.eps = first.eps(), .weights = weighed ? at::cat(weights) : at::Tensor()});
    return result;
  }
};

}  // namespace

std::unique_ptr<FusedStack> NonCartesianMRI::fuse(
    std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto parts = all_of_class<NonCartesianMRI>(operators);
  const auto alike = [&](const auto& one) { return one->image_size() == image_size() && one->eps() == eps(); };
  return parts.empty() || !std::ranges::all_of(parts, alike) ? nullptr
                                                             : std::make_unique<FusedTrajectories>(std::move(parts));
}

}  // namespace adjoin
