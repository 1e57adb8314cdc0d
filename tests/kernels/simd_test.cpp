// SPDX-License-Identifier: BSD-3-Clause
// The instruction set that our loops use.
#include "adjoin/core/simd.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace adjoin {
namespace {

ADJOIN_INLINE float sum(const float* x, std::int64_t n) {
  float total = 0.0F;
  for (std::int64_t i = 0; i < n; ++i) {
    total += x[i];
  }
  return total;
}

TEST(Simd, IsTheOneThatIsAskedForOrTheBest) {
  const char* asked = std::getenv("ADJOIN_SIMD");
  if (asked != nullptr && *asked != '\0') {
    EXPECT_EQ(to_string(instruction_set()), asked);
  }
#ifdef ADJOIN_HAS_INSTRUCTION_SETS
  else if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) {
    EXPECT_NE(instruction_set(), InstructionSet::plain);
  }
#endif
}

TEST(Simd, FunctionsGetTheirArgumentsAndReturn) {
  const float x[] = {1.0F, 2.0F, 3.0F};
  EXPECT_EQ((vectorised<sum>(x, std::int64_t{3})), 6.0F);
}

}  // namespace
}  // namespace adjoin
