// The samples of several operators on one image as those of one trajectory.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"
#include "adjoin/physics/fused_of.hpp"
#include "operators/nufft/toeplitz.hpp"
#include "operators/nufft/transforms.hpp"

namespace adjoin {

class FusedSums final : public FusedOf<NonuniformFourier> {
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
      return joint == nullptr ? at::Tensor() : joint->whole->A_adjoint(united(y));
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
    std::shared_ptr<const NonuniformFourier> whole;
    std::vector<std::int64_t> counts;  // samples of each operator
    std::vector<std::vector<std::int64_t>> sizes;

    TensorList parted(const at::Tensor& y) const {
      TensorList parts;
      const auto flat = y.split_with_sizes(counts, -1);
      for (std::size_t i = 0; i < flat.size(); ++i) {
        parts.push_back(flat[i].unflatten(-1, sizes[i]));
      }
      return parts;
    }
  };

  /// Null where trajectories are differentiated.
  std::shared_ptr<const Joint> joint() const {
    return joint_.get(version(), [&]() -> std::shared_ptr<const Joint> {
      const auto joint = std::make_shared<Joint>();
      std::vector<at::Tensor> points;
      for (const auto& one : operators()) {
        const at::Tensor& trajectory = one->trajectory();
        if (is_differentiated(trajectory)) {
          return nullptr;
        }
        points.push_back(trajectory.flatten(0, -2).to(at::kDouble));
        joint->counts.push_back(points.back().size(0));
        joint->sizes.push_back(trajectory.sizes().slice(0, trajectory.sizes().size() - 1).vec());
      }
      const NonuniformFourierOptions options{.eps = (*this)[0].eps()};
      joint->whole = std::make_shared<const NonuniformFourier>(at::cat(points), (*this)[0].image_size(), options);
      return joint;
    });
  }

  at::Tensor united(const TensorList& y) const {
    std::vector<at::Tensor> parts;
    for (std::size_t i = 0; i < size(); ++i) {
      (*this)[i].check_measurement(*(*this)[i].transforms_, y[i]);
      check(y[i].scalar_type() == y[0].scalar_type() && y[i].size(0) == y[0].size(0) && y[i].size(1) == y[0].size(1),
            "NonuniformFourier: y must be of one image");
      parts.push_back(y[i].flatten(2));
    }
    return parts.size() == 1 ? parts[0] : at::cat(parts, -1);
  }

  Derived<Joint> joint_;
};

std::unique_ptr<FusedStack> NonuniformFourier::fuse(
    std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto sums = all_of_class<NonuniformFourier>(operators);
  const auto alike = [&](const auto& one) { return one->image_size_ == image_size_ && one->eps_ == eps_; };
  return sums.empty() || !std::ranges::all_of(sums, alike) ? nullptr : std::make_unique<FusedSums>(std::move(sums));
}

}  // namespace adjoin
