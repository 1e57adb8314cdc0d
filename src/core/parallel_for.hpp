// SPDX-License-Identifier: BSD-3-Clause
// Loops shared among torch's threads, by every compiler.
#pragma once

#include <ATen/Parallel.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>

namespace adjoin {

/// What parallel_for does where at::parallel_for does not use threads.
void shared_loop(std::int64_t begin, std::int64_t end, std::int64_t grain,
                 c10::function_ref<void(std::int64_t, std::int64_t)> body);

/// Calls body(from, to) on ranges of `grain` or more that make up begin … end, on at::get_num_threads() threads at
/// most. What body throws is thrown here, one exception where several threads throw. at::parallel_for, a template, does
/// this where it is compiled for the OpenMP of GCC, which is torch's own. Clang's OpenMP would bring a second pool of
/// threads, of which at::set_num_threads knows nothing.
template <class Body>
void parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain, const Body& body) {
#ifdef INTRA_OP_PARALLEL
  at::parallel_for(begin, end, grain, body);
#else
  shared_loop(begin, end, grain, body);
#endif
}

}  // namespace adjoin
