// SPDX-License-Identifier: BSD-3-Clause
// What collectives say of themselves, after a check of their arguments.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "comm/argument_checks.hpp"
#include "comm/collective_spec.hpp"

namespace adjoin {

inline CollectiveSpec reduction_of(const char* method, const at::Tensor& tensor, ReduceOp op) {
  check_defined(method, tensor);
  check_reducible(method, tensor.scalar_type(), op);
  return {.method = method,
          .kind = CollectiveSpec::Kind::reduction,
          .dtype = tensor.scalar_type(),
          .op = op,
          .numel = tensor.numel(),
          .sizes = tensor.sizes()};
}

inline CollectiveSpec gather_of(const char* method, at::ScalarType dtype, const std::vector<std::int64_t>& counts) {
  return {
      .method = method, .kind = CollectiveSpec::Kind::gather, .dtype = dtype, .numel = sum_of(counts), .sizes = counts};
}

inline CollectiveSpec broadcast_of(const char* method, const at::Tensor& tensor, int root, int ranks) {
  check_defined(method, tensor);
  check_root(method, root, ranks);
  return {.method = method,
          .kind = CollectiveSpec::Kind::broadcast,
          .dtype = tensor.scalar_type(),
          .root = root,
          .numel = tensor.numel(),
          .sizes = tensor.sizes()};
}

}  // namespace adjoin
