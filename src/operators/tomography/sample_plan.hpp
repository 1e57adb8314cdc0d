// SPDX-License-Identifier: BSD-3-Clause
// The grid of a SampledProjection made ready for tensors of one precision, on one device, and what it computes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "adjoin/operators/tomography/sampled_projection.hpp"
#include "kernels/sampled_lines.hpp"

namespace adjoin {

class SampledProjection::Plan {
 public:
  enum class Direction : std::uint8_t { project, backproject };

  Plan(const SampledProjection& op, at::ScalarType dtype, at::Device device);

  /// Whether the functions of one image below serve such tensors.
  static bool has_kernels(const at::Tensor& tensor) {
    return tensor.is_cpu() && (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble);
  }

  std::int64_t views() const { return grid_.size(0); }
  std::int64_t lines() const { return grid_.size(2); }
  const sampled_lines::Frame& frame() const { return frame_; }
  std::vector<std::int64_t> result_sizes(const at::Tensor& input, Direction direction) const;

  /// The projection, or its adjoint, of valid input; recorded by autograd.
  static at::Tensor apply(const std::shared_ptr<const Plan>& plan, const at::Tensor& input, Direction direction);

  // The parts of the kernels' work on one image, for what several operators do together.
  template <class T>
  void add_border(const T* image, T* bordered) const {
    sampled_lines::add_border(frame_, image, weights<T>(), bordered);
  }
  template <class T>
  void drop_border(const T* bordered, T* image) const {
    sampled_lines::drop_border(frame_, bordered, weights<T>(), image);
  }
  template <class T>
  void project(const T* bordered, T* room, T* y) const {
    for (std::int64_t a = 0; a < views(); ++a) {
      sampled_lines::project(frame_, bordered, view<T>(a), static_cast<T>(options_.factor), room, y + a, views());
    }
  }
  template <class T>
  void backproject(const T* y, T* room, T* bordered) const {
    for (std::int64_t a = 0; a < views(); ++a) {
      sampled_lines::backproject(frame_, y + a, views(), view<T>(a), static_cast<T>(options_.factor), room, bordered);
    }
  }

 private:
  struct Recorded;
  struct Handle;

  template <class T>
  const T* weights() const {
    return options_.weights.defined() ? static_cast<const T*>(options_.weights.const_data_ptr()) : nullptr;
  }
  template <class T>
  sampled_lines::View<T> view(std::int64_t a) const {
    return {.grid = static_cast<const T*>(grid_.const_data_ptr()) + a * grid_.stride(0),
            .sample_stride = grid_.stride(1),
            .samples = grid_.size(1),
            .lines = grid_.size(2),
            .ranges = ranges_.data() + a * grid_.size(1)};
  }
  at::Tensor evaluate(const at::Tensor& input, Direction direction) const;
  at::Tensor evaluate_by_torch(const at::Tensor& input, Direction direction) const;

  sampled_lines::Frame frame_;
  SampledProjectionOptions options_;
  at::Tensor grid_;
  std::vector<sampled_lines::Range> ranges_;  // (views, samples)
};

}  // namespace adjoin
