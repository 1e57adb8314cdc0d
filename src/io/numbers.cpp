// SPDX-License-Identifier: BSD-3-Clause
// Truth values and unsigned numbers of files in the dtypes that torch has for them.
#include "io/numbers.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>

#include "adjoin/core/errors.hpp"

namespace adjoin {

void keep_truth_values(const at::Tensor& array) {
  auto* bytes = static_cast<unsigned char*>(array.mutable_data_ptr());
  std::transform(bytes, bytes + array.nbytes(), bytes, [](unsigned char byte) { return byte == 0 ? 0 : 1; });
}

at::Tensor from_unsigned(const char* reader, const std::filesystem::path& path, const at::Tensor& array) {
  if (array.scalar_type() == at::kShort) {
    return array.to(at::kInt).bitwise_and_(0xFFFF);
  }
  if (array.scalar_type() == at::kInt) {
    return array.to(at::kLong).bitwise_and_(0xFFFFFFFF);
  }
  const auto* values = static_cast<const std::int64_t*>(array.const_data_ptr());
  check(std::all_of(values, values + array.numel(), [](std::int64_t value) { return value >= 0; }), reader, ": ", path,
        " holds unsigned numbers that are too large for an int64");
  return array;
}

}  // namespace adjoin
