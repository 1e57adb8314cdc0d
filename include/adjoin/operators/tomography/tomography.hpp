// SPDX-License-Identifier: BSD-3-Clause
// Line integrals of an image along parallel rays at many angles, and filtered backprojection.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

struct TomographyOptions {
  /// Cells of the detector; 0: as many as cover the diagonal of the image.
  std::int64_t detectors = 0;
  /// Distance between the centres of neighbouring cells, in pixels.
  double spacing = 1.0;
  /// Where the axis of rotation falls on the detector, in cells from its middle.
  double shift = 0.0;
};

/// The window on the ramp filter of filtered backprojection.
enum class FbpFilter : std::uint8_t { RamLak, SheppLogan, Cosine, Hamming, Hann };
/// "ram_lak" or "ramp", "shepp_logan", "cosine", "hamming", "hann". Throws InvalidArgument naming these.
FbpFilter fbp_filter_from_string(std::string_view name);
std::string_view to_string(FbpFilter filter);

/// How filtered backprojection continues projections beyond the detector: by zeros, right where the object ends before,
/// or as those of a cylinder about the axis, fitted to the last cells of each projection (after J. Hsieh et al., "A
/// novel reconstruction algorithm to extend the CT scan field-of-view", Med. Phys. 31, 2004): exact for a cylinder, an
/// estimate for other objects, and not linear in the data.
enum class FbpPadding : std::uint8_t { Zeros, Extrapolate };
/// "zeros" or "extrapolate". Throws InvalidArgument naming these.
FbpPadding fbp_padding_from_string(std::string_view name);

struct FbpOptions {
  FbpFilter filter = FbpFilter::RamLak;
  FbpPadding padding = FbpPadding::Zeros;
};

class SinogramFilter;

/// Line integrals, in pixel lengths, along parallel rays: images (B, C, H, W) give sinograms (B, C, angles, detectors),
/// and volumes (B, C, D, H, W) give (B, C, D, angles, detectors), slice by slice, the axis of rotation along D.
///
/// The axis passes through the centre of the image. With u to the right and v downwards from there, in pixels, cell d
/// at angle θ sees the ray u cos θ − v sin θ = (d − (detectors − 1) / 2 − shift) · spacing: at 0° the rays run down the
/// columns and cell d sees column d; growing angles turn the detector counter-clockwise, as in scikit-image's radon, in
/// the ASTRA toolbox and in deepinv. Rays are sampled once in each row (or column, whichever they cross more steeply)
/// with linear interpolation between the pixels of that row, zero beyond the border: P. M. Joseph, "An improved
/// algorithm for reprojecting rays through pixel images", IEEE Trans. Med. Imaging 1, 1982. The adjoint is the
/// transpose of these weights.
///
/// x is real or complex, of single or double precision, on any device. No parameters. Throws InvalidArgument for other
/// shapes.
class Tomography final : public LinearPhysics {
 public:
  /// `angles` in degrees, any real dtype, one axis; `image_size` = {H, W}. Throws InvalidArgument for no angle, angles
  /// that are not finite, empty images, and options out of range.
  Tomography(const at::Tensor& angles, std::array<std::int64_t, 2> image_size, TomographyOptions options = {});
  ~Tomography() override;

  std::string name() const override { return "Tomography"; }
  Recipe recipe() const override;
  /// In degrees.
  const std::vector<double>& angles() const { return angles_; }
  const std::array<std::int64_t, 2>& image_size() const { return image_size_; }
  /// With the number of detectors that is used.
  const TomographyOptions& options() const { return options_; }

  /// Filtered backprojection (A. C. Kak, M. Slaney, "Principles of computerized tomographic imaging", 1988, section
  /// 3.3): an approximate inverse for angles that cover 180° densely. Shapes as of the adjoint; differentiable.
  /// (A_dagger is the least-squares solution instead, and iterates.)
  ///
  /// Angles may be in any order and unevenly spaced, repeat each other, and go round several times: each direction
  /// counts for the angle nearest to it, so that views that agree to within noise share one weight. Where the axis is
  /// off the middle of the detector and the angles cover 360°, the rays that one half alone sees count twice: the
  /// detector needs to reach over the object on one side only.
  ///
  /// Warns (TORCH_WARN) where the image cannot be right: when up to three gaps between the angles are over four times
  /// as wide as every other gap (nothing is put into such a missing wedge, and values are too small), and when the
  /// projections do not end within the detector.
  at::Tensor fbp(const at::Tensor& y, const FbpOptions& options = {}) const;

  /// Fuses operators on images of one size: their angles are computed together.
  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  /// All axes before the last two.
  std::optional<SliceWise> on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t begin,
                                     std::int64_t end) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;

 private:
  class Beam;
  friend class FusedAngles;

  void check_image(const at::Tensor& x) const;
  void check_measurement(const char* method, const at::Tensor& y) const;

  std::vector<double> angles_;
  std::array<std::int64_t, 2> image_size_;
  TomographyOptions options_;
  std::shared_ptr<const Beam> line_integrals_;
  std::shared_ptr<const SinogramFilter> sinogram_filter_;
  std::shared_ptr<const Beam> interpolation_;
};

}  // namespace adjoin
