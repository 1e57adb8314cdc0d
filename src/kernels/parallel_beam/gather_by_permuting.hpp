// SPDX-License-Identifier: BSD-3-Clause
// Gathering for neighbouring results of one plane in single precision, which lie within a few vector registers: picking
// the entries is a permutation.
#pragma once

#include "kernels/parallel_beam/gather.hpp"

#ifdef ADJOIN_HAS_INSTRUCTION_SETS
#define ADJOIN_AVX512 __attribute__((target("avx512f,avx512dq")))
#define ADJOIN_AVX2 __attribute__((target("avx2,fma")))
#include <immintrin.h>
#endif

namespace adjoin::parallel_beam {

#ifdef ADJOIN_AVX512
/// The same for 16 lanes of one plane that lie within 32 entries, with one tap on each side: the entries are two
/// registers, and picking them is a permutation.
template <class Sources>
ADJOIN_AVX512 void gather_by_16(const Sources& source, std::int64_t begin, std::int64_t end, Bounds bounds,
                                float* sums) {
  // GCC 12 warns of uninitialised values in the forms of these instructions that take no mask.
  constexpr __mmask16 all = 0xFFFF;
  const __m512 lane = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512 one = _mm512_set1_ps(1.0F);
  __m512 left = _mm512_loadu_ps(sums);
  __m512 right = _mm512_setzero_ps();
  const auto high = static_cast<double>(bounds.high);
  for (std::int64_t i = begin; i < end; ++i) {
    const Source<float> s = source(i);
    const double position = std::min(std::max(s.position, 0.0), high);
    const auto base = static_cast<std::int64_t>(position);
    const __m512 rest = _mm512_set1_ps(static_cast<float>(position - static_cast<double>(base)));
    const __m512 at = _mm512_fmadd_ps(_mm512_set1_ps(s.step), lane, rest);
    const __m512i index = _mm512_maskz_cvttps_epi32(all, at);
    const __m512 fraction = _mm512_maskz_reduce_ps(all, at, _MM_FROUND_TO_ZERO);
    const __m512 first = _mm512_loadu_ps(s.row + base);
    const __m512 second = _mm512_loadu_ps(s.row + base + 16);
    const __m512 slope = _mm512_set1_ps(s.slope);
    const __m512 left_weight = _mm512_maskz_max_ps(all, _mm512_setzero_ps(), _mm512_fnmadd_ps(slope, fraction, one));
    const __m512 right_weight =
        _mm512_maskz_max_ps(all, _mm512_setzero_ps(), _mm512_fmadd_ps(slope, fraction, _mm512_sub_ps(one, slope)));
    left = _mm512_fmadd_ps(left_weight, _mm512_permutex2var_ps(first, index, second), left);
    right = _mm512_fmadd_ps(
        right_weight, _mm512_permutex2var_ps(first, _mm512_add_epi32(index, _mm512_set1_epi32(1)), second), right);
  }
  _mm512_storeu_ps(sums, _mm512_add_ps(left, right));
}

/// Entries `index` of the 16 of two registers.
ADJOIN_AVX2 inline __m256 pick(__m256 first, __m256 second, __m256i index) {
  const __m256i in_second = _mm256_slli_epi32(index, 28);  // bit 3 becomes the sign
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(first, index), _mm256_permutevar8x32_ps(second, index),
                          _mm256_castsi256_ps(in_second));
}

/// `sum` and the weighted entries for 8 lanes from `position` on, which lie within 16 entries.
ADJOIN_AVX2 inline __m256 add_8(__m256 sum, const Source<float>& s, double position, double high) {
  const __m256 lane = _mm256_set_ps(7, 6, 5, 4, 3, 2, 1, 0);
  const __m256 one = _mm256_set1_ps(1.0F);
  position = std::min(std::max(position, 0.0), high);
  const auto base = static_cast<std::int64_t>(position);
  const __m256 rest = _mm256_set1_ps(static_cast<float>(position - static_cast<double>(base)));
  const __m256 at = _mm256_fmadd_ps(_mm256_set1_ps(s.step), lane, rest);
  const __m256i index = _mm256_cvttps_epi32(at);
  const __m256 fraction = _mm256_sub_ps(at, _mm256_cvtepi32_ps(index));
  const __m256 first = _mm256_loadu_ps(s.row + base);
  const __m256 second = _mm256_loadu_ps(s.row + base + 8);
  const __m256 slope = _mm256_set1_ps(s.slope);
  const __m256 left = _mm256_max_ps(_mm256_setzero_ps(), _mm256_fnmadd_ps(slope, fraction, one));
  const __m256 right = _mm256_max_ps(_mm256_setzero_ps(), _mm256_fmadd_ps(slope, fraction, _mm256_sub_ps(one, slope)));
  sum = _mm256_fmadd_ps(left, pick(first, second, index), sum);
  return _mm256_fmadd_ps(right, pick(first, second, _mm256_add_epi32(index, _mm256_set1_epi32(1))), sum);
}

/// As gather_by_16 for machines with registers of half the size.
template <class Sources>
ADJOIN_AVX2 void gather_by_8(const Sources& source, std::int64_t begin, std::int64_t end, Bounds bounds, float* sums) {
  __m256 near = _mm256_loadu_ps(sums);
  __m256 far = _mm256_loadu_ps(sums + 8);
  const auto high = static_cast<double>(bounds.high);
  for (std::int64_t i = begin; i < end; ++i) {
    const Source<float> s = source(i);
    near = add_8(near, s, s.position, high);
    far = add_8(far, s, s.position + 8.0 * static_cast<double>(s.step), high);
  }
  _mm256_storeu_ps(sums, near);
  _mm256_storeu_ps(sums + 8, far);
}
#endif

/// What is compiled for each instruction set.
template <class T, int planes, class Sources>
ADJOIN_INLINE void gather_all(Sources source, std::int64_t begin, std::int64_t end, Bounds bounds, T* sums) {
  if (bounds.taps == 1) {
    gather<T, planes, true>(source, begin, end, bounds, sums);
  } else {
    gather<T, planes, false>(source, begin, end, bounds, sums);
  }
}

/// `narrow`: whether 16 lanes lie within the window, and one tap on each side serves.
template <class T, int planes, class Sources>
void run(const Sources& source, std::int64_t begin, std::int64_t end, Bounds bounds, bool narrow, T* sums) {
#ifdef ADJOIN_AVX512
  if constexpr (planes == 1 && std::is_same_v<T, float>) {
    if (narrow) {
      const auto by_permuting =
          instruction_set() == InstructionSet::avx512 ? gather_by_16<Sources> : gather_by_8<Sources>;
      by_permuting(source, begin, end, bounds, sums);
      return;
    }
  }
#endif
  vectorised<gather_all<T, planes, Sources>>(source, begin, end, bounds, sums);
}

inline bool narrow(double step, std::int64_t taps) {
#ifdef ADJOIN_AVX512
  return taps == 1 && 15.0 * step + 2.0 <= static_cast<double>(window) && instruction_set() != InstructionSet::plain;
#else
  return false;
#endif
}

}  // namespace adjoin::parallel_beam
