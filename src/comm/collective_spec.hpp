// SPDX-License-Identifier: BSD-3-Clause
// One collective, as it is compared among the ranks and described to people.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "adjoin/core/reduce_op.hpp"

namespace adjoin {

struct CollectiveSpec {
  enum class Kind : std::uint8_t {
    reduction,
    numbers,  ///< a reduction of a few
    buffer_reduction,
    shared_buffer_reduction,
    buffer_gather,
    shared_buffer_gather,
    gather,
    scatter,  ///< of a reduction
    buffer_scatter,
    broadcast,
    barrier,
    making_buffer,
    making_memory,
    split
  };

  /// The public method.
  const char* method;
  Kind kind;
  at::ScalarType dtype = at::kByte;
  ReduceOp op = ReduceOp::sum;
  int root = -1;
  std::int64_t numel = 0;
  /// A shape, or the lengths that the ranks contribute. It need only last as long as the collective.
  at::IntArrayRef sizes = {};
  /// Which reduce buffer of the communicator, counted as they were made.
  std::uint64_t buffer = 0;

  /// A number that hardly any other collective has; never 0.
  std::uint64_t word() const;
  /// "sum of 4096 float32".
  std::string text() const;
};

/// `seed` and `value` in one number that hardly any other two have.
inline std::uint64_t mixed(std::uint64_t seed, std::uint64_t value) {
  constexpr std::uint64_t factor = 0x9FB21C651E98DF25;
  const std::uint64_t product = (seed ^ value) * factor;
  return product ^ (product >> 32U);
}

}  // namespace adjoin
