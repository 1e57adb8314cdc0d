// SPDX-License-Identifier: BSD-3-Clause
// A count of forks, kept by a handler that runs in every child.
#include "comm/forks.hpp"

#include <pthread.h>

#include <atomic>

namespace adjoin {

namespace {

std::atomic<std::uint64_t> count{0};

}  // namespace

std::uint64_t forks() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { count.fetch_add(1, std::memory_order_relaxed); });
  (void)registered;
  return count.load(std::memory_order_relaxed);
}

}  // namespace adjoin
