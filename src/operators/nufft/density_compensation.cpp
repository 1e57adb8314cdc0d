// SPDX-License-Identifier: BSD-3-Clause
// Pipe and Menon's iteration, with the kernel by which FINUFFT spreads samples.
#include "adjoin/operators/nufft/density_compensation.hpp"

#include <ATen/ATen.h>

#include <numbers>

#include "adjoin/core/errors.hpp"
#include "kernels/finufft.hpp"
#include "operators/nufft/trajectory.hpp"

namespace adjoin {

namespace {

constexpr const char* name_of_function = "density_compensation";

/// The convolution of samples by the kernel that spreads them on a grid twice as fine as the image's.
class Convolution {
 public:
  /// Points (samples, axes) in cycles a pixel.
  Convolution(const at::Tensor& points, at::IntArrayRef image_size) {
    std::vector<std::int64_t> sizes;
    for (const std::int64_t n : image_size) {
      sizes.push_back(2 * n);
    }
    constexpr double accuracy = 1e-5;  // a kernel of six points
    const at::Tensor radians = (points.t() * (2.0 * std::numbers::pi)).contiguous();
    plan_ = kernels::Finufft::make_spreading(radians, sizes, accuracy);
    grid_ = at::empty(sizes, at::kComplexDouble);
  }

  at::Tensor operator()(const at::Tensor& weights) const {
    const at::Tensor source = weights.to(at::kComplexDouble);
    at::Tensor result = at::empty_like(source);
    plan_->adjoint(source.const_data_ptr(), grid_.mutable_data_ptr());
    plan_->forward(grid_.const_data_ptr(), result.mutable_data_ptr());
    return at::real(result);
  }

 private:
  std::shared_ptr<const kernels::Finufft> plan_;
  at::Tensor grid_;
};

/// The points of the image's own grid of frequencies, (pixels, axes).
at::Tensor grid_points(at::IntArrayRef image_size) {
  std::vector<at::Tensor> steps;
  for (const std::int64_t n : image_size) {
    steps.push_back((at::arange(n, at::kDouble) - static_cast<double>(n / 2)) / static_cast<double>(n));
  }
  return at::stack(at::meshgrid(steps, "ij"), -1).flatten(0, -2);
}

}  // namespace

at::Tensor density_compensation(const at::Tensor& trajectory, const std::vector<std::int64_t>& image_size,
                                const DensityOptions& options) {
  nufft::check_image_size(name_of_function, image_size);
  const at::Tensor own = nufft::in_cycles_per_pixel(trajectory, options.units, image_size);
  nufft::check_trajectory(name_of_function, own, image_size);
  check(options.iterations > 0, "density_compensation: iterations must be positive, got ", options.iterations);
  check(!is_differentiated(own), "density_compensation: trajectory must not require gradients or carry a tangent");
  const at::Tensor points = own.flatten(0, -2).to(at::kDouble);
  const Convolution convolve(points, image_size);
  at::Tensor weights = at::ones({points.size(0)}, at::kDouble);
  for (int i = 0; i < options.iterations; ++i) {
    weights = weights / convolve(weights).abs();
  }
  // Weights on the grid are to be 1.
  const at::Tensor grid = grid_points(image_size);
  const at::Tensor of_grid = Convolution(grid, image_size)(at::ones({grid.size(0)}, at::kDouble));
  weights = weights * of_grid.mean();
  return weights.view(own.sizes().slice(0, own.sizes().size() - 1)).to(own.scalar_type());
}

}  // namespace adjoin
