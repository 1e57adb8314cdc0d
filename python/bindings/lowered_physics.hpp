// SPDX-License-Identifier: BSD-3-Clause
// Operators of Python's libraries, for which operators of ours do the work.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adjoin/physics/linear_physics.hpp"
#include "casters.hpp"

namespace adjoin::python {

/// Images, or measurements, as an operator of Python's has them, and as one of ours does.
struct Side {
  /// Sizes behind the batch axis, −1 for any; empty for any tensors at all.
  std::vector<std::int64_t> sizes = {};
  /// The batch has any number of axes, not one.
  bool any_batch = false;
  /// Sizes behind the batch axis of ours, as many elements as `sizes` has; empty for the same.
  std::vector<std::int64_t> view = {};

  bool fits(const at::Tensor& tensor) const;
  /// A tensor of Python's as ours takes it.
  at::Tensor to_ours(const at::Tensor& tensor) const;
  /// A result of ours as Python has it, for an input that was on `other` side.
  at::Tensor from_ours(const at::Tensor& result, const at::Tensor& input, const Side& other) const;
};

/// An operator of ours that computes what one of Python's does, and for which tensors.
struct StandIn {
  /// Null for none: then all is left to Python.
  LinearPhysicsPtr physics = {};
  /// The tensors that the Python operator computes with. Where autograd records one of them, Python does the work.
  std::vector<at::Tensor> sources = {};
  std::vector<at::ScalarType> dtypes = {};
  at::Device device = at::kCPU;
  Side image = {};
  Side measurement = {};
};

/// A Python operator with a stand-in, which may change. Whatever the stand-in does not serve (parameters of a call,
/// other dtypes, devices and sizes, tensors of torch.func, trained parameters, bad input) is done by the Python
/// operator.
class LoweredPhysics : public LinearPhysics {
 public:
  /// `finish`, of noiseless measurements, adds noise and sensor; none where the Python operator has no method forward.
  LoweredPhysics(LinearPhysicsPtr original, Object finish);

  std::string name() const override { return original_->name(); }
  ParameterNames parameter_names() const override { return original_->parameter_names(); }
  /// Of the Python operator: copies are lowered anew by whoever wants them to be.
  Recipe recipe() const override { return original_->recipe(); }
  void set_stand_in(StandIn stand_in);
  const StandIn& stand_in() const { return stand_in_; }

  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

  bool serves_image(const at::Tensor& x) const { return serves(x, stand_in_.image); }
  bool serves_measurement(const at::Tensor& y) const { return serves(y, stand_in_.measurement); }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor forward_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_dagger_impl(const at::Tensor& y, const Params& params) const override;
  std::optional<double> sqnorm_impl(const at::Tensor& x0, const Params& params) const override;
  void update_impl(const Params& params) override;

 private:
  bool serves(const at::Tensor& tensor, const Side& side) const;
  template <class Ours, class Original>
  at::Tensor either(bool served, const Ours& ours, const Original& original) const;

  LinearPhysicsPtr original_;
  Object finish_;
  StandIn stand_in_;
};

}  // namespace adjoin::python
