// SPDX-License-Identifier: BSD-3-Clause
// Fourier sums of an image at any frequencies.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/core/derived.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// What the coordinates of a trajectory count along each axis, which has N pixels: cycles a pixel (−½ … ½), radians a
/// pixel (−π … π), or cycles a field of view (−N/2 … N/2), as BART has them.
enum class FrequencyUnits : std::uint8_t { cycles_per_pixel, radians_per_pixel, cycles_per_fov };
/// "cycles_per_pixel" …. Throws InvalidArgument naming the choices.
FrequencyUnits frequency_units_from_string(std::string_view name);

/// Whether FINUFFT is found, which the operators that follow need at their first call.
bool has_finufft();

struct NonuniformFourierOptions {
  /// Of the trajectory as it is given.
  FrequencyUnits units = FrequencyUnits::cycles_per_pixel;
  /// Relative accuracy of the sums; single precision reaches about 1e-6.
  double eps = 1e-6;
};

namespace nufft {
class Transforms;
class Toeplitz;
}  // namespace nufft

/// y_j = Σ_n x_n e^{−2πi k_j·(n − N / 2)} / √ΠN: the Fourier transform of an image of N pixels along each axis (halves
/// rounded down) at frequencies k_j, orthonormal as far as these lie on the image's grid. By FINUFFT, which
/// `pip install finufft` brings and which is loaded at the first call.
///
/// `trajectory` is real, (…, axes) with axes = 2 or 3, its last axis in the order of the axes of the image. x complex
/// or real, (B, C, H, W) or (B, C, D, H, W) of `image_size`, gives y complex, (B, C, …), the leading axes those of the
/// trajectory. Parameter "trajectory", in cycles a pixel. Differentiates with respect to it, too. On the CPU alone.
/// Throws InvalidArgument for shapes that do not match and for frequencies beyond ±½ cycles a pixel, and Error where
/// FINUFFT is missing. The normal operator is a convolution (nufft::Toeplitz), prepared at its first call. Stacks on
/// images of one size fuse: one sum for all samples, one convolution.
class NonuniformFourier final : public LinearPhysics {
 public:
  NonuniformFourier(const at::Tensor& trajectory, std::vector<std::int64_t> image_size,
                    const NonuniformFourierOptions& options = {});
  ~NonuniformFourier() override;

  std::string name() const override { return "NonuniformFourier"; }
  ParameterNames parameter_names() const override { return {.names = {"trajectory"}}; }
  Recipe recipe() const override;
  /// In cycles a pixel.
  const at::Tensor& trajectory() const { return trajectory_; }
  const std::vector<std::int64_t>& image_size() const { return image_size_; }
  double eps() const { return eps_; }

  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override;
  void update_impl(const Params& params) override;

 private:
  void set(const at::Tensor& trajectory);
  std::shared_ptr<const nufft::Transforms> transforms(const Params& params) const;
  at::Tensor checked_image(const at::Tensor& x) const;
  void check_measurement(const nufft::Transforms& transforms, const at::Tensor& y) const;

  at::Tensor trajectory_;
  std::vector<std::int64_t> image_size_;
  double eps_;
  std::shared_ptr<const nufft::Transforms> transforms_;
  Derived<nufft::Toeplitz, at::ScalarType> normals_;  // by precision
};

}  // namespace adjoin
