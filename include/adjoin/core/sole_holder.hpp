// SPDX-License-Identifier: BSD-3-Clause
// Whether a tensor's memory may be written again.
#pragma once

#include <ATen/core/Tensor.h>

namespace adjoin {

/// Whether `tensor`, which is defined and has a storage, is the only tensor with its memory, and this its only handle.
inline bool is_sole_holder(const at::Tensor& tensor) {
  return tensor.use_count() == 1 && tensor.storage().use_count() == 1;
}

}  // namespace adjoin
