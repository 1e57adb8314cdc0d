// SPDX-License-Identifier: BSD-3-Clause
// The words that travel with every payload: by them one rank can call upon all to stop and confer, and samples of
// replicated arguments are compared.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace adjoin {

/// What a rank says with its payload.
struct Status {
  /// It has failed, or has another layout than was agreed on.
  bool confer = false;
  /// Of its replicated arguments; NaN when it has none to tell.
  double sample = 0.0;
};

/// What all ranks together say.
struct Verdict {
  bool confer = false;
  /// Whether the samples are so unlike that a closer look is due.
  bool unlike = false;
};

/// Elements behind the payload of a reduction.
constexpr std::int64_t status_elements = 3;
/// Bytes of the header of a gathered segment; also the alignment of what follows it.
constexpr std::int64_t header_bytes = 64;

constexpr std::int64_t aligned(std::int64_t bytes) { return (bytes + header_bytes - 1) / header_bytes * header_bytes; }

/// Writes the status behind `numel` elements of a flat tensor; reads the verdict there, when it is the sum of those of
/// `ranks` ranks.
void write_status(at::Tensor& flat, std::int64_t numel, const Status& status);
Verdict read_status(const at::Tensor& flat, std::int64_t numel, int ranks);

/// The same in the headers at these bytes of a flat tensor of bytes.
void write_header(at::Tensor& bytes, std::int64_t offset, const Status& status);
Verdict read_headers(const at::Tensor& bytes, const std::vector<std::int64_t>& offsets);

}  // namespace adjoin
