// SPDX-License-Identifier: BSD-3-Clause
// Texts of all ranks, one after the other in a tensor of bytes.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "comm/argument_checks.hpp"

namespace adjoin {

/// Memory for the ranks' texts of these lengths, with that of `rank` in its place.
inline at::Tensor texts_with_own(const std::string& text, const std::vector<std::int64_t>& lengths, int rank) {
  at::Tensor bytes = at::empty({sum_of(lengths)}, at::kByte);
  std::ranges::copy(text, static_cast<char*>(bytes.mutable_data_ptr()) +
                              std::accumulate(lengths.begin(), lengths.begin() + rank, std::int64_t{0}));
  return bytes;
}

/// The texts of these lengths.
inline std::vector<std::string> texts_in(const at::Tensor& bytes, const std::vector<std::int64_t>& lengths) {
  std::vector<std::string> texts;
  const char* data = static_cast<const char*>(bytes.const_data_ptr());
  for (const std::int64_t length : lengths) {
    texts.emplace_back(data, static_cast<std::size_t>(length));
    data += length;
  }
  return texts;
}

}  // namespace adjoin
