// SPDX-License-Identifier: BSD-3-Clause
// Parallel magnetic resonance imaging on the grid of k-space.
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

struct MultiCoilMRIOptions {
  /// Images are volumes (D, H, W), transformed along three axes, instead of slices (H, W).
  bool three_d = false;
  /// Images are sequences (T, H, W): a transform and a mask for each frame, coil maps common to all.
  bool dynamic = false;
};

/// y_n = m · F(s_n · x) for coils n = 1 … N: coil sensitivities s_n, centred orthonormal Fourier transform F (zero
/// frequency and image origin at index n / 2 of each axis), sampling mask m. K. P. Pruessmann et al., "SENSE:
/// sensitivity encoding for fast MRI", Magn. Reson. Med. 42, 1999.
///
/// With `image` = (H, W), (D, H, W) or (T, H, W) as the options say:
/// - x real (B, 2, image), channels real and imaginary part, gives y real (B, 2, N, image);
/// - x complex (B, 1, image), or real (B, 1, image), gives y complex (B, N, image).
/// The coil maps are complex (b, N, H, W) or (b, N, D, H, W), or without leading axes, b = 1 or B. The mask is (image),
/// (c, image) or (b, c, image) with c = 1, or 2 equal channels; its entries are weights, any numeric dtype; its axes
/// may be 1 to repeat; undefined samples everything. Both are converted to the precision and device of x. Parameters
/// "mask" and "coil_maps". Throws InvalidArgument for shapes that do not match.
class MultiCoilMRI final : public LinearPhysics {
 public:
  MultiCoilMRI(const at::Tensor& mask, const at::Tensor& coil_maps, MultiCoilMRIOptions options = {});
  ~MultiCoilMRI() override;

  std::string name() const override { return "MultiCoilMRI"; }
  ParameterNames parameter_names() const override { return {.names = {"mask", "coil_maps"}}; }
  Recipe recipe() const override;
  /// (b, 1, image), each axis of `image` possibly 1.
  at::Tensor mask() const;
  /// (b, N, H, W) or (b, N, D, H, W).
  at::Tensor coil_maps() const;
  const MultiCoilMRIOptions& options() const { return options_; }

  /// Fuses operators on images of one layout: the transforms of their coils are batched, and their sum is accumulated
  /// in place.
  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  /// The batch, with mask and coil maps for all items or for each.
  std::optional<SliceWise> on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t begin,
                                     std::int64_t end) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  /// Never holds more measurements than a few coils'.
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override;
  /// Frequencies that are not sampled stay zero.
  at::Tensor noise_impl(const at::Tensor& y, const Params& params) const override;
  void update_impl(const Params& params) override;

 private:
  class Plan;
  friend class FusedCoils;

  void set(const at::Tensor& mask, const at::Tensor& coil_maps);
  /// Mask and coil maps made ready for tensors like this one; those of the own ones are kept.
  std::shared_ptr<const Plan> plan(const at::Tensor& tensor, const Params& params) const;

  at::Tensor mask_;  // as given, and the maps
  at::Tensor coil_maps_;
  MultiCoilMRIOptions options_;
  Derived<Plan, std::pair<at::ScalarType, at::Device>> plans_;  // by precision and device
};

}  // namespace adjoin
