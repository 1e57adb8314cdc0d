// SPDX-License-Identifier: BSD-3-Clause
// Steps as counters in shared memory: patient waits, comparison of calls, ranks that leave or are lost.
#include "comm/shared_memory/group.hpp"

#include <ATen/ATen.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "comm/call_entry.hpp"
#include "comm/patience.hpp"
#include "comm/ranks_text.hpp"
#include "kernels/reduce_kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace adjoin {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How often a waiting rank looks before it leaves its processor to others, which may be for a whole time slice: about
/// a millisecond where each rank has a processor of its own, a few microseconds where ranks share them.
constexpr int patient_spins = 30000;
constexpr int impatient_spins = 100;

/// How often, in looks and in time, a rank that waits long asks whether the others are still there. Few looks, as each
/// may take time slices of all who share the processor.
constexpr int looks_between_clocks = 8;
constexpr auto time_between_questions = milliseconds(50);

/// How long ranks that disagree wait for each other's descriptions: all of them are there, and soon tell. Where a rank
/// has left, some may not have come yet, and need not.
constexpr auto patience_with_all = std::chrono::seconds(10);
constexpr auto patience_after_departure = std::chrono::seconds(1);

/// The word of a rank that cannot take part.
constexpr std::uint64_t refusal = 0;

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

std::string in_seconds(milliseconds time) {
  return time < std::chrono::seconds(10) ? c10::str(static_cast<double>(time.count()) / 1e3, " s")
                                         : c10::str(time.count() / 1000, " s");
}

}  // namespace

std::unique_ptr<NodeGroup> NodeGroup::make(std::unique_ptr<Node> node, std::vector<int> ranks, milliseconds timeout) {
  std::shared_ptr<SharedWindow> window = node->allocate(sizeof(Control), node->size());
  return window
             ? std::unique_ptr<NodeGroup>(new NodeGroup(std::move(node), std::move(window), std::move(ranks), timeout))
             : nullptr;
}

NodeGroup::NodeGroup(std::unique_ptr<Node> node, std::shared_ptr<SharedWindow> window, std::vector<int> ranks,
                     milliseconds timeout)
    : node_(std::move(node)),
      rank_(node_->rank()),
      size_(node_->size()),
      ranks_(std::move(ranks)),
      timeout_(timeout),
      spins_(is_oversubscribed(*node_) ? impatient_spins : patient_spins),
      control_window_(std::move(window)) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "steps are shared between processes");
  for (int r = 0; r < size_; ++r) {
    // Zero bytes, which allocate() leaves, are a Control with no step made.
    auto* const control = std::launder(reinterpret_cast<Control*>(control_window_->segment(r)));
    controls_.push_back(control);
    for (const std::size_t parity : {0, 1}) {
      slots_[parity].push_back(&control->slots[parity]);
      values_[parity].push_back(control->slots[parity].values.data());
    }
  }
  // From here on all that the ranks do together is a step, and so has its errors.
  node_->agree_by([this](const at::Tensor& mine) { return gather(mine); });
}

// ---- Steps --------------------------------------------------------------------------------------------------------

void NodeGroup::step(const void* values, std::size_t bytes) {
  check_complete();
  const std::vector<const Slot*>& slots = slots_[++step_ % 2];
  Slot& own = control(rank_).slots[step_ % 2];
  std::memcpy(own.values.data(), values, bytes);
  own.word = word_;
  own.step.store(step_, std::memory_order_release);
  bool alike = true;
  for (int r = 0; r < size_; ++r) {
    const Slot& theirs = *slots[static_cast<std::size_t>(r)];
    bool has_come = false;
    for (int i = 0; i < spins_; ++i) {
      has_come = theirs.step.load(std::memory_order_acquire) >= step_;
      if (has_come) [[likely]] {
        break;
      }
#if defined(__x86_64__)
      _mm_pause();
#endif
    }
    if (!has_come) {
      await_patiently(r);
    }
    alike = alike && theirs.word == word_;
  }
  if (!alike) [[unlikely]] {
    disagree();
  }
}

NodeGroup::Place NodeGroup::told(int rank) const {
  Place place{};
  std::memcpy(&place, slot(rank).values.data(), sizeof(place));
  return place;
}

void NodeGroup::all_reduce_few(at::ScalarType dtype, ReduceOp op, void* values, std::size_t numel) {
  step(values, numel * c10::elementSize(dtype));
  reduce_arrays(dtype, op, values, values_[step_ % 2], numel);
}

at::Tensor NodeGroup::gather(const at::Tensor& values) {
  const auto bytes = static_cast<std::size_t>(values.nbytes());
  at::Tensor all = at::empty({size_, values.numel()}, values.options());
  for (std::size_t begin = 0; begin < bytes; begin += few_bytes) {
    const std::size_t length = std::min(few_bytes, bytes - begin);
    step(static_cast<const std::byte*>(values.const_data_ptr()) + begin, length);
    for (int r = 0; r < size_; ++r) {
      std::memcpy(static_cast<std::byte*>(all.mutable_data_ptr()) + static_cast<std::size_t>(r) * bytes + begin,
                  slot(r).values.data(), length);
    }
  }
  return all;
}

