// SPDX-License-Identifier: BSD-3-Clause
// The errors of collectives for dtypes that cannot be reduced, and for counts that do not fit the ranks.
#include "comm/argument_checks.hpp"

#include "comm/backend/staging.hpp"

namespace adjoin {

void check_reducible(const char* method, at::ScalarType dtype, ReduceOp op) {
  switch (dtype) {
    case at::kFloat:
    case at::kDouble:
    case at::kHalf:
    case at::kBFloat16:
    case at::kBool:
    case at::kByte:
    case at::kChar:
    case at::kShort:
    case at::kInt:
    case at::kLong:
      return;
    case at::kComplexHalf:
    case at::kComplexFloat:
    case at::kComplexDouble:
      check(op == ReduceOp::sum || op == ReduceOp::product, method,
            ": the tensor must be real for a minimum or maximum: complex numbers have no order, got ", dtype);
      return;
    default:
      check(false, method, ": tensors of dtype ", dtype, " cannot be reduced");
  }
}

void check_counts(const char* method, const std::vector<std::int64_t>& counts, int size) {
  check(counts.size() == static_cast<std::size_t>(size), method, ": counts must have one entry a rank, ", size,
        ", got ", counts.size());
  for (const std::int64_t count : counts) {
    check(count >= 0, method, ": counts must not be negative, got ", count);
  }
}

void check_gather_buffer(const char* method, const at::Tensor& buffer, const std::vector<std::int64_t>& counts,
                         int size) {
  check_counts(method, counts, size);
  check(buffer.defined() && is_dense(buffer), method, ": buffer must be a contiguous tensor");
  check(buffer.numel() == sum_of(counts), method, ": buffer must have the ", sum_of(counts),
        " elements that counts add up to, got ", buffer.numel());
}

}  // namespace adjoin
