// SPDX-License-Identifier: BSD-3-Clause
// Products of an image with weights that repeat along it, on the CPU.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace adjoin::kernels {

/// Entry k of the image has weight k modulo `period`.
struct RepeatedWeights {
  const void* data;
  std::int64_t period;
};

/// What becomes of w · x, or conj(w) · x.
enum class Use : std::uint8_t { store, store_conjugate, add_conjugate };

/// Entries [begin, end) of the product into `to`; weights, image and result are of one dtype, float, double or complex
/// of these.
void weigh(at::ScalarType dtype, Use use, void* to, const RepeatedWeights& weights, const void* x, std::int64_t begin,
           std::int64_t end);

}  // namespace adjoin::kernels
