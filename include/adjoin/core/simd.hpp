// Lets one source be compiled for several instruction sets, the best one chosen when the program starts.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
/// Marks a function whose loops should use the widest vectors of the machine that runs it.
#define ADJOIN_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ADJOIN_SIMD
#endif

/// Marks what such a function calls, so that it is compiled with it. Not where the whole program is compiled for a
/// newer instruction set, which could not be inlined into the clone for the oldest.
#if defined(__GNUC__) && !defined(__AVX__)
#define ADJOIN_INLINE inline __attribute__((always_inline))
#else
#define ADJOIN_INLINE inline
#endif
