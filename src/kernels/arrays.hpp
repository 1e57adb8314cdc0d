// SPDX-License-Identifier: BSD-3-Clause
// Tensors as the CPU kernels read and write them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

namespace adjoin::kernels {

/// `tensor` with its numbers one behind the other and none of them yet to be conjugated or negated.
inline at::Tensor plain(const at::Tensor& tensor) { return tensor.resolve_conj().resolve_neg().contiguous(); }

/// Calls run(T{}) with T, float or double, the precision of `dtype`.
template <class Run>
void with_precision_of(at::ScalarType dtype, const Run& run) {
  if (at::toRealValueType(dtype) == at::kFloat) {
    run(float{});
  } else {
    run(double{});
  }
}

}  // namespace adjoin::kernels
