// SPDX-License-Identifier: BSD-3-Clause
// Copies that cost no more than they must.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>

namespace adjoin {

/// Copies `from` to `to`, of equal shape, unless it lies there; a plain copy of memory where that is right.
inline void copy_into(at::Tensor& to, const at::Tensor& from) {
  if (from.numel() == 0 || from.const_data_ptr() == to.const_data_ptr()) {
    return;
  }
  if (to.is_cpu() && from.is_cpu() && to.scalar_type() == from.scalar_type() && to.is_contiguous() &&
      from.is_contiguous() && !from.is_conj() && !from.is_neg()) {
    std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), from.nbytes());
  } else {
    to.copy_(from);
  }
}

}  // namespace adjoin
