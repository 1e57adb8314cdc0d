// SPDX-License-Identifier: BSD-3-Clause
// Lets one source be compiled for several instruction sets, of which the best that the machine has is chosen when it
// runs.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#if defined(__x86_64__) && defined(__GNUC__) && (!defined(__clang__) || __clang_major__ >= 18)
#define ADJOIN_HAS_INSTRUCTION_SETS 1
#endif

/// Marks what is compiled with the function that calls it, for each instruction set. Not where the whole program is
/// compiled for a newer instruction set, which could not be inlined into the oldest.
#if defined(__GNUC__) && !defined(__AVX__)
#define ADJOIN_INLINE inline __attribute__((always_inline))
#else
#define ADJOIN_INLINE inline
#endif

/// Goes before a loop that writes nothing which it reads in another round. Clang, which warns where such a promise
/// brings nothing, finds out when it runs.
#if defined(__GNUC__) && !defined(__clang__)
#define ADJOIN_INDEPENDENT _Pragma("GCC ivdep")
#else
#define ADJOIN_INDEPENDENT
#endif

namespace adjoin {

enum class InstructionSet : std::uint8_t {
  plain,  ///< what every machine has that the program runs on
  avx2,   ///< x86-64-v3: AVX2, FMA
  avx512  ///< x86-64-v4: AVX-512 F, BW, CD, DQ, VL
};

/// The one in use: the best that the machine has, or a lesser one that the environment variable ADJOIN_SIMD names
/// ("plain", "avx2", "avx512"). Found at the first question. Throws InvalidArgument for other names, and Error for one
/// that the machine has not.
InstructionSet instruction_set();
std::string_view to_string(InstructionSet set);

#ifdef ADJOIN_HAS_INSTRUCTION_SETS
namespace detail {

template <auto function, class... Arguments>
__attribute__((target("arch=x86-64-v4"), noinline)) auto run_with_avx512(Arguments... arguments) {
  return function(arguments...);
}
template <auto function, class... Arguments>
__attribute__((target("arch=x86-64-v3"), noinline)) auto run_with_avx2(Arguments... arguments) {
  return function(arguments...);
}

}  // namespace detail
#endif

/// Calls `function`, which is ADJOIN_INLINE and whose loops should use the widest vectors of the machine.
template <auto function, class... Arguments>
auto vectorised(Arguments... arguments) {
#ifdef ADJOIN_HAS_INSTRUCTION_SETS
  using Compiled = decltype(function(arguments...)) (*)(Arguments...);
  static const Compiled best = []() -> Compiled {
    switch (instruction_set()) {
      case InstructionSet::avx512:
        return detail::run_with_avx512<function, Arguments...>;
      case InstructionSet::avx2:
        return detail::run_with_avx2<function, Arguments...>;
      case InstructionSet::plain:
        break;
    }
    return [](Arguments... given) { return function(given...); };
  }();
  return best(arguments...);
#else
  return function(arguments...);
#endif
}

}  // namespace adjoin
