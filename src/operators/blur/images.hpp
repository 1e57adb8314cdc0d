// SPDX-License-Identifier: BSD-3-Clause
// A batch of images as the CPU kernels take it, one image after another, and the filter of each.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <array>
#include <cstdint>

#include "core/parallel_for.hpp"

namespace adjoin::blur {

/// The last three sizes of an image or kernel, two-dimensional ones having one plane.
inline std::array<std::int64_t, 3> planes(at::IntArrayRef sizes) {
  return {sizes.size() == 3 ? sizes[0] : 1, sizes[sizes.size() - 2], sizes.back()};
}

/// Runs body(begin, end) on ranges of the `count` images of a batch: on as many threads as there are images for, else
/// on this one, and the others share its rows and columns.
template <class Body>
void for_image_ranges(std::int64_t count, const Body& body) {
  const std::int64_t grain = count >= at::get_num_threads() ? 1 : count;
  parallel_for(0, count, grain, body);
}

/// Place of the filter that serves image k of C channels, in a filter of b items and c channels, each 1 or as many.
inline std::int64_t filter_index(const at::Tensor& filter, std::int64_t k, std::int64_t channels) {
  return (filter.size(0) == 1 ? 0 : k / channels) * filter.size(1) + (filter.size(1) == 1 ? 0 : k % channels);
}

}  // namespace adjoin::blur
