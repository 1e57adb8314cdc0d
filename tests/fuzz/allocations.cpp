// SPDX-License-Identifier: BSD-3-Clause
// A count of all memory, by functions in the place of malloc and free.
#include "allocations.hpp"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define ADJOIN_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADJOIN_ADDRESS_SANITIZER 1
#endif
#endif

namespace adjoin::fuzz {

namespace {

std::atomic<std::ptrdiff_t> held;
std::atomic<std::ptrdiff_t> most;

void taken(std::size_t bytes) {
  const std::ptrdiff_t now = held.fetch_add(static_cast<std::ptrdiff_t>(bytes), std::memory_order_relaxed) +
                             static_cast<std::ptrdiff_t>(bytes);
  std::ptrdiff_t before = most.load(std::memory_order_relaxed);
  while (now > before && !most.compare_exchange_weak(before, now, std::memory_order_relaxed)) {
  }
}

void given_back(std::size_t bytes) { held.fetch_sub(static_cast<std::ptrdiff_t>(bytes), std::memory_order_relaxed); }

}  // namespace

Allocations::Allocations() {
  held = 0;
  most = 0;
}

std::size_t Allocations::peak() const { return static_cast<std::size_t>(most.load()); }

}  // namespace adjoin::fuzz

#ifdef ADJOIN_ADDRESS_SANITIZER

// As <sanitizer/allocator_interface.h> declares them, which GCC does not install.
extern "C" {
int __sanitizer_install_malloc_and_free_hooks(void (*taken)(const volatile void*, std::size_t),  // NOLINT
                                              void (*given_back)(const volatile void*));
std::size_t __sanitizer_get_allocated_size(const volatile void* pointer);  // NOLINT(bugprone-reserved-identifier)
}

namespace {

const int installed =
    __sanitizer_install_malloc_and_free_hooks([](const volatile void*, std::size_t size) { adjoin::fuzz::taken(size); },
                                              [](const volatile void* pointer) {
                                                if (pointer != nullptr) {
                                                  adjoin::fuzz::given_back(__sanitizer_get_allocated_size(pointer));
                                                }
                                              });

}  // namespace

#else

// The program's own functions come before those of the C library, which glibc offers by other names.
extern "C" {

void* __libc_malloc(std::size_t size) noexcept;                  // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t count, std::size_t size);        // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* pointer, std::size_t size);           // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t alignment, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void __libc_free(void* pointer);                                 // NOLINT(bugprone-reserved-identifier)

static void* counted(void* pointer) {
  if (pointer != nullptr) {
    adjoin::fuzz::taken(malloc_usable_size(pointer));
  }
  return pointer;
}

void* malloc(std::size_t size) noexcept { return counted(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) noexcept { return counted(__libc_calloc(count, size)); }
void* memalign(std::size_t alignment, std::size_t size) noexcept { return counted(__libc_memalign(alignment, size)); }
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return counted(__libc_memalign(alignment, size));
}
int posix_memalign(void** pointer, std::size_t alignment, std::size_t size) noexcept {
  *pointer = counted(__libc_memalign(alignment, size));
  return *pointer == nullptr ? ENOMEM : 0;
}
void* realloc(void* pointer, std::size_t size) noexcept {
  const std::size_t before = pointer == nullptr ? 0 : malloc_usable_size(pointer);
  void* moved = __libc_realloc(pointer, size);
  if (moved != nullptr || size == 0) {
    adjoin::fuzz::given_back(before);
  }
  return counted(moved);
}
void free(void* pointer) noexcept {
  if (pointer != nullptr) {
    adjoin::fuzz::given_back(malloc_usable_size(pointer));
    __libc_free(pointer);
  }
}

}  // extern "C"

#endif
