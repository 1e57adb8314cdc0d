// SPDX-License-Identifier: BSD-3-Clause
// Low resolution from high resolution: a filter, and every n-th pixel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

struct DownsamplingOptions {
  std::int64_t factor = 2;
  Padding padding = Padding::Circular;
  /// Spatial size of the images, (H, W) or (D, H, W). Empty: any; then what is given measurements alone (A_adjoint,
  /// A_dagger without `init`) cannot know the size, and throws InvalidArgument unless the factor is 1.
  std::vector<std::int64_t> image_size = {};
};

/// y = (filter * x) at every factor-th pixel of each spatial axis, beginning with the first. Shapes, dtypes, padding
/// and centre as of Blur; filters for this are bicubic_kernel, bilinear_kernel, sinc_kernel and gaussian_kernel. An
/// undefined filter takes the pixels as they are. Parameter "filter". Throws InvalidArgument for a factor below 1 and
/// for shapes that do not match.
class Downsampling final : public LinearPhysics {
 public:
  explicit Downsampling(const at::Tensor& filter, DownsamplingOptions options = {});

  std::string name() const override { return "Downsampling"; }
  ParameterNames parameter_names() const override { return {.names = {"filter"}}; }
  Recipe recipe() const override;
  const DownsamplingOptions& options() const { return options_; }
  /// Undefined when the size of the images is not known.
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_adjoint_for_impl(const at::Tensor& y, const at::Tensor& image, const Params& params) const override;
  std::string missing_image() const override { return "y does not tell the size of the image: give image_size"; }
  void update_impl(const Params& params) override;

 private:
  /// The blur with its parameters, null when nothing filters.
  std::shared_ptr<const Blur> blur(const Params& params) const;
  /// By how much filtering shrinks each of the `axes` spatial axes.
  std::vector<std::int64_t> shrinkage(std::size_t axes, const Params& params) const;
  /// The spatial size of the images that y are measurements of; empty when not known.
  std::vector<std::int64_t> image_size(const at::Tensor& y, const Params& params) const;
  at::Tensor adjoint(const at::Tensor& y, at::IntArrayRef image_size, const Params& params) const;

  DownsamplingOptions options_;
  std::shared_ptr<Blur> blur_;
};

}  // namespace adjoin
