// SPDX-License-Identifier: BSD-3-Clause
// Parallel magnetic resonance imaging along any trajectory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adjoin/core/derived.hpp"
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

struct NonCartesianMRIOptions {
  FrequencyUnits units = FrequencyUnits::cycles_per_pixel;
  /// Relative accuracy of the Fourier sums.
  double eps = 1e-6;
  /// Real factors w of the samples, which broadcast to the axes of the trajectory but the last; such as the roots of
  /// density_compensation. Undefined: 1.
  at::Tensor weights = {};
  /// normal_spectrum() of an operator with this trajectory and these weights, such as one kept in a file, for the
  /// normal operator to use, which keeps a copy; undefined: computed when it is first called. Its shape is checked,
  /// what it belongs to is not.
  at::Tensor normal_spectrum = {};
};

/// y_n = w · F(s_n · x) for coils n = 1 … N: coil sensitivities s_n, Fourier sums F along a trajectory
/// (NonuniformFourier), weights w of samples. K. P. Pruessmann et al., "Advances in sensitivity encoding with arbitrary
/// k-space trajectories", Magn. Reson. Med. 46, 2001.
///
/// The coil maps are complex (b, N, image), leading axes left out or not, image = (H, W) or (D, H, W), b = 1 or B; the
/// trajectory is real (…, axes) in the order of the axes of the image. With `samples` its axes but the last:
/// - x complex (B, 1, image), or real (B, 1, image), gives y complex (B, N, samples);
/// - x real (B, 2, image), channels real and imaginary part, gives y real (B, 2, N, samples).
/// Parameters "trajectory" in cycles a pixel, "coil_maps" and "weights". Throws as NonuniformFourier. The normal
/// operator is a convolution between coil maps, prepared at its first call. Stacks of coils that share trajectory and
/// weights fuse, and stacks of trajectories, shots or frames, that share their maps: their convolutions add up to one.
class NonCartesianMRI final : public LinearPhysics {
 public:
  NonCartesianMRI(const at::Tensor& trajectory, const at::Tensor& coil_maps,
                  const NonCartesianMRIOptions& options = {});
  ~NonCartesianMRI() override;

  std::string name() const override { return "NonCartesianMRI"; }
  ParameterNames parameter_names() const override { return {.names = {"trajectory", "coil_maps", "weights"}}; }
  Recipe recipe() const override;
  /// In cycles a pixel.
  const at::Tensor& trajectory() const { return trajectory_; }
  /// (b, N, image).
  at::Tensor coil_maps() const;
  /// May be undefined.
  const at::Tensor& weights() const { return weights_; }
  std::vector<std::int64_t> image_size() const;
  double eps() const { return eps_; }
  /// The spectrum of the convolution that the normal operator is between its coil maps, real (2, …, 2, image), double
  /// precision: that of the options, or computed.
  at::Tensor normal_spectrum() const;
  /// That of the options as long as the operator's tensors are what they were; else undefined.
  at::Tensor given_spectrum() const;

  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override;
  void update_impl(const Params& params) override;

 private:
  /// What the operator is made of: its own tensors, or those that a call gives.
  struct Parts;

  void set(const at::Tensor& trajectory, const at::Tensor& coil_maps, const at::Tensor& weights);
  Parts parts(const Params& params) const;

  at::Tensor trajectory_;
  at::Tensor coil_maps_;
  at::Tensor weights_;
  double eps_;
  at::Tensor given_spectrum_;
  std::int64_t given_version_ = 0;  // of the operator, when it got the spectrum
  std::shared_ptr<const nufft::Transforms> transforms_;
  Derived<nufft::Toeplitz, at::ScalarType> normals_;  // by precision
};

}  // namespace adjoin
