// SPDX-License-Identifier: BSD-3-Clause
// Multiplication of an image by weights, entry by entry.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "adjoin/core/derived.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// y = w · x, entry by entry, with weights w that are broadcast to the shape of x: one number (a scaling), a plane, an
/// image. Real, integer, boolean or complex; converted to the precision and device of x, and x to complex where they
/// are. Parameter "weights". Throws InvalidArgument when the weights cannot be broadcast to x without enlarging it.
/// A_dagger and ‖A‖² are closed forms. Stacks fuse: the adjoint is one pass over the measurements, the normal operator
/// one product.
class Diagonal : public LinearPhysics {
 public:
  explicit Diagonal(const at::Tensor& weights);
  /// The scaling by one number.
  explicit Diagonal(double factor);

  std::string name() const override { return name_; }
  ParameterNames parameter_names() const override { return {.names = {parameter_}}; }
  Recipe recipe() const override { return {.maker = name_, .arguments = {{parameter_, weights_}}}; }
  const at::Tensor& weights() const { return weights_; }
  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  /// `name` of the class and `parameter`, the name of its weights, for messages and parameters.
  Diagonal(const char* name, const char* parameter, const at::Tensor& weights);

  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  /// y / w where w is not zero, and zero elsewhere.
  at::Tensor A_dagger_impl(const at::Tensor& y, const Params& params) const override;
  /// max |w|².
  std::optional<double> sqnorm_impl(const at::Tensor& x0, const Params& params) const override;
  void update_impl(const Params& params) override;

  /// The weights in the precision and on the device of `like`; those of the operator itself are kept.
  at::Tensor weights_for(const at::Tensor& like, const Params& params) const;

 private:
  friend class FusedDiagonals;
  at::Tensor checked(const at::Tensor& weights) const;

  const char* name_;
  const char* parameter_;
  at::Tensor weights_;
  Derived<at::Tensor, std::pair<at::ScalarType, at::Device>> converted_;
};

}  // namespace adjoin
