#include "comm/shared_memory/group.hpp"

#include <ATen/ATen.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "kernels/reduce_kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace adjoin {

namespace {

/// How often a waiting rank looks before it leaves its processor to others, which may be for a whole time slice: about
/// a millisecond where each rank has a processor of its own, a few microseconds where ranks share them.
constexpr int patient_spins = 30000;
constexpr int impatient_spins = 100;

/// How often, in looks and in time, a rank that waits long asks whether the other is still there.
constexpr int looks_between_clocks = 100;
constexpr auto time_between_questions = std::chrono::milliseconds(50);

/// Whether there are fewer processors than ranks on this node. Collective.
bool is_oversubscribed(Node& node) {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  const bool known = sched_getaffinity(0, sizeof(processors), &processors) == 0;
  std::array<int, CPU_SETSIZE> absent{};
  for (std::size_t p = 0; p < absent.size(); ++p) {
    absent[p] = CPU_ISSET(p, &processors) ? 0 : 1;
  }
  node.all_reduce_min(absent);
  return known && std::ranges::count(absent, 0) < node.size();
}

}  // namespace

std::unique_ptr<NodeGroup> NodeGroup::make(std::unique_ptr<Node> node) {
  std::shared_ptr<SharedWindow> window = node->allocate(sizeof(Control));
  return window ? std::unique_ptr<NodeGroup>(new NodeGroup(std::move(node), std::move(window))) : nullptr;
}

NodeGroup::NodeGroup(std::unique_ptr<Node> node, std::shared_ptr<SharedWindow> window)
    : node_(std::move(node)),
      rank_(node_->rank()),
      size_(node_->size()),
      spins_(is_oversubscribed(*node_) ? impatient_spins : patient_spins),
      control_window_(std::move(window)) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "signals are shared between processes");
  for (int r = 0; r < size_; ++r) {
    // Zero bytes, which allocate() leaves, are a Control with no signal given.
    auto* const control = std::launder(reinterpret_cast<Control*>(control_window_->segment(r)));
    controls_.push_back(control);
    for (std::size_t parity : {0, 1}) {
      message_values_[parity].push_back(control->messages[parity].values.data());
    }
  }
}

void NodeGroup::await(int rank, const std::atomic<std::uint64_t>& count, std::uint64_t target) {
  for (int i = 0; i < spins_; ++i) {
    if (count.load(std::memory_order_acquire) >= target) [[likely]] {
      return;
    }
#if defined(__x86_64__)
    _mm_pause();
#endif
  }
  await_patiently(rank, count, target);
}

void NodeGroup::await_patiently(int rank, const std::atomic<std::uint64_t>& count, std::uint64_t target) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  auto next_question = start + time_between_questions;
  while (true) {
    for (int i = 0; i < looks_between_clocks; ++i) {
      if (count.load(std::memory_order_acquire) >= target) {
        return;
      }
      sched_yield();
    }
    const auto now = Clock::now();
    if (now >= next_question) {
      next_question = now + time_between_questions;
      std::optional<std::string> reason =
          node_->lost(rank, std::chrono::duration_cast<std::chrono::milliseconds>(now - start));
      // It may have come, and ended thereafter.
      if (reason && count.load(std::memory_order_acquire) < target) {
        lost_ = std::move(reason);
        check_complete();
      }
    }
  }
}

void NodeGroup::check_complete() const {
  if (lost_) [[unlikely]] {
    throw CommunicationError("shared memory: " + *lost_);
  }
}

void NodeGroup::synchronize(Place place) {
  check_complete();
  ++arrivals_;
  control(rank_).arrived.places[arrivals_ % 2] = place;
  control(rank_).arrived.count.store(arrivals_, std::memory_order_release);
  for (int r = 0; r < size_; ++r) {
    await(r, control(r).arrived.count, arrivals_);
  }
}

void NodeGroup::all_reduce_few(at::ScalarType dtype, ReduceOp op, void* values, std::size_t numel) {
  check_complete();
  const std::size_t parity = ++rounds_ % 2;
  Message& own = control(rank_).messages[parity];
  std::memcpy(own.values.data(), values, numel * c10::elementSize(dtype));
  own.round.store(rounds_, std::memory_order_release);
  for (int r = 0; r < size_; ++r) {
    await(r, control(r).messages[parity].round, rounds_);
  }
  reduce_arrays(dtype, op, values, message_values_[parity], numel);
}

std::shared_ptr<SharedWindow> NodeGroup::acquire(std::size_t bytes) {
  // Windows are dropped at different times on different ranks: only those free on all are free.
  std::vector<int> is_free(pool_.size());
  std::ranges::transform(pool_, is_free.begin(), [](const auto& one) { return one.second.use_count() == 1 ? 1 : 0; });
  if (!is_free.empty()) {
    node_->all_reduce_min(is_free);
  }
  std::shared_ptr<SharedWindow> best;
  decltype(pool_) in_use;
  for (std::size_t i = 0; i < pool_.size(); ++i) {
    const std::shared_ptr<SharedWindow>& window = pool_[i].second;
    if (is_free[i] == 0) {
      in_use.push_back(pool_[i]);
    } else if (window->bytes() >= bytes && (!best || window->bytes() < best->bytes())) {
      best = window;
    }
  }
  if (!best) {
    pool_ = std::move(in_use);  // frees those that are too small
    best = node_->allocate(bytes);
    if (best) {
      pool_.emplace_back(++windows_made_, best);
    }
  }
  return best;
}

NodeGroup::Place NodeGroup::find(const void* address) const {
  const auto value = reinterpret_cast<std::uintptr_t>(address);
  for (const auto& [number, window] : pool_) {
    const auto begin = reinterpret_cast<std::uintptr_t>(window->segment(rank_));
    if (value >= begin && value < begin + window->bytes()) {
      return {number, value - begin};
    }
  }
  return {};
}

std::byte* NodeGroup::memory_at(int rank, Place place) const {
  const auto pooled = std::ranges::find(pool_, place.window, [](const auto& one) { return one.first; });
  return pooled->second->segment(rank) + place.offset;
}

}  // namespace adjoin
