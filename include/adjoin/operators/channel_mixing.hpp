// SPDX-License-Identifier: BSD-3-Clause
// Combinations of the channels of an image.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>

#include "adjoin/core/derived.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// y_m = Σ_n M_mn x_n over the channels of x (B, n, …), to measurements (B, m, …), with a matrix M (m, n), real or
/// complex: grey images from colours, spectra to bands. M is converted to the precision and device of x, and x to
/// complex where M is. Parameter "matrix". Throws InvalidArgument for shapes that do not match.
class ChannelMixing final : public LinearPhysics {
 public:
  explicit ChannelMixing(const at::Tensor& matrix);

  std::string name() const override { return "ChannelMixing"; }
  ParameterNames parameter_names() const override { return {.names = {"matrix"}}; }
  Recipe recipe() const override { return {.maker = "ChannelMixing", .arguments = {{"matrix", matrix_}}}; }
  const at::Tensor& matrix() const { return matrix_; }
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  void update_impl(const Params& params) override;

 private:
  /// The matrix in the precision and on the device of `like`; that of the operator itself is kept.
  at::Tensor matrix_for(const at::Tensor& like, const Params& params) const;

  at::Tensor matrix_;
  Derived<at::Tensor, std::pair<at::ScalarType, at::Device>> converted_;
};

}  // namespace adjoin
