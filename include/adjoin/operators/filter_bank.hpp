// SPDX-License-Identifier: BSD-3-Clause
// Convolution with each kernel of a bank.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>

#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin {

/// The images that the K kernels of a bank make of one: y = [f_1 * x; …; f_K * x], the results one behind the other
/// along the channels.
///
/// With filters (K, 1, d, h, w), images (B, C, D, H, W) give y (B, K C, D', H', W'), and with (K, 1, h, w) likewise in
/// two dimensions: channel k C + c is kernel k on channel c. Sizes, dtypes, padding and centre as of Blur. Parameter
/// "filters". Throws InvalidArgument for other ranks and for shapes that do not match. Circular banks transform an
/// image once for all kernels, and stacks of them for all kernels of all operators.
class FilterBank final : public LinearPhysics {
 public:
  explicit FilterBank(const at::Tensor& filters, BlurOptions options = {.padding = Padding::Circular});

  std::string name() const override { return "FilterBank"; }
  ParameterNames parameter_names() const override { return {.names = {"filters"}}; }
  Recipe recipe() const override;
  const at::Tensor& filters() const { return filters_; }
  const BlurOptions& options() const { return options_; }
  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override;
  void update_impl(const Params& params) override;

 private:
  friend class FusedFilterBanks;
  using Blurs = std::shared_ptr<const StackedLinearPhysics>;

  void set(const at::Tensor& filters);
  /// One blur a kernel, with the parameters of a call.
  Blurs blurs(const Params& params) const;

  at::Tensor filters_;
  BlurOptions options_;
  Blurs blurs_;
};

}  // namespace adjoin
