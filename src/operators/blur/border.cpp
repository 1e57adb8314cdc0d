// SPDX-License-Identifier: BSD-3-Clause
// Padding of each kind, and the folding back of what lies beyond an image.
#include "operators/blur/border.hpp"

#include <ATen/ATen.h>

namespace adjoin::blur {

at::Tensor pad(const at::Tensor& x, at::IntArrayRef before, at::IntArrayRef after, Padding padding) {
  c10::SmallVector<std::int64_t, 6> widths;
  bool any = false;
  for (std::size_t i = before.size(); i-- > 0;) {
    widths.push_back(before[i]);
    widths.push_back(after[i]);
    any = any || before[i] != 0 || after[i] != 0;
  }
  return any ? at::pad(x, widths, to_string(padding == Padding::Valid ? Padding::Constant : padding)) : x;
}

at::Tensor fold(const at::Tensor& z, std::int64_t axis, std::int64_t before, std::int64_t after, Padding padding) {
  const std::int64_t size = z.size(axis) - before - after;
  at::Tensor image = z.narrow(axis, before, size);
  const at::Tensor left = z.narrow(axis, 0, before);
  const at::Tensor right = z.narrow(axis, before + size, after);
  switch (padding) {
    case Padding::Circular:
      image.narrow(axis, size - before, before).add_(left);
      image.narrow(axis, 0, after).add_(right);
      break;
    case Padding::Replicate:
      image.narrow(axis, 0, 1).add_(left.sum(axis, true));
      image.narrow(axis, size - 1, 1).add_(right.sum(axis, true));
      break;
    case Padding::Reflect:
      image.narrow(axis, 1, before).add_(left.flip(axis));
      image.narrow(axis, size - 1 - after, after).add_(right.flip(axis));
      break;
    case Padding::Valid:
    case Padding::Constant:
      break;
  }
  return image;
}

}  // namespace adjoin::blur
