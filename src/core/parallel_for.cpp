// SPDX-License-Identifier: BSD-3-Clause
// A loop on the threads of libgomp, torch's OpenMP runtime, called as the code that GCC makes of `#pragma omp parallel`
// does.
#include "core/parallel_for.hpp"

#include <algorithm>
#include <atomic>
#include <exception>

#ifndef INTRA_OP_PARALLEL

extern "C" {
// Calls body(data) on as many threads as at::set_num_threads has chosen. LLVM's runtime has this function, too.
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
int omp_get_num_threads();
int omp_get_thread_num();
}

namespace adjoin {

namespace {

struct Loop {
  // The part of the calling thread, divided as at::parallel_for does it.
  void run() {
    std::int64_t parts = omp_get_num_threads();
    if (grain > 0) {
      parts = std::min(parts, (end - begin + grain - 1) / grain);
    }
    const int thread = omp_get_thread_num();
    const std::int64_t length = (end - begin + parts - 1) / parts;
    const std::int64_t from = begin + thread * length;
    if (from >= end) {
      return;
    }
    try {
      at::internal::ThreadIdGuard id(thread);
      c10::ParallelGuard inside(true);
      body(from, std::min(end, from + length));
    } catch (...) {
      if (!failed.test_and_set()) {
        exception = std::current_exception();
      }
    }
  }

  std::int64_t begin, end, grain;
  c10::function_ref<void(std::int64_t, std::int64_t)> body;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr exception = nullptr;
};

}  // namespace

void shared_loop(std::int64_t begin, std::int64_t end, std::int64_t grain,
                 c10::function_ref<void(std::int64_t, std::int64_t)> body) {
  if (begin >= end) {
    return;
  }
  at::internal::lazy_init_num_threads();
  const std::int64_t count = end - begin;
  if (count <= grain || count == 1 || at::in_parallel_region() || at::get_num_threads() == 1) {
    at::internal::ThreadIdGuard id(0);
    c10::ParallelGuard inside(true);
    body(begin, end);
    return;
  }
  Loop loop{begin, end, grain, body};
  GOMP_parallel([](void* data) { static_cast<Loop*>(data)->run(); }, &loop, 0, 0);
  if (loop.exception) {
    std::rethrow_exception(loop.exception);
  }
}

}  // namespace adjoin

#endif
