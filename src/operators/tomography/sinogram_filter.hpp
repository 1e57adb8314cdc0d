// SPDX-License-Identifier: BSD-3-Clause
// What filtered backprojection does to a sinogram before it smears the views over the image.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "adjoin/operators/tomography/tomography.hpp"

namespace adjoin {

/// How much of a circle of directions each angle stands for.
struct AngularWeights {
  /// In radians, in the order of the angles.
  std::vector<double> weights;
  /// Degrees of the circle that no angle stands for.
  double missing = 0.0;
};

/// The weights of `angles` (degrees, at least one) on a circle of `period` degrees: 180, where opposite views see the
/// same rays, or 360. Every direction counts for the angle nearest to it, and equally for all that are hardly farther
/// away: views that agree to within noise share one weight. Together the weights are the whole circle, but for up to
/// three gaps that are over four times as wide as every other one: these directions were not measured.
AngularWeights angular_weights(std::span<const double> angles, double period);

/// Filters and weighs the sinograms of one scan.
class SinogramFilter {
 public:
  SinogramFilter(std::span<const double> angles, std::array<std::int64_t, 2> image_size,
                 const TomographyOptions& options);

  /// The detector of the filtered views: the scan's own, or one that reaches equally far on both sides of the axis
  /// where the scan's own does not and a full turn of angles makes up for it.
  const TomographyOptions& detector() const { return detector_; }

  /// The filtered views of y (…, angles, cells), real, times the weights of their angles, for `detector()`. Warns where
  /// the image will be wrong, because directions were not measured or the object reaches beyond the detector.
  at::Tensor operator()(const at::Tensor& y, const FbpOptions& options) const;

 private:
  void warn_if_truncated(const at::Tensor& y) const;
  /// Mean projections, in magnitude: of all views, and of those of each twelfth of a turn; and what noise may have made
  /// of them, by how the views of a twelfth differ. Each is (13, cells).
  struct Profiles {
    at::Tensor means;
    at::Tensor noise;
  };
  Profiles mean_profiles(const at::Tensor& y) const;
  at::Tensor extrapolated(const at::Tensor& y) const;

  AngularWeights angular_;
  at::Tensor sectors_;  // which twelfth of a turn each angle lies in
  double period_ = 180.0;
  TomographyOptions scan_;
  TomographyOptions detector_;
  /// Cells of `detector_` before the scan's first one.
  std::int64_t added_before_ = 0;
  /// Weights of the cells (cells), undefined where all are 1: two views see some rays, and one alone the others.
  at::Tensor redundancy_;
};

}  // namespace adjoin
