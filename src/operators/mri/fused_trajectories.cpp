// SPDX-License-Identifier: BSD-3-Clause
// Coils along one trajectory, or trajectories with common coils, as one operator.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
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

  // Numbers are factors of the coil maps, or of the samples: their normal operator is a convolution as well.
  at::Tensor A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                  const at::Tensor& out) const override {
    std::vector<double> roots = y.empty() ? numbers_of(weights) : std::vector<double>();
    const bool have_roots = std::ranges::all_of(roots, [](double w) { return w >= 0.0 && std::isfinite(w); });
    if (roots.empty() || !have_roots || !takes(x)) {
      return FusedAsOne::A_adjoint_W_residual(x, y, weights, out);
    }
    std::ranges::transform(roots, roots.begin(), [](double w) { return std::sqrt(w); });
    return unless_refused([&] {
      const auto all = weighted_.get(version(), roots, [&] { return unite(roots); });
      return all == nullptr ? at::Tensor() : all->whole->A_adjoint_A(x);
    });
  }

 private:
  std::shared_ptr<const Union<NonCartesianMRI>> unite() const override {
    return unite(std::vector<double>(size(), 1.0));
  }

  /// Each operator times a factor.
  std::shared_ptr<const Union<NonCartesianMRI>> unite(const std::vector<double>& factors) const {
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
      return of_coils(factors);
    }
    const bool one_set_of_coils =
        all([&](const NonCartesianMRI& one) { return are_equal(one.coil_maps(), first.coil_maps()); });
    return one_set_of_coils ? of_samples(factors) : nullptr;
  }

  std::shared_ptr<const Union<NonCartesianMRI>> of_coils(const std::vector<double>& factors) const {
    const NonCartesianMRI& first = (*this)[0];
    const auto axis = -static_cast<std::int64_t>(samples_of(first).size()) - 1;
    const auto result =
        std::make_shared<Union<NonCartesianMRI>>(Union<NonCartesianMRI>{.whole = nullptr, .axis = axis});
    std::vector<at::Tensor> maps;
    for (std::size_t i = 0; i < size(); ++i) {
      const at::Tensor own = (*this)[i].coil_maps();
      maps.push_back(factors[i] == 1.0 ? own : own * factors[i]);
      result->counts.push_back(own.size(1));
    }
    result->whole = std::make_shared<const NonCartesianMRI>(
        first.trajectory(), at::cat(maps, 1),
        NonCartesianMRIOptions{
            .eps = first.eps(), .weights = first.weights(), .normal_spectrum = first.given_spectrum()});
    return result;
  }

  std::shared_ptr<const Union<NonCartesianMRI>> of_samples(const std::vector<double>& factors) const {
    const auto result = std::make_shared<Union<NonCartesianMRI>>();
    std::vector<at::Tensor> points;
    std::vector<at::Tensor> weights;
    for (std::size_t i = 0; i < size(); ++i) {
      const NonCartesianMRI& one = (*this)[i];
      points.push_back(one.trajectory().flatten(0, -2).to(at::kDouble));
      result->counts.push_back(points.back().size(0));
      result->samples.push_back(samples_of(one));
      const at::Tensor own = one.weights().defined() ? one.weights().to(at::kDouble) : at::ones({}, at::kDouble);
      weights.push_back((factors[i] * own).expand(result->samples.back()).flatten());
    }
    const bool weighed = std::ranges::any_of(operators(), [](const auto& one) { return one->weights().defined(); }) ||
                         std::ranges::any_of(factors, [](double factor) { return factor != 1.0; });
    const NonCartesianMRI& first = (*this)[0];
    result->whole = std::make_shared<const NonCartesianMRI>(
        at::cat(points), first.coil_maps(),
        NonCartesianMRIOptions{.eps = first.eps(), .weights = weighed ? at::cat(weights) : at::Tensor()});
    return result;
  }

  Derived<Union<NonCartesianMRI>, std::vector<double>> weighted_;  // by the roots of the weights
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
