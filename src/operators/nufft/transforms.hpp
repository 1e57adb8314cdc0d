// SPDX-License-Identifier: BSD-3-Clause
// Sums between images and samples of one trajectory, and their derivatives.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/derived.hpp"
#include "kernels/finufft.hpp"

namespace adjoin::nufft {

/// y_j = Σ_n x_n e^{−2πi k_j·(n − N / 2)} / √ΠN over the pixels n of an image of sizes N, and the adjoint, for complex
/// tensors with any leading axes. Both differentiate with respect to their argument and to the trajectory, as often as
/// asked, backwards and forwards. Held by shared pointers, which backward passes keep.
class Transforms : public std::enable_shared_from_this<Transforms> {
 public:
  /// `trajectory` (…, axes) in cycles a pixel, `image_size` as many sizes.
  Transforms(at::Tensor trajectory, std::vector<std::int64_t> image_size, double eps);

  const at::Tensor& trajectory() const { return trajectory_; }
  const std::vector<std::int64_t>& image_size() const { return image_size_; }
  double eps() const { return eps_; }
  /// The axes of samples: those of the trajectory but the last.
  at::IntArrayRef sample_size() const { return trajectory_.sizes().slice(0, trajectory_.sizes().size() - 1); }

  /// (…, image) to (…, samples).
  at::Tensor forward(const at::Tensor& x) const { return apply(x, trajectory_, Direction::forward); }
  /// (…, samples) to (…, image).
  at::Tensor adjoint(const at::Tensor& y) const { return apply(y, trajectory_, Direction::adjoint); }

 private:
  enum class Direction : std::uint8_t { forward, adjoint };
  static Direction opposite(Direction d) { return d == Direction::forward ? Direction::adjoint : Direction::forward; }
  struct PlanKey {
    at::ScalarType real;
    std::int64_t count;
    bool operator==(const PlanKey&) const = default;
  };

  at::Tensor apply(const at::Tensor& input, const at::Tensor& trajectory, Direction direction) const;
  /// The value of apply, without tangents.
  at::Tensor recorded(const at::Tensor& input, const at::Tensor& trajectory, Direction direction) const;
  at::Tensor evaluate(const at::Tensor& input, Direction direction) const;
  /// d/dk of Re ⟨g, result⟩ along each axis: of the sizes of the trajectory.
  at::Tensor trajectory_gradient(const at::Tensor& g, const at::Tensor& input, const at::Tensor& trajectory,
                                 Direction direction) const;
  /// The derivative of the result as the trajectory moves along `tangent`.
  at::Tensor along_trajectory(const at::Tensor& tangent, const at::Tensor& input, const at::Tensor& trajectory,
                              Direction direction) const;
  /// The image times the index n − N / 2 along each axis, (axes, …, image).
  at::Tensor by_indices(const at::Tensor& image) const;
  std::shared_ptr<const kernels::Finufft> plan(at::ScalarType real, std::int64_t count) const;

  at::Tensor trajectory_;
  std::vector<std::int64_t> image_size_;
  double eps_;
  Derived<kernels::Finufft, PlanKey> plans_;
};

}  // namespace adjoin::nufft
