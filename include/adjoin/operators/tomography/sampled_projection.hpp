// SPDX-License-Identifier: BSD-3-Clause
// Line sums of an image that is sampled at given points.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "adjoin/core/derived.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

struct SampledProjectionOptions {
  /// Size of the frame in which coordinates run from −1, the middle of the first pixel, to 1, the middle of the last;
  /// the image lies in it with so many pixels above and on the left, and zeros around. Empty: the image itself.
  std::array<std::int64_t, 2> frame = {0, 0};
  std::array<std::int64_t, 2> before = {0, 0};
  /// (H, W): what the image is multiplied by first, such as a disc of ones. Undefined: nothing.
  at::Tensor weights = {};
  /// What measurements are multiplied by.
  double factor = 1.0;
};

/// y(l, a) = factor · Σ_s x(grid(a, s, l)): for each view a and line l, the sum of x at the samples s of that line,
/// with bilinear interpolation between pixels, zero outside. This is how images are projected by rotating them and
/// summing their columns, with the sums exactly as torch's grid_sample (align_corners) makes them, and the exact
/// adjoint.
///
/// `grid` is real, (views, samples, lines, 2), the last axis holding x and y. x (B, C, H, W) gives y (B, C, lines,
/// views). Both are of the precision of the image, real or complex. No parameters. Throws InvalidArgument for shapes
/// that do not match, and for a grid or weights that require gradients. Stacks on images of one size fuse: they share
/// copies of the image.
class SampledProjection final : public LinearPhysics {
 public:
  SampledProjection(const at::Tensor& grid, std::array<std::int64_t, 2> image_size,
                    const SampledProjectionOptions& options = {});
  ~SampledProjection() override;

  std::string name() const override { return "SampledProjection"; }
  Recipe recipe() const override;
  std::array<std::int64_t, 2> image_size() const { return image_size_; }
  const at::Tensor& grid() const { return grid_; }
  std::int64_t views() const { return grid_.size(0); }
  std::int64_t lines() const { return grid_.size(2); }

  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  /// Batch and channels.
  std::optional<SliceWise> on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t begin,
                                     std::int64_t end) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;

 private:
  class Plan;
  friend class FusedSamples;

  /// The grid made ready for tensors of this precision.
  std::shared_ptr<const Plan> plan(const at::Tensor& tensor) const;
  void check_image(const at::Tensor& x) const;
  void check_measurement(const at::Tensor& y) const;

  at::Tensor grid_;
  std::array<std::int64_t, 2> image_size_;
  SampledProjectionOptions options_;
  Derived<Plan, std::pair<at::ScalarType, at::Device>> plans_;
};

}  // namespace adjoin
