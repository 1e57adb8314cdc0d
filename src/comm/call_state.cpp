// SPDX-License-Identifier: BSD-3-Clause
// The comparison of calls: by steps in shared memory or by announcements, with refusals and departures on the same
// ways.
#include "comm/call_state.hpp"

#include <ATen/ATen.h>

#include <chrono>
#include <memory>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "comm/call_entry.hpp"
#include "comm/forks.hpp"
#include "comm/ranks_text.hpp"
#include "comm/shared_memory/group.hpp"

namespace adjoin {

namespace {

/// Words of no call: those of calls and collectives are odd.
constexpr std::uint64_t refusal_word = 2;
constexpr std::uint64_t leaving_word = 4;

constexpr auto patience_at_once = std::chrono::seconds(1);

/// Of a rank that announces its leaving, or refuses, the texts of the others are as long at most.
constexpr std::size_t most_text = 16384;

}  // namespace

CallState::CallState(int rank, int size, NodeGroup& group) : rank_(rank), size_(size), group_(&group), forks_(forks()) {
  group.describe_by([this] { return entry(); }, true);
}

CallState::CallState(int rank, int size, Network network)
    : rank_(rank),
      size_(size),
      network_(std::move(network)),
      forks_(forks()),
      announcement_(at::zeros({3}, at::kLong)) {}

// ---- One thread after the other ----------------------------------------------------------------------------------

void CallState::occupy() {
  const std::thread::id self = std::this_thread::get_id();
  if (thread_.load(std::memory_order_relaxed) == self) {
    return;
  }
  check_usable();
  std::thread::id nobody{};
  if (!thread_.compare_exchange_strong(nobody, self, std::memory_order_acquire)) {
    throw Error(
        "two threads of this process make collective calls at the same time, by which the ranks would lose "
        "their common order");
  }
}

void CallState::check_usable() const {
  if (forks() != forks_) [[unlikely]] {
    throw CommunicationError(c10::str("this process was forked from rank ", rank_,
                                      " and is no rank itself: it cannot make collective calls with what that rank "
                                      "has made, but with a context of its own"));
  }
  if (only_thread_ && *only_thread_ != std::this_thread::get_id()) [[unlikely]] {
    throw CommunicationError(
        "MPI was initialised for one thread alone (below MPI_THREAD_SERIALIZED): collective calls "
        "from other threads are not allowed");
  }
  if (over_) [[unlikely]] {
    throw CommunicationError(*over_);
  }
}

void CallState::release() noexcept {
  if (depth_ == 0) {
    call_ = {};
    name_hash_ = 0;
    compared_ = false;
    thread_.store({}, std::memory_order_release);
  }
}

// ---- Calls and their collectives ---------------------------------------------------------------------------------

void CallState::enter(const Call& call) {
  occupy();
  if (depth_++ == 0) {
    call_ = call;
    name_hash_ = std::hash<std::string_view>{}(call.name);
  }
}

void CallState::exit() noexcept {
  --depth_;
  compared_ = false;  // the call around it may go on otherwise than this one has ended
  if (depth_ == 0 && announced_) {
    try {
      hear();  // a call without collectives
    } catch (const std::exception& error) {
      over_ = error.what();
    }
  }
  release();
}

void CallState::commit() {
  if (group_ == nullptr && !announced_ && !over_) {
    compared_ = false;
    announce(call_word() | 1U);
  }
}

CallState::Begun CallState::later(const CollectiveSpec& collective) const {
  return {mixed(call_word(), collective.word()) | 1U, call_, collective};
}

void CallState::begin(const CollectiveSpec& collective, bool surely) {
  occupy();
  if (over_) [[unlikely]] {
    release();
    throw CommunicationError(*over_);
  }
  ++depth_;
  ++begun_;
  collective_ = collective;
  if (group_ != nullptr) [[likely]] {
    group_->set_word(mixed(call_word(), collective.word()) | 1U);
    return;
  }
  try {
    if (!compared_ || surely) {
      if (!announced_) {
        announce(mixed(call_word(), collective.word()) | 1U);
      }
      hear();
    }
  } catch (...) {
    end();
    throw;
  }
}

void CallState::begin(const Begun& begun) {
  occupy();
  if (depth_++ == 0) {
    call_ = begun.call;
  }
  ++begun_;
  collective_ = begun.collective;
  group_->set_word(begun.word);
}

void CallState::end() noexcept {
  --depth_;
  collective_.reset();
  release();
}

void CallState::meet() {
  if (group_ != nullptr) {
    group_->synchronize();
  }
}

CallDisagreement::Entry CallState::entry() const {
  CallDisagreement::Entry entry{.call = std::string(call_.name),
                                .collective = {},
                                .fingerprint = call_.fingerprint,
                                .refusal = refusal_,
                                .left = has_left_};
  if (collective_) {
    if (entry.call.empty()) {
      entry.call = collective_->method;
    }
    entry.collective = collective_->text();
  }
  return entry;
}

std::string CallState::description() const {
  const CallDisagreement::Entry entry = this->entry();
  return entry.collective.empty() ? entry.call : c10::str(entry.call, " (", entry.collective, ")");
}

// ---- Announcements -----------------------------------------------------------------------------------------------

void CallState::announce(std::uint64_t word) {
  auto* const values = announcement_.mutable_data_ptr<std::int64_t>();
  values[0] = static_cast<std::int64_t>(word);
  values[1] = ~values[0];
  values[2] = word == leaving_word ? size_ - rank_ : 0;
  ++*network_.count;
  announced_ = network_.start_max(announcement_);
}

void CallState::hear() {
  Pending announced = std::move(*announced_);
  announced_.reset();
  try {
    announced.wait();
  } catch (const CommunicationError& error) {
    over_ = error.what();
    throw;
  }
  const auto* const values = announcement_.const_data_ptr<std::int64_t>();
  if (values[0] != ~values[1] || !refusal_.empty() || values[2] != 0) [[unlikely]] {
    disagree();
  }
  compared_ = true;
}

void CallState::disagree() {
  std::vector<CallDisagreement::Entry> entries(static_cast<std::size_t>(size_));
  const std::int64_t distance = announcement_.const_data_ptr<std::int64_t>()[2];
  if (distance < 0 || distance > size_) {
    over_ = "the announcement of a call has met something else: is the group used by others in another order?";
    throw CommunicationError(*over_);
  }
  if (distance > 0) {
    // Who leaves waits for nothing more.
    const auto leaver = static_cast<std::size_t>(size_ - distance);
    entries[leaver] = {.call = "the end of the context", .collective = {}, .refusal = {}, .left = true};
    entries[static_cast<std::size_t>(rank_)] = entry();
    over_ = c10::str(ranks_text({static_cast<int>(leaver)}), " has left");
  } else {
    const std::vector<std::string> texts = network_.gather(to_bytes(entry(), most_text));
    for (std::size_t r = 0; r < texts.size(); ++r) {
      entries[r] = entry_from(texts[r]);
    }
  }
  throw CallDisagreement(std::move(entries));
}

// ---- Ranks that do not take part ---------------------------------------------------------------------------------

void CallState::refuse(std::string_view method, const std::string& report) {
  occupy();
  if (!can_refuse()) {
    release();
    throw Error(c10::str("refuse: the call has begun, and the other ranks wait elsewhere: ", report));
  }
  if (depth_++ == 0) {
    call_ = {.name = method};
    name_hash_ = 0;
  }
  ++begun_;
  refusal_ = report.empty() ? "for no given reason" : report;
  try {
    if (group_ != nullptr) {
      group_->refuse();
    }
    announce(refusal_word);
    hear();
    throw Error("refuse: nobody heard");
  } catch (...) {
    refusal_.clear();
    end();
    throw;
  }
}

void CallState::leave(bool at_once) noexcept {
  if (std::exchange(has_left_, true) || forks() != forks_) {
    return;
  }
  try {
    if (group_ != nullptr) {
      group_->leave();
    } else if (!over_) {
      if (announced_) {
        announced_->wait();
      }
      announce(leaving_word);
      const auto end = std::chrono::steady_clock::now() + patience_at_once;
      bool is_heard = announced_->test();
      while (!is_heard && std::chrono::steady_clock::now() < end) {
        std::this_thread::yield();
        is_heard = announced_->test();
      }
      if (!is_heard) {
        network_.tell_that_this_rank_leaves();
      }
      if (!is_heard && at_once) {
        // Its memory and its requests last as long as the process: they cannot be withdrawn.
        static_cast<void>(new Pending(std::move(*announced_)));  // NOLINT(cppcoreguidelines-owning-memory)
      } else {
        announced_->wait();
      }
      announced_.reset();
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): then others have left before
  }
  over_ = "this rank has left: the context or the communicator has ended";
}

}  // namespace adjoin
