// SPDX-License-Identifier: BSD-3-Clause
// A filter of Blur made ready for images of one layout: direct, or by transforms of a grid that holds the image.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>
#include <c10/util/accumulate.h>

#include <cstdint>
#include <memory>

#include "adjoin/core/derived.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/operators/blur/blur.hpp"
#include "kernels/image_transform.hpp"

namespace adjoin {

namespace blur {

using Sizes = c10::SmallVector<std::int64_t, 3>;

/// Where an array lies in the grid of the transforms, along each axis.
struct Window {
  Sizes size;
  Sizes offset;
};

/// What the transforms transform.
struct Grid {
  Sizes size;
  bool complex;
  std::shared_ptr<const fft::ImageTransform> transform;  // the CPU's; null on other devices

  /// Real numbers of an entry.
  std::int64_t step() const { return complex ? 2 : 1; }
};

}  // namespace blur

class Blur::Plan {
 public:
  /// For images of spatial size `sizes` with the dtype and device of `like`. With `periodic`, circular blurs transform
  /// the image itself, whatever its size; else a larger one of a quicker size where the image's is slow.
  Plan(const at::Tensor& filter, const BlurOptions& options, const at::Tensor& like, at::IntArrayRef sizes,
       bool periodic);

  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor adjoint(const at::Tensor& y) const;
  at::Tensor normal(const at::Tensor& x) const;
  /// max |H|², the squared norm of a circular blur.
  double squared_norm() const;
  /// max |H| / N.
  double largest_response() const;

  // The filter's transform H / N and |H|² / N, N the number of grid points: the scale of the inverse transform is
  // folded in. Kept.
  /// Its rows are those of the CPU's spectra, with zeros behind the bins.
  const at::Tensor& response() const;
  const at::Tensor& power() const;
  /// In the order in which the CPU's transforms take it.
  const at::Tensor& power_in_blocks() const;
  /// Adds weight · |H|² / N to a sum over several blurs, which is undefined before the first: in blocks where the CPU
  /// transforms. Some rows at a time, so that a term takes little memory.
  void add_power(at::Tensor& sum, double weight) const;
  std::int64_t numel_in_blocks() const { return grid_.transform->numel_in_blocks(); }
  /// Without the zeros behind the rows, as spectrum() is.
  at::Tensor bins(const at::Tensor& factors) const { return factors.narrow(-1, 0, bins()); }

  // The transforms through ATen: differentiable, on any device.
  at::Tensor spectrum(const at::Tensor& x) const;
  at::Tensor image(const at::Tensor& spectrum) const;

  // The transforms on the CPU, image by image: see Workspace.
  bool has_kernels_for(const at::Tensor& x) const {
    return grid_.transform != nullptr && !records_gradients(x) && !records_gradients(filter_);
  }
  const blur::Grid& grid() const { return grid_; }
  /// Complex numbers of a spectrum as the transforms make it, with what is behind its rows; and real ones of the array
  /// that holds the window.
  std::int64_t spectrum_size() const { return grid_.transform->rows() * grid_.transform->row_length(); }
  std::int64_t array_size(const blur::Window& window) const {
    return c10::multiply_integers(window.size) * grid_.step();
  }
  const blur::Window& source() const { return source_; }

  // Nanoseconds an image takes, as measured on one core of an AMD EPYC 9004 in single precision: the sum, 0.034 a tap
  // and pixel; a transform of N points and its inverse, 0.2 log2 N a point by a library, 0.08 by our own passes, ten
  // times that for sizes with large prime factors, and 0.8 or 0.5 for moving an image that does not fill the grid.
  // Other machines scale all alike.
  double direct_time() const;
  double transform_time() const { return (slow_ ? 10.0 : 1.0) * quick_transform_time(); }
  /// Of A or its adjoint, and of the two in turn, by a plan of its own that avoids slow sizes.
  double time() const { return fft_ ? quick_transform_time() : direct_time(); }
  double normal_time() const { return (fft_ && !slow_ ? 1.0 : 2.0) * time(); }

 private:
  enum class Factor : std::uint8_t { response, conjugate, power };

  at::Tensor compute_response() const;
  at::Tensor compute_power() const;
  /// What make() returns; to be kept, unless the filter is differentiated and the plan lives for one call.
  template <class Make>
  at::Tensor derived(const Make& make) const {
    return records_gradients(filter_) ? make() : lasting(make);
  }
  at::Tensor padded_rows(const at::Tensor& factors) const;
  std::int64_t bins() const { return grid_.complex ? grid_.size.back() : grid_.size.back() / 2 + 1; }
  /// Whether the border that surrounds the image in the grid is not of zeros.
  bool extends_by_values() const {
    return padding_ == Padding::Replicate || padding_ == Padding::Reflect ||
           (padding_ == Padding::Circular && !periodic_);
  }
  double quick_transform_time() const;
  /// Derivatives are recorded through transforms, which are quicker there than ATen's convolutions.
  bool uses_fft(const at::Tensor& x) const {
    return fft_ || (automatic_ && (records_gradients(x) || records_gradients(filter_)));
  }
  at::Tensor padded(const at::Tensor& x) const;
  at::Tensor folded(at::Tensor z) const;
  at::Tensor convolve(const at::Tensor& x, const blur::Window& from, Factor factor, const blur::Window& to) const;
  at::Tensor convolve_with_kernels(const at::Tensor& x, const blur::Window& from, Factor factor,
                                   const blur::Window& to) const;

  Padding padding_;
  bool automatic_;
  bool periodic_;  // the grid is the image, and circular
  bool slow_;      // though its size has large prime factors
  at::ScalarType dtype_;
  at::Device device_;
  std::int64_t rank_;
  blur::Sizes axes_;    // the spatial axes
  blur::Sizes image_;   // spatial size of x
  blur::Sizes kernel_;  // of the filter
  blur::Sizes before_;  // border that the padding adds before and after the image
  blur::Sizes after_;
  blur::Sizes reach_;  // kernel size less one
  blur::Grid grid_;
  blur::Window source_;  // the image in the grid, with its border where that is not of zeros
  blur::Window target_;  // the measurement in the grid
  double grid_points_ = 1.0;
  bool fft_;
  at::Tensor filter_;  // in the dtype of x, real when the filter is
  at::Tensor flipped_;
  at::Tensor conjugate_;
  Lazy<at::Tensor> response_;
  Lazy<double> largest_response_;
  Lazy<at::Tensor> power_;
  Lazy<at::Tensor> power_in_blocks_;
};

}  // namespace adjoin
