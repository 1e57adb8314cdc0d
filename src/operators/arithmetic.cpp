// SPDX-License-Identifier: BSD-3-Clause
// The names of the transform library and of the vector instructions in use.
#include "adjoin/operators/arithmetic.hpp"

#include "adjoin/core/simd.hpp"
#include "kernels/fft/library.hpp"

namespace adjoin {

std::string transform_library() {
  return (fft::uses_wide_transforms() ? "adjoin and " : "") + std::string(fft::to_string(fft::library()));
}

std::string vector_instructions() { return std::string(to_string(instruction_set())); }

}  // namespace adjoin
