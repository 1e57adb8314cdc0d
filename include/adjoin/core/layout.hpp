// SPDX-License-Identifier: BSD-3-Clause
// Sizes, dtype and device of a tensor: what plans are made for.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <cstdint>

namespace adjoin {

struct Layout {
  c10::SmallVector<std::int64_t, 5> sizes;
  at::ScalarType dtype;
  at::Device device;

  explicit Layout(const at::Tensor& tensor)
      : sizes(tensor.sizes().begin(), tensor.sizes().end()), dtype(tensor.scalar_type()), device(tensor.device()) {}
  bool operator==(const Layout&) const = default;
  /// Whether `tensor` has this layout.
  bool operator==(const at::Tensor& tensor) const {
    return tensor.scalar_type() == dtype && tensor.sizes() == at::IntArrayRef(sizes) && tensor.device() == device;
  }
};

}  // namespace adjoin
