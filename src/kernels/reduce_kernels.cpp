// SPDX-License-Identifier: BSD-3-Clause
// Reductions that ask for memory ahead of its use, and write past the caches where nobody reads soon.
#include "kernels/reduce_kernels.hpp"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <c10/util/complex.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/simd.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace adjoin {

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t line_bytes = 64;

template <class T>
ADJOIN_INLINE bool is_nan(T value) {
  return std::is_floating_point_v<T> && value != value;
}

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
    return b < a || is_nan(b) ? b : a;
  } else {
    return a < b || is_nan(b) ? b : a;
  }
}

/// Asks for the beginning of the page after `page`, and with it for the translation of its address. It need not exist.
ADJOIN_INLINE void prefetch_after(const void* page) {
#if defined(__GNUC__)
  constexpr std::size_t lines = 4;
  const std::uintptr_t next = reinterpret_cast<std::uintptr_t>(page) + page_bytes;
  for (std::size_t line = 0; line < lines; ++line) {
    // An integer, since a pointer must not leave its array.
    __builtin_prefetch(reinterpret_cast<const void*>(next + line * line_bytes));  // NOLINT(performance-no-int-to-ptr)
  }
#endif
}

/// Asks for the line at `address` to be written. It need not exist.
ADJOIN_INLINE void prefetch_to_write(const void* address) {
#if defined(__x86_64__)
  // Not __builtin_prefetch, which asks for lines to be read unless the target is known to tell the two apart.
  asm volatile("prefetchw (%0)" : : "r"(address));
#elif defined(__GNUC__)
  __builtin_prefetch(address, 1);
#endif
}

template <ReduceOp op, class T>
ADJOIN_INLINE void reduce_span(T* output, const T* a, const T* b, std::size_t numel) {
  ADJOIN_INDEPENDENT
  for (std::size_t i = 0; i < numel; ++i) {
    output[i] = combine<op>(a[i], b[i]);
  }
}

/// output ← a op b, to an output whose lines may lie in the caches of others: they are asked for in time.
template <ReduceOp op, class T>
ADJOIN_INLINE void reduce_ahead(T* output, const T* a, const T* b, std::size_t numel) {
  constexpr std::size_t ahead = 1024;
  constexpr std::size_t items = ahead / sizeof(T);
  for (std::size_t begin = 0; begin < numel; begin += items) {
    // An integer, since a pointer must not leave its array.
    const std::uintptr_t next = reinterpret_cast<std::uintptr_t>(output + begin) + ahead;
    for (std::size_t line = 0; line < ahead; line += line_bytes) {
      prefetch_to_write(reinterpret_cast<const void*>(next + line));  // NOLINT(performance-no-int-to-ptr)
    }
    reduce_span<op>(output + begin, a + begin, b + begin, std::min(items, numel - begin));
  }
}

/// output ← a op b, to a cache-line-aligned output that is written past the caches.
template <ReduceOp op, class T>
ADJOIN_INLINE void stream_span(T* output, const T* a, const T* b, std::size_t numel) {
  std::size_t i = 0;
#if defined(__SSE2__)
  constexpr std::size_t items = line_bytes / sizeof(T);
  for (; i + items <= numel; i += items) {
    alignas(line_bytes) T line[items];
    reduce_span<op>(line, a + i, b + i, items);
    for (std::size_t v = 0; v < line_bytes / sizeof(__m128i); ++v) {
      _mm_stream_si128(reinterpret_cast<__m128i*>(output + i) + v,
                       _mm_load_si128(reinterpret_cast<__m128i*>(line) + v));
    }
  }
#endif
  reduce_span<op>(output + i, a + i, b + i, numel - i);
}

/// output ← a op b for at most a page: the processor's own prefetching stops at the end of one.
template <ReduceOp op, class T>
ADJOIN_INLINE void reduce_page(T* output, const T* a, const T* b, std::size_t numel, bool streams) {
  prefetch_after(a);
  prefetch_after(b);
  if (streams) {
    stream_span<op>(output, a, b, numel);
  } else {
    reduce_ahead<op>(output, a, b, numel);
  }
}

struct Sources {
  const void* const* arrays;
  std::size_t count;

  template <class T>
  ADJOIN_INLINE const T* get(std::size_t s) const {
    return static_cast<const T*>(arrays[s]);
  }
};

