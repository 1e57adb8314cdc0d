// SPDX-License-Identifier: BSD-3-Clause
// Checks of what callers hand to collectives.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/reduce_op.hpp"

namespace adjoin {

inline void check_defined(const char* method, const at::Tensor& tensor) {
  check(tensor.defined() && tensor.layout() == at::kStrided, method, ": the tensor must be a dense one, got ",
        tensor.defined() ? c10::str("layout ", tensor.layout()) : std::string("an undefined one"));
}

/// That tensors of `dtype` have a reduction by `op`.
void check_reducible(const char* method, at::ScalarType dtype, ReduceOp op);

inline std::int64_t sum_of(const std::vector<std::int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

/// One count a rank, none negative.
void check_counts(const char* method, const std::vector<std::int64_t>& counts, int size);
void check_gather_buffer(const char* method, const at::Tensor& buffer, const std::vector<std::int64_t>& counts,
                         int size);

inline void check_root(const char* method, int root, int size) {
  check(root >= 0 && root < size, method, ": root must be a rank below ", size, ", got ", root);
}

}  // namespace adjoin
