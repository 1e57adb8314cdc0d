// SPDX-License-Identifier: BSD-3-Clause
// Dtypes and operations that backends lack, in terms of what they have: NaN in minima by the order of bits, complex
// numbers as pairs.
#include "comm/backend/reducible.hpp"

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>

namespace adjoin {

namespace {

c10d::ReduceOp::RedOpType backend_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::product:
      return c10d::ReduceOp::PRODUCT;
    case ReduceOp::min:
      return c10d::ReduceOp::MIN;
    case ReduceOp::max:
      return c10d::ReduceOp::MAX;
    default:
      return c10d::ReduceOp::SUM;
  }
}

/// Backends lose NaN in minima and maxima of floating-point numbers. Their bits, seen as integers, have the order of
/// the numbers once those below the sign are turned in negative ones; turning them again undoes it. NaN goes to the end
/// that wins, where the bits are those of NaN, too.
at::Tensor turned(const at::Tensor& bits) {
  const bool is_double = bits.scalar_type() == at::kLong;
  const std::int64_t below_sign =
      is_double ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int32_t>::max();
  return bits.bitwise_xor(bits.bitwise_right_shift(is_double ? 63 : 31).bitwise_and(below_sign));
}

at::Tensor ordered_bits(const at::Tensor& tensor, ReduceOp op) {
  const bool is_double = tensor.scalar_type() == at::kDouble;
  const at::Tensor numbers = is_double ? tensor : tensor.to(at::kFloat);
  const at::Tensor bits = turned(numbers.view(is_double ? at::kLong : at::kInt));
  const at::Scalar end =
      op == ReduceOp::max
          ? (is_double ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int32_t>::max())
          : (is_double ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int32_t>::min());
  return bits.masked_fill(numbers.isnan(), end);
}

}  // namespace

at::Tensor Reducible::values_of(const at::Tensor& result) const {
  return ordered_bits ? turned(result).view(result.scalar_type() == at::kLong ? at::kDouble : at::kFloat) : result;
}

Reducible as_reducible(const at::Tensor& tensor, ReduceOp op) {
  if (tensor.is_floating_point() && (op == ReduceOp::min || op == ReduceOp::max)) {
    return {ordered_bits(tensor, op), backend_op(op), true};
  }
  switch (tensor.scalar_type()) {
    case at::kBool:
      return {tensor.view(at::kByte),
              op == ReduceOp::sum || op == ReduceOp::max ? c10d::ReduceOp::MAX : c10d::ReduceOp::MIN};
    case at::kShort:
      return {tensor.to(at::kInt), backend_op(op)};
    case at::kHalf:
    case at::kBFloat16:
      // Accelerators have both; on the host they are combined in single precision.
      return {tensor.is_cpu() ? tensor.to(at::kFloat) : tensor, backend_op(op)};
    case at::kComplexHalf:
    case at::kComplexFloat:
    case at::kComplexDouble:
      return as_reducible(at::view_as_real(tensor), op);
    default:
      return {tensor, backend_op(op)};
  }
}

}  // namespace adjoin