template <ReduceOp op, class T>
ADJOIN_INLINE void reduce(T* output, const Sources& sources, std::size_t numel, bool streams) {
  if (sources.count == 1) {
    std::copy_n(sources.get<T>(0), numel, output);
    return;
  }
  // Page by page, the results of which stay in the first-level cache while all but the last source are combined.
  alignas(line_bytes) std::byte aside[page_bytes];
  T* const partial = reinterpret_cast<T*>(aside);
  constexpr std::size_t page = page_bytes / sizeof(T);
  const std::size_t last = sources.count - 1;
  for (std::size_t begin = 0; begin < numel; begin += page) {
    const std::size_t length = std::min(page, numel - begin);
    const T* first = sources.get<T>(0) + begin;
    // One call for all sources: it is compiled for every dtype, operation and instruction set.
    for (std::size_t s = 1; s <= last; ++s) {
      T* const target = s == last ? output + begin : partial;
      reduce_page<op>(target, first, sources.get<T>(s) + begin, length, streams && s == last);
      first = partial;
    }
  }
}

template <class T>
ADJOIN_INLINE void reduce_typed(ReduceOp op, void* output, const Sources& sources, std::size_t numel, bool streams) {
  auto* const typed = static_cast<T*>(output);
  if (op == ReduceOp::sum) {
    reduce<ReduceOp::sum>(typed, sources, numel, streams);
  } else if (op == ReduceOp::product) {
    reduce<ReduceOp::product>(typed, sources, numel, streams);
  } else if constexpr (!c10::is_complex<T>::value) {
    if (op == ReduceOp::min) {
      reduce<ReduceOp::min>(typed, sources, numel, streams);
    } else {
      reduce<ReduceOp::max>(typed, sources, numel, streams);
    }
  }
}

/// False for an unsupported dtype.
ADJOIN_INLINE bool reduce_supported(at::ScalarType dtype, ReduceOp op, void* output, Sources sources, std::size_t numel,
                                    bool streams) {
  switch (dtype) {
    case at::kFloat:
      reduce_typed<float>(op, output, sources, numel, streams);
      return true;
    case at::kDouble:
      reduce_typed<double>(op, output, sources, numel, streams);
      return true;
    case at::kHalf:
      reduce_typed<c10::Half>(op, output, sources, numel, streams);
      return true;
    case at::kBFloat16:
      reduce_typed<c10::BFloat16>(op, output, sources, numel, streams);
      return true;
    case at::kComplexHalf:
      reduce_typed<c10::complex<c10::Half>>(op, output, sources, numel, streams);
      return true;
    case at::kComplexFloat:
      reduce_typed<c10::complex<float>>(op, output, sources, numel, streams);
      return true;
    case at::kComplexDouble:
      reduce_typed<c10::complex<double>>(op, output, sources, numel, streams);
      return true;
    case at::kBool:
      reduce_typed<bool>(op, output, sources, numel, streams);
      return true;
    case at::kByte:
      reduce_typed<std::uint8_t>(op, output, sources, numel, streams);
      return true;
    case at::kChar:
      reduce_typed<std::int8_t>(op, output, sources, numel, streams);
      return true;
    case at::kShort:
      reduce_typed<std::int16_t>(op, output, sources, numel, streams);
      return true;
    case at::kInt:
      reduce_typed<std::int32_t>(op, output, sources, numel, streams);
      return true;
    case at::kLong:
      reduce_typed<std::int64_t>(op, output, sources, numel, streams);
      return true;
    default:
      return false;
  }
}

bool begins_a_line(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % line_bytes == 0; }

/// Streamed stores are not ordered otherwise.
void finish_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace

void reduce_arrays(at::ScalarType dtype, ReduceOp op, void* output, std::span<const void* const> sources,
                   std::size_t numel, Store store) {
  const bool streams = store == Store::streamed && begins_a_line(output);
  const Sources arrays{sources.data(), sources.size()};
  check(vectorised<reduce_supported>(dtype, op, output, arrays, numel, streams), "reduce_arrays: dtype ", dtype,
        " cannot be reduced");
  if (streams) {
    finish_streaming();
  }
}

void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes, Store store) {
  std::size_t done = 0;
#if defined(__SSE2__)
  if (store == Store::streamed && begins_a_line(to)) {
    constexpr std::size_t vector = sizeof(__m128i);
    for (; done + line_bytes <= bytes; done += line_bytes) {
      for (std::size_t v = 0; v < line_bytes; v += vector) {
        _mm_stream_si128(reinterpret_cast<__m128i*>(to + done + v),
                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + done + v)));
      }
    }
    finish_streaming();
  }
#endif
  std::memcpy(to + done, from + done, bytes - done);
}

}  // namespace adjoin
