// SPDX-License-Identifier: BSD-3-Clause
// What an operator holds for each slice of an image, cut to some of the slices.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

namespace adjoin {

/// Entries [begin, end) of `tensor` along `axis`, as a view; one entry in place of none.
inline at::Tensor some_slices(const at::Tensor& tensor, std::int64_t axis, std::int64_t begin, std::int64_t end) {
  const std::int64_t first = std::min(begin, tensor.size(axis) - 1);
  return tensor.narrow(axis, first, std::max<std::int64_t>(end - begin, 1));
}

}  // namespace adjoin