void NodeGroup::await_patiently(int rank) {
  const auto start = Clock::now();
  auto next_question = start + time_between_questions;
  auto now = start;
  while (true) {
    for (int i = 0; i < looks_between_clocks; ++i) {
      if (has_come(rank)) {
        return;
      }
      rest_between_looks(now - start);
    }
    now = Clock::now();
    if (now >= next_question) {
      next_question = now + time_between_questions;
      look_for_lost(std::chrono::duration_cast<milliseconds>(now - start));
    }
  }
}

// ---- Ranks that do something else ---------------------------------------------------------------------------------

void NodeGroup::refuse() {
  check_complete();
  ++step_;
  Slot& own = control(rank_).slots[step_ % 2];
  own.word = refusal;
  own.step.store(step_, std::memory_order_release);
  for (int r = 0; r < size_; ++r) {
    await_patiently(r);
  }
  disagree();
}

void NodeGroup::disagree() {
  std::vector<CallDisagreement::Entry> entries = exchange_notes(patience_with_all);
  turn_ = 0;
  throw CallDisagreement(std::move(entries));
}

std::vector<CallDisagreement::Entry> NodeGroup::exchange_notes(milliseconds patience) {
  const std::uint64_t number = ++disagreements_;
  const auto note_of = [&](int r) -> Note& { return control(r).notes[number % 2]; };
  Note& own = note_of(rank_);
  const std::string bytes = to_bytes(describe_(), own.text.size());
  std::ranges::copy(bytes, own.text.begin());
  own.length = bytes.size();
  own.disagreement.store(number, std::memory_order_release);

  std::vector<CallDisagreement::Entry> entries(static_cast<std::size_t>(size_));
  const auto end = Clock::now() + patience;
  for (int r = 0; r < size_; ++r) {
    const auto is_told = [&] { return note_of(r).disagreement.load(std::memory_order_acquire) >= number; };
    const auto departure = [&] { return control(r).departure.load(std::memory_order_acquire); };
    while (!is_told() && departure() == Departure::none && !node_->has_ended(r) && Clock::now() < end) {
      sched_yield();
    }
    const Note* note = is_told() ? &note_of(r) : departure() != Departure::none ? &control(r).farewell : nullptr;
    if (note != nullptr) {
      entries[static_cast<std::size_t>(r)] = entry_from({note->text.data(), note->length});
    }
  }
  return entries;
}

void NodeGroup::look_for_lost(milliseconds waited) {
  std::vector<int> absent;
  for (int r = 0; r < size_; ++r) {
    if (has_come(r)) {
      continue;
    }
    absent.push_back(ranks_[static_cast<std::size_t>(r)]);
    const Departure departure = control(r).departure.load(std::memory_order_acquire);
    const bool ended = departure == Departure::none && node_->has_ended(r);
    if ((departure == Departure::none && !ended) || has_come(r)) {  // it may have come, and left thereafter
      continue;
    }
    if (departure == Departure::gave_up) {
      const Note& farewell = control(r).farewell;
      give_up(entry_from({farewell.text.data(), farewell.length}).call);
    }
    const std::string name = ranks_text({ranks_[static_cast<std::size_t>(r)]});
    if (ended || !complete_) {
      give_up(c10::str(name, " has ", ended ? "ended" : "left", " while others waited for it in ", doing()));
    }
    over_ = c10::str(name, " has left");
    throw CallDisagreement(exchange_notes(patience_after_departure));
  }
  if (waited > timeout_ && !absent.empty()) {
    give_up(c10::str(ranks_text({ranks_[static_cast<std::size_t>(rank_)]}), " has waited for ", in_seconds(waited),
                     " in ", doing(), " for ", ranks_text(absent), ", which ", absent.size() == 1 ? "has" : "have",
                     " not come"));
  }
}

void NodeGroup::give_up(const std::string& reason) {
  depart(Departure::gave_up, reason);
  over_ = reason;
  throw CommunicationError(reason);
}

void NodeGroup::leave() noexcept { depart(Departure::left, "the end of the context"); }

void NodeGroup::leave_for(const std::string& reason) noexcept { depart(Departure::gave_up, reason); }

bool NodeGroup::is_gone(int rank) const {
  return control(rank).departure.load(std::memory_order_acquire) != Departure::none || node_->has_ended(rank);
}

void NodeGroup::depart(Departure how, const std::string& text) noexcept {
  Control& own = control(rank_);
  if (own.departure.load(std::memory_order_relaxed) != Departure::none) {
    return;
  }
  const std::string bytes = to_bytes({.call = text, .left = true}, own.farewell.text.size());
  std::ranges::copy(bytes, own.farewell.text.begin());
  own.farewell.length = bytes.size();
  own.departure.store(how, std::memory_order_release);
  over_ = "this rank has left the group";
}

std::string NodeGroup::doing() const {
  const CallDisagreement::Entry entry = describe_();
  return entry.collective.empty() ? entry.call : c10::str(entry.call, " (", entry.collective, ")");
}

void NodeGroup::check_complete() const {
  if (over_) [[unlikely]] {
    throw CommunicationError(*over_);
  }
}

// ---- Windows ------------------------------------------------------------------------------------------------------

std::shared_ptr<SharedWindow> NodeGroup::acquire(std::size_t bytes, int segments) {
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
    } else if (window->bytes() >= bytes && window->filled() >= segments && (!best || window->bytes() < best->bytes())) {
      best = window;
    }
  }
  if (!best) {
    pool_ = std::move(in_use);  // frees those that are too small
    best = node_->allocate(bytes, segments);
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
