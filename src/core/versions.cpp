// SPDX-License-Identifier: BSD-3-Clause
// A tensor as an operator keeps it, so that changes in place are seen: itself, or without gradients, or a copy of one
// of inference mode.
#include "adjoin/core/versions.hpp"

#include <ATen/ATen.h>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/modes.hpp"

namespace adjoin {

at::Tensor watched(const at::Tensor& tensor) {
  if (!tensor.is_inference()) {
    return is_differentiated(tensor) ? tensor : tensor.detach();
  }
  const LastingValues lasting;
  return tensor.clone();
}

}  // namespace adjoin
