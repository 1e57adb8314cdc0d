// SPDX-License-Identifier: BSD-3-Clause
// Mask and coil maps of MultiCoilMRI made ready for tensors of one precision and device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "adjoin/core/gradients.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "kernels/image_transform.hpp"
#include "operators/mri/coil_tasks.hpp"

namespace adjoin {

namespace mri {

/// The coil maps as (b, N, spatial), and the mask as (b, 1, image) for such maps. Throw InvalidArgument.
at::Tensor checked_maps(const at::Tensor& maps, const MultiCoilMRIOptions& options);
at::Tensor checked_mask(const at::Tensor& mask, const at::Tensor& maps, const MultiCoilMRIOptions& options);

/// Factors by which samples are multiplied.
class SampleFactors {
 public:
  SampleFactors() = default;
  /// `ordered`: the values in the order in which the CPU kernels read them, which get signs where the values are real
  /// and none but -u, 0 and u.
  SampleFactors(at::Tensor values, at::Tensor ordered);
  const at::Tensor& values() const { return values_; }
  /// For the CPU kernels alone.
  SampleFactors times(double factor) const;
  template <class T>
  kernels::Weights<T> weights() const {
    if (ordered_.scalar_type() == at::kChar) {
      return {nullptr, false, ordered_.const_data_ptr<std::int8_t>(), static_cast<T>(unit_)};
    }
    return {static_cast<const T*>(ordered_.const_data_ptr()), ordered_.is_complex()};
  }

 private:
  at::Tensor values_;
  at::Tensor ordered_;
  double unit_ = 0.0;
};

}  // namespace mri

/// The centring of the transform is folded into mask and maps. With c = n / 2, the centred transform is
/// Σ_j x_j e^{−2πi (j − c)(k − c) / n} = e^{2πi c (k − c) / n} Σ_j (x_j e^{2πi c j / n}) e^{−2πi jk / n}: a plain
/// transform between two phase factors. One goes into the maps, the other and the scale into the mask.
class MultiCoilMRI::Plan {
 public:
  /// For mask and maps as checked, and tensors like `like`.
  Plan(const at::Tensor& mask, const at::Tensor& maps, const MultiCoilMRIOptions& options, const at::Tensor& like);

  const at::Tensor& mask() const { return mask_; }
  std::int64_t coils() const { return maps_.size(1); }
  at::IntArrayRef spatial() const { return spatial_; }
  const fft::ImageTransform& transform() const { return *transform_; }
  mri::NormalAxes normal_axes() const;

  /// Throw InvalidArgument unless the tensor is an image or a measurement of this operator.
  void check_image(const at::Tensor& x) const { check_tensor("x", x, x.is_complex() ? 1 : 2, {}); }
  void check_measurement(const at::Tensor& y) const {
    const std::int64_t coil_count = coils();
    y.is_complex() ? check_tensor("y", y, coil_count, {}) : check_tensor("y", y, 2, coil_count);
  }

  /// Shape of the image that belongs to measurements y.
  std::vector<std::int64_t> image_sizes(const at::Tensor& y) const;
  std::vector<std::int64_t> measurement_sizes(const at::Tensor& x) const;

  // Differentiable, on any device.
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor adjoint(const at::Tensor& y) const;
  at::Tensor normal(const at::Tensor& x) const;

  enum class Space : std::uint8_t { image, measurement };
  /// Appends the tasks that lead from the contiguous `source` to `target`. `first`: whether the target is yet unset.
  /// `power` is that of the normal operator, or a multiple.
  template <class T>
  void append_tasks(const at::Tensor& source, Space source_space, const at::Tensor& target, Space target_space,
                    bool first, std::vector<mri::CoilTask<T>>& tasks) const {
    append_tasks(source, source_space, target, target_space, first, power_, tasks);
  }
  template <class T>
  void append_tasks(const at::Tensor& source, Space source_space, const at::Tensor& target, Space target_space,
                    bool first, const mri::SampleFactors& power, std::vector<mri::CoilTask<T>>& tasks) const;
  const mri::SampleFactors& power() const { return power_; }
  bool power_keeps_digits() const { return power_keeps_digits_; }
  /// Gives the tasks that lead from images to images, in the order of append_tasks, the contiguous measurements y,
  /// which may be undefined, and their weights, real and of the sizes of `like`, a measurement.
  template <class T>
  void attach(const at::Tensor& y, const at::Tensor& weights, bool complex, std::span<mri::CoilTask<T>> tasks) const;
  /// Whether the CPU kernels serve: nothing is differentiated.
  bool has_kernels_for(const at::Tensor& tensor) const {
    return transform_ != nullptr && !records_gradients(tensor) && !records_gradients(maps_) &&
           !records_gradients(weights_.values());
  }

 private:
  void check_tensor(const char* argument, const at::Tensor& tensor, std::int64_t channels,
                    std::optional<std::int64_t> coil_count) const;
  std::int64_t axes() const { return options_.three_d ? 3 : 2; }
  /// The spatial axes that the normal operator transforms. Along one where the mask is the same everywhere, the readout
  /// of Cartesian MRI, a transform and its inverse cancel: told apart are the last axis and the others together.
  std::vector<std::int64_t> axes_to_transform(const at::Tensor& mask) const;
  std::int64_t normal_pixels() const;

  MultiCoilMRIOptions options_;
  at::ScalarType real_;
  at::Device device_;
  std::vector<std::int64_t> spatial_;
  std::int64_t pixels_;
  at::Tensor maps_;                        // (b, N, [1,] spatial)
  at::Tensor mask_;                        // (b, 1, [T or 1,] spatial)
  mri::SampleFactors weights_;             // mask, phase and scale; real when all sizes are even
  std::vector<std::int64_t> normal_axes_;  // all, none, the last, or all but the last
  bool power_keeps_digits_ = true;
  mri::SampleFactors power_;                              // mask² and the scale of their transform there and back
  std::shared_ptr<const fft::ImageTransform> transform_;  // null where there is none
};

}  // namespace adjoin
