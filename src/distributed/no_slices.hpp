// SPDX-License-Identifier: BSD-3-Clause
// An operator on images without slices, which few operators would take: it gives them one, of zeros.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// A slice-local operator on none of the slices along an axis: images and measurements have no elements.
class NoSlices final : public LinearPhysics {
 public:
  NoSlices(LinearPhysicsPtr physics, std::int64_t axis, std::int64_t measurement_axis)
      : physics_(std::move(physics)), axis_(axis), measurement_axis_(measurement_axis) {
    made_of({}, {physics_.get()});
  }
  std::string name() const override { return physics_->name(); }
  ParameterNames parameter_names() const override { return physics_->parameter_names(); }
  std::vector<PhysicsPtr> operands() const override { return {physics_}; }
  at::Tensor image_like(const at::Tensor& y) const override {
    const at::Tensor image = physics_->image_like(one_slice(y, measurement_axis_));
    return image.defined() ? image.narrow(axis_, 0, 0) : image;
  }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override {
    return physics_->A(one_slice(x, axis_), params).narrow(measurement_axis_, 0, 0).clone();
  }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    const at::Tensor image = adjoint_if_known(*physics_, one_slice(y, measurement_axis_), params);
    return image.defined() ? image.narrow(axis_, 0, 0).clone() : image;
  }
  at::Tensor A_adjoint_for_impl(const at::Tensor& y, const at::Tensor& image, const Params& params) const override {
    return physics_->A_adjoint_for(one_slice(y, measurement_axis_), one_slice(image, axis_), params)
        .narrow(axis_, 0, 0)
        .clone();
  }
  void update_impl(const Params& params) override { physics_->update(params); }

 private:
  static at::Tensor one_slice(const at::Tensor& none, std::int64_t axis) {
    std::vector<std::int64_t> sizes = none.sizes().vec();
    sizes[static_cast<std::size_t>(axis)] = 1;
    return at::zeros(sizes, none.options().requires_grad(false));
  }

  LinearPhysicsPtr physics_;
  std::int64_t axis_;
  std::int64_t measurement_axis_;
};

}  // namespace adjoin
