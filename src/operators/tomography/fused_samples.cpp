// SPDX-License-Identifier: BSD-3-Clause
// Projections of images of one size, sampled by several operators.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "adjoin/physics/fused_of.hpp"
#include "core/parallel_for.hpp"
#include "kernels/arrays.hpp"
#include "operators/tomography/sample_plan.hpp"

namespace adjoin {

using kernels::with_precision_of;

/// Each image gets a border, and loses it, once for all.
class FusedSamples final : public FusedOf<SampledProjection> {
 public:
  using FusedOf::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& out) const override {
    const auto shared = takes(x) ? plans_for(x) : nullptr;
    if (shared == nullptr || x.dim() != 4 || x.size(2) != image()[0] || x.size(3) != image()[1]) {
      return {};
    }
    const Plans& plans = *shared;
    const at::Tensor source = kernels::plain(x);
    TensorList y;
    for (const auto& plan : plans) {
      y.push_back(fit_or_empty(out, y.size(), plan->result_sizes(x, Plan::Direction::project), x.options()));
    }
    with_precision_of(x.scalar_type(), [&]<class T>(T) {
      for_images<T>(plans, x, [&](std::int64_t i, T* bordered, T* room) {
        plans[0]->add_border(static_cast<const T*>(source.const_data_ptr()) + i * image()[0] * image()[1], bordered);
        for (std::size_t k = 0; k < plans.size(); ++k) {
          plans[k]->project(bordered, room,
                            static_cast<T*>(y[k].data_ptr()) + i * plans[k]->lines() * plans[k]->views());
        }
      });
    });
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    const auto shared = takes(y) ? plans_for(y[0]) : nullptr;
    if (shared == nullptr) {
      return {};
    }
    const Plans& plans = *shared;
    TensorList sources;
    for (std::size_t k = 0; k < y.size(); ++k) {
      if (y[k].dim() != 4 || y[k].size(0) != y[0].size(0) || y[k].size(1) != y[0].size(1) ||
          y[k].size(2) != plans[k]->lines() || y[k].size(3) != plans[k]->views() || y[k].dtype() != y[0].dtype() ||
          y[k].device() != y[0].device()) {
        return {};
      }
      sources.push_back(kernels::plain(y[k]));
    }
    at::Tensor x = fit_or_empty(out, plans[0]->result_sizes(y[0], Plan::Direction::backproject), y[0].options());
    with_precision_of(x.scalar_type(), [&]<class T>(T) {
      for_images<T>(plans, x, [&](std::int64_t i, T* bordered, T* room) {
        std::fill_n(bordered, sampled_lines::bordered_size(plans[0]->frame()), T(0));
        for (std::size_t k = 0; k < plans.size(); ++k) {
          plans[k]->backproject(
              static_cast<const T*>(sources[k].const_data_ptr()) + i * plans[k]->lines() * plans[k]->views(), room,
              bordered);
        }
        plans[0]->drop_border(bordered, static_cast<T*>(x.data_ptr()) + i * image()[0] * image()[1]);
      });
    });
    return x;
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    const TensorList y = A(x, {});
    return y.empty() ? at::Tensor() : A_adjoint(y, out);
  }

 private:
  using Plan = SampledProjection::Plan;
  using Plans = std::vector<std::shared_ptr<const Plan>>;

  std::array<std::int64_t, 2> image() const { return (*this)[0].image_size_; }

  /// Null where the kernels do not serve such tensors, or where the operators' weights differ.
  std::shared_ptr<const Plans> plans_for(const at::Tensor& tensor) const {
    if (!Plan::has_kernels(tensor)) {
      return nullptr;
    }
    return plans_.get(version(), tensor.scalar_type(), [&]() -> std::shared_ptr<const Plans> {
      const at::Tensor& weights = (*this)[0].options_.weights;
      auto plans = std::make_shared<Plans>();
      for (const auto& op : operators()) {
        const at::Tensor& own = op->options_.weights;
        if (own.defined() != weights.defined() || (own.defined() && !own.equal(weights))) {
          return nullptr;
        }
        plans->push_back(op->plan(tensor));
      }
      return plans;
    });
  }

  /// Calls f(i, bordered, room) for image i of a batch like `images`.
  template <class T, class F>
  void for_images(const Plans& plans, const at::Tensor& images, const F& f) const {
    std::int64_t lines = 0;
    for (const auto& plan : plans) {
      lines = std::max(lines, plan->lines());
    }
    parallel_for(0, images.size(0) * images.size(1), 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<T> bordered(static_cast<std::size_t>(sampled_lines::bordered_size(plans[0]->frame())));
      std::vector<T> room(static_cast<std::size_t>(lines));
      for (std::int64_t i = begin; i < end; ++i) {
        f(i, bordered.data(), room.data());
      }
    });
  }

  Derived<Plans, at::ScalarType> plans_;
};

std::unique_ptr<FusedStack> SampledProjection::fuse(
    std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto all = all_of_class<SampledProjection>(operators);
  const auto alike = [&](const auto& one) { return one->image_size_ == image_size_; };
  return all.empty() || !std::ranges::all_of(all, alike) ? nullptr : std::make_unique<FusedSamples>(std::move(all));
}

}  // namespace adjoin
