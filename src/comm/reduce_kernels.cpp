#include "reduce_kernels.hpp"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <c10/util/complex.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/simd.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Everything is inlined into one function, which is then compiled for each instruction set.
#if defined(__GNUC__)
#define ADJOIN_INLINE inline __attribute__((always_inline))
#else
#define ADJOIN_INLINE inline
#endif

namespace adjoin {

namespace {

/// Short blocks: the result of one stays in the first-level cache while further sources are added.
constexpr std::size_t block_bytes = 8192;
constexpr std::size_t vector_bytes = 16;
/// Results larger than this leave the caches before they are read again: they are written past them, which spares
/// reading them first.
constexpr std::size_t stream_bytes = std::size_t{16} << 20;

template <ReduceOp op, class T>
ADJOIN_INLINE T combine(T a, T b) {
  if constexpr (std::is_same_v<T, c10::Half> || std::is_same_v<T, c10::BFloat16>) {
    return static_cast<T>(combine<op>(static_cast<float>(a), static_cast<float>(b)));
  } else if constexpr (std::is_same_v<T, bool>) {
    return op == ReduceOp::sum || op == ReduceOp::max ? (a || b) : (a && b);
  } else if constexpr (op == ReduceOp::sum) {
    return static_cast<T>(a + b);
  } else if constexpr (op == ReduceOp::product) {
    return static_cast<T>(a * b);
  } else if constexpr (op == ReduceOp::min) {
    return b < a ? b : a;
  } else {
    return a < b ? b : a;
  }
}

template <ReduceOp op, class T>
ADJOIN_INLINE void reduce_two(T* output, const T* a, const T* b, std::size_t numel) {
#pragma GCC ivdep
  for (std::size_t i = 0; i < numel; ++i) {
    output[i] = combine<op>(a[i], b[i]);
  }
}

template <ReduceOp op, class T>
ADJOIN_INLINE void reduce(T* output, const void* const* sources, std::size_t count, std::size_t begin,
                          std::size_t numel) {
  const auto source = [&](std::size_t s) { return static_cast<const T*>(sources[s]) + begin; };
  if (count == 1) {
    std::copy_n(source(0), numel, output);
    return;
  }
  reduce_two<op>(output, source(0), source(1), numel);
  for (std::size_t s = 2; s < count; ++s) {
    reduce_two<op>(output, output, source(s), numel);
  }
}

template <class T>
ADJOIN_INLINE void reduce_typed(ReduceOp op, void* output, const void* const* sources, std::size_t count,
                                std::size_t begin, std::size_t numel) {
  auto* const typed = static_cast<T*>(output);
  if (op == ReduceOp::sum) {
    reduce<ReduceOp::sum>(typed, sources, count, begin, numel);
  } else if (op == ReduceOp::product) {
    reduce<ReduceOp::product>(typed, sources, count, begin, numel);
  } else if constexpr (!c10::is_complex<T>::value) {
    if (op == ReduceOp::min) {
      reduce<ReduceOp::min>(typed, sources, count, begin, numel);
    } else {
      reduce<ReduceOp::max>(typed, sources, count, begin, numel);
    }
  }
}

ADJOIN_SIMD bool reduce_block(at::ScalarType dtype, ReduceOp op, void* output, const void* const* sources,
                              std::size_t count, std::size_t begin, std::size_t numel) {
  switch (dtype) {
    case at::kFloat:
      reduce_typed<float>(op, output, sources, count, begin, numel);
      return true;
    case at::kDouble:
      reduce_typed<double>(op, output, sources, count, begin, numel);
      return true;
    case at::kHalf:
      reduce_typed<c10::Half>(op, output, sources, count, begin, numel);
      return true;
    case at::kBFloat16:
      reduce_typed<c10::BFloat16>(op, output, sources, count, begin, numel);
      return true;
    case at::kComplexHalf:
      reduce_typed<c10::complex<c10::Half>>(op, output, sources, count, begin, numel);
      return true;
    case at::kComplexFloat:
      reduce_typed<c10::complex<float>>(op, output, sources, count, begin, numel);
      return true;
    case at::kComplexDouble:
      reduce_typed<c10::complex<double>>(op, output, sources, count, begin, numel);
      return true;
    case at::kBool:
      reduce_typed<bool>(op, output, sources, count, begin, numel);
      return true;
    case at::kByte:
      reduce_typed<std::uint8_t>(op, output, sources, count, begin, numel);
      return true;
    case at::kChar:
      reduce_typed<std::int8_t>(op, output, sources, count, begin, numel);
      return true;
    case at::kShort:
      reduce_typed<std::int16_t>(op, output, sources, count, begin, numel);
      return true;
    case at::kInt:
      reduce_typed<std::int32_t>(op, output, sources, count, begin, numel);
      return true;
    case at::kLong:
      reduce_typed<std::int64_t>(op, output, sources, count, begin, numel);
      return true;
    default:
      return false;
  }
}

/// Copies a multiple of 16 bytes to aligned memory, past the caches.
void stream_copy(std::byte* output, const std::byte* input, std::size_t bytes) {
#if defined(__SSE2__)
  for (std::size_t i = 0; i < bytes; i += sizeof(__m128i)) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(output + i),
                     _mm_load_si128(reinterpret_cast<const __m128i*>(input + i)));
  }
#else
  std::memcpy(output, input, bytes);
#endif
}

}  // namespace

void reduce_arrays(at::ScalarType dtype, ReduceOp op, void* output, std::span<const void* const> sources,
                   std::size_t begin, std::size_t numel) {
  const std::size_t item = c10::elementSize(dtype);
  const std::size_t block = block_bytes / item;
  const bool streams = numel * item >= stream_bytes && reinterpret_cast<std::uintptr_t>(output) % vector_bytes == 0;
  auto* target = static_cast<std::byte*>(output);
  const std::size_t end = begin + numel;
  alignas(64) std::array<std::byte, block_bytes> scratch;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (; begin < end; begin += block, target += block_bytes) {
    const std::size_t length = std::min(block, end - begin);
    const bool streamed = streams && length == block;
    check(reduce_block(dtype, op, streamed ? scratch.data() : target, sources.data(), sources.size(), begin, length),
          "reduce_arrays: dtype ", dtype, " cannot be reduced");
    if (streamed) {
      stream_copy(target, scratch.data(), block_bytes);
    }
  }
#if defined(__SSE2__)
  if (streams) {
    _mm_sfence();
  }
#endif
}

}  // namespace adjoin
