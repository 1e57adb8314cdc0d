// Coils along one trajectory, or trajectories with common coils, as one operator.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/physics/fused_of.hpp"
#include "operators/nufft/toeplitz.hpp"
#include "operators/nufft/transforms.hpp"

namespace adjoin {

namespace {

/// (b, N, image) of maps whose leading axes may be left out, for images of so many axes.
at::Tensor with_leading_axes(at::Tensor maps, std::size_t axes) {
  while (maps.sizes().size() < axes + 2) {
    maps = maps.unsqueeze(0);
  }
  return maps;
}

bool are_equal(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) {
    return a.defined() == b.defined();
  }
  return a.is_same(b) || (a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && at::equal(a, b));
}

}  // namespace

class FusedTrajectories final : public FusedOf<NonCartesianMRI> {
 public:
  using FusedOf::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& /*out*/) const override {
    if (!takes(x)) {
      return {};
    }
    return unless_refused([&]() -> TensorList {
      const auto joint = this->joint();
      return joint == nullptr ? TensorList() : joint->parted(joint->whole->A(x));
    });
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& /*out*/) const override {
    if (!takes(y)) {
      return {};
    }
    return unless_refused([&]() -> at::Tensor {
      const auto joint = this->joint();
      return joint == nullptr ? at::Tensor() : joint->whole->A_adjoint(united(*joint, y));
    });
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& /*out*/) const override {
    if (!takes(x)) {
      return {};
    }
    return unless_refused([&]() -> at::Tensor {
      const auto joint = this->joint();
      return joint == nullptr ? at::Tensor() : joint->whole->A_adjoint_A(x);
    });
  }

 private:
  struct Joint {
    std::shared_ptr<const NonCartesianMRI> whole;
    bool by_coils = false;
    std::vector<std::int64_t> counts;              // coils or samples of each operator
    std::vector<std::vector<std::int64_t>> sizes;  // of samples

    TensorList parted(const at::Tensor& y) const {
      const std::int64_t axis = by_coils ? -static_cast<std::int64_t>(sizes[0].size()) - 1 : -1;
      const auto parts = y.split_with_sizes(counts, axis);
      if (by_coils) {
        return TensorList(parts);
      }
      TensorList result;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        result.push_back(parts[i].unflatten(-1, sizes[i]));
      }
      return result;
    }
  };

  /// Null where the operators share neither trajectory nor maps, or are differentiated.
  std::shared_ptr<const Joint> joint() const {
    return joint_.get(version(), [&] { return unite(); });
  }

  std::shared_ptr<const Joint> unite() const {
    const NonCartesianMRI& first = (*this)[0];
    const auto all = [&](const auto& holds) { return std::ranges::all_of(operators(), holds); };
    const bool fixed = all([](const auto& one) { return !one->is_differentiated(); });
    const bool one_trajectory = all([&](const auto& one) {
      return are_equal(one->trajectory(), first.trajectory()) && are_equal(one->weights(), first.weights()) &&
             maps_of(*one).size(0) == maps_of(first).size(0) &&
             one->coil_maps().scalar_type() == first.coil_maps().scalar_type();
    });
    const bool one_set_of_maps = all([&](const auto& one) { return are_equal(maps_of(*one), maps_of(first)); });
    if (!fixed || !(one_trajectory || one_set_of_maps)) {
      return nullptr;
    }
    const auto joint = std::make_shared<Joint>();
    joint->by_coils = one_trajectory;
    std::vector<at::Tensor> maps;
    std::vector<at::Tensor> points;
    std::vector<at::Tensor> weights;
    const bool weighed = all([](const auto& one) { return !one->weights().defined(); }) == false;
    for (const auto& one : operators()) {
      const at::Tensor& trajectory = one->trajectory();
      maps.push_back(maps_of(*one));
      points.push_back(trajectory.flatten(0, -2).to(at::kDouble));
      joint->sizes.push_back(trajectory.sizes().slice(0, trajectory.sizes().size() - 1).vec());
      joint->counts.push_back(one_trajectory ? maps.back().size(1) : points.back().size(0));
      const at::Tensor own = one->weights().defined() ? one->weights().to(at::kDouble) : at::ones({}, at::kDouble);
      weights.push_back(own.expand(joint->sizes.back()).flatten());
    }
    if (one_trajectory) {
      joint->whole = std::make_shared<const NonCartesianMRI>(
          first.trajectory(), at::cat(maps, 1), NonCartesianMRIOptions{.eps = first.eps(), .weights = first.weights()});
    } else {
      joint->whole = std::make_shared<const NonCartesianMRI>(
          at::cat(points), first.coil_maps(),
          NonCartesianMRIOptions{.eps = first.eps(), .weights = weighed ? at::cat(weights) : at::Tensor()});
    }
    return joint;
  }

  static at::Tensor maps_of(const NonCartesianMRI& one) {
    return with_leading_axes(one.coil_maps(), one.image_size().size());
  }

  at::Tensor united(const Joint& joint, const TensorList& y) const {
    std::vector<at::Tensor> parts;
    for (std::size_t i = 0; i < size(); ++i) {
      (*this)[i].image_like(y[i]);  // throws where y[i] is no measurement
      check(y[i].scalar_type() == y[0].scalar_type() && y[i].size(0) == y[0].size(0),
            "NonCartesianMRI: y must be of one image");
      const auto axes = static_cast<std::int64_t>(joint.sizes[i].size());
      parts.push_back(joint.by_coils ? y[i] : y[i].flatten(-axes, -1));
    }
    return parts.size() == 1 ? parts[0] : at::cat(parts, joint.by_coils ? -axes_of_samples(joint) - 1 : -1);
  }
  static std::int64_t axes_of_samples(const Joint& joint) { return static_cast<std::int64_t>(joint.sizes[0].size()); }

  Derived<Joint> joint_;
};

std::unique_ptr<FusedStack> NonCartesianMRI::fuse(
    std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto parts = all_of_class<NonCartesianMRI>(operators);
  const auto alike = [&](const auto& one) { return one->image_size() == image_size() && one->eps() == eps(); };
  return parts.empty() || !std::ranges::all_of(parts, alike) ? nullptr
                                                             : std::make_unique<FusedTrajectories>(std::move(parts));
}

}  // namespace adjoin
