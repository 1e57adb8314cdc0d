// SPDX-License-Identifier: BSD-3-Clause
// Convolution with a kernel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "adjoin/core/derived.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// What a convolution finds beyond the border of the image. Valid: nothing, so the result is smaller than the image.
enum class Padding : std::uint8_t { Valid, Circular, Replicate, Reflect, Constant };
/// "valid", "circular", "replicate", "reflect", "constant" or its alias "zeros". Throws InvalidArgument naming these.
Padding padding_from_string(std::string_view name);
std::string_view to_string(Padding padding);

/// How a convolution is computed: by Fourier transforms, by the sum itself, or by the cheaper of the two.
enum class ConvolutionMethod : std::uint8_t { Automatic, Fft, Direct };
/// "auto", "fft" or "direct". Throws InvalidArgument naming these.
ConvolutionMethod convolution_method_from_string(std::string_view name);
std::string_view to_string(ConvolutionMethod method);

struct BlurOptions {
  Padding padding = Padding::Valid;
  ConvolutionMethod method = ConvolutionMethod::Automatic;
};

/// y = filter * x, a true convolution with the kernel's centre at index k / 2 of each axis of length k.
///
/// x is (B, C, H, W) with a filter (b, c, h, w), or (B, C, D, H, W) with (b, c, d, h, w); b is 1 or B, c is 1 or C. y
/// has the shape of x, or is smaller by k − 1 along each axis when the padding is Valid. x is real or complex, of
/// single or double precision; with a complex filter, y is complex. The filter is converted to the precision and device
/// of x. Parameter "filter". Throws InvalidArgument for other ranks, channel or batch counts, and for kernels larger
/// than the image unless the padding is Replicate or Constant.
class Blur final : public LinearPhysics {
 public:
  explicit Blur(const at::Tensor& filter, BlurOptions options = {});
  ~Blur() override;

  std::string name() const override { return "Blur"; }
  ParameterNames parameter_names() const override { return {.names = {"filter"}}; }
  Recipe recipe() const override;
  const at::Tensor& filter() const { return filter_; }
  const BlurOptions& options() const { return options_; }

  /// Fuses circular blurs: one transform of the image serves them all.
  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  /// Batch and channels, with one filter for all or one for each.
  std::optional<SliceWise> on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t begin,
                                     std::int64_t end) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override;
  /// Circular padding only: max |H|² over the frequencies.
  std::optional<double> sqnorm_impl(const at::Tensor& x0, const Params& params) const override;
  void update_impl(const Params& params) override;

 private:
  class Plan;
  struct PlanKey;
  friend class FusedBlurs;

  at::Tensor current_filter(const Params& params) const;
  /// The filter made ready for images like x, or for the images that belong to y when `is_measurement`; with
  /// `periodic`, by transforms of a circular blur's image itself. Plans of the own filter are kept.
  std::shared_ptr<const Plan> plan(const at::Tensor& tensor, const Params& params, bool is_measurement,
                                   bool periodic = false) const;

  at::Tensor filter_;
  BlurOptions options_;
  Derived<Plan, PlanKey> plans_;
};

}  // namespace adjoin
