// SPDX-License-Identifier: BSD-3-Clause
// Tensors as the backends of torch.distributed can reduce them.
#pragma once

#include <ATen/core/Tensor.h>

#include <torch/csrc/distributed/c10d/Types.hpp>

#include "adjoin/core/reduce_op.hpp"

namespace adjoin {

/// A tensor that every backend can reduce, whose reduction by `op` tells that of another tensor.
struct Reducible {
  at::Tensor tensor;
  c10d::ReduceOp::RedOpType op;
  /// Whether the numbers are bits of floating-point numbers in their order.
  bool ordered_bits = false;

  /// The values of a result like `tensor`, in a dtype of their own.
  at::Tensor values_of(const at::Tensor& result) const;
};

/// For `tensor`, of any dtype that can be reduced but complex under a product: memory of its own, or that of `tensor`
/// seen as another dtype.
Reducible as_reducible(const at::Tensor& tensor, ReduceOp op);

}  // namespace adjoin
