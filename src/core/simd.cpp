// SPDX-License-Identifier: BSD-3-Clause
// The best instruction set of the machine, found once, unless the environment names a lesser one.
#include "adjoin/core/simd.hpp"

#include <array>
#include <cstdlib>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

constexpr std::array<std::string_view, 3> names = {"plain", "avx2", "avx512"};

InstructionSet best() {
#ifdef ADJOIN_HAS_INSTRUCTION_SETS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) {
    return InstructionSet::avx512;
  }
  if (__builtin_cpu_supports("x86-64-v3")) {
    return InstructionSet::avx2;
  }
#endif
  return InstructionSet::plain;
}

InstructionSet chosen() {
  const InstructionSet most = best();
  const char* name = std::getenv("ADJOIN_SIMD");
  if (name == nullptr || *name == '\0') {
    return most;
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) {
      const auto wanted = static_cast<InstructionSet>(i);
      if (wanted > most) {
        throw Error(c10::str("ADJOIN_SIMD asks for ", name, ", which this machine has not"));
      }
      return wanted;
    }
  }
  throw InvalidArgument(c10::str("ADJOIN_SIMD must be plain, avx2 or avx512, got '", name, "'"));
}

}  // namespace

InstructionSet instruction_set() {
  static const InstructionSet set = chosen();
  return set;
}

std::string_view to_string(InstructionSet set) { return names[static_cast<std::size_t>(set)]; }

}  // namespace adjoin
