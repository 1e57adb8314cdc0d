// SPDX-License-Identifier: BSD-3-Clause
// How a rank rests between two looks at what it waits for.
#pragma once

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace adjoin {

/// Leaves the processor to others. A rank that has waited for long, for `waited` so far, sleeps for a small part of
/// that: one that yields all the time takes turns with those that work, where there are more ranks than processors, and
/// with what carries their messages.
inline void rest_between_looks(std::chrono::steady_clock::duration waited) {
  using namespace std::chrono_literals;
  constexpr auto most = std::chrono::steady_clock::duration(200us);
  constexpr int part = 16;
  if (waited < 1ms) {
    sched_yield();
  } else {
    std::this_thread::sleep_for(std::min(waited / part, most));
  }
}

}  // namespace adjoin
