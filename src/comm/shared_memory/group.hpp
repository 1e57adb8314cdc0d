// SPDX-License-Identifier: BSD-3-Clause
// The steps in which the ranks of a node take turns in the memory that they share.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/comm/call.hpp"
#include "adjoin/core/reduce_op.hpp"
#include "comm/shared_memory/node.hpp"

namespace adjoin {

/// The ranks of a node: their steps, and their pool of windows. Each step carries the word of the call that it belongs
/// to: ranks whose words differ all throw CallDisagreement, at that step. A rank that leaves, ends or does not come in
/// time makes those who wait for it throw, then and at every later step.
class NodeGroup {
 public:
  /// Most bytes that all_reduce_few takes: with what every step carries, eight cache lines.
  static constexpr std::size_t few_bytes = 496;

  /// Null on every rank when they cannot share memory. `ranks`: how the ranks of the node are called in messages. A
  /// rank that waits longer than `timeout` gives up. Collective.
  static std::unique_ptr<NodeGroup> make(std::unique_ptr<Node> node, std::vector<int> ranks,
                                         std::chrono::milliseconds timeout);

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// What the following steps belong to. Not 0.
  void set_word(std::uint64_t word) { word_ = word; }
  /// Gives what this rank is doing, for those who make an unlike step, and for messages. `complete`: all ranks that
  /// make the calls are in this group.
  void describe_by(std::function<CallDisagreement::Entry()> describe, bool complete) {
    describe_ = std::move(describe);
    complete_ = complete;
  }

  /// Where in the windows a rank's memory lies: bytes from the start of its segment; window 0 is none.
  struct Place {
    std::uint64_t window;
    std::uint64_t offset;
  };

  /// A step: returns when every rank has made as many as this one. What a rank wrote before, all can read after; so
  /// they can the place that it tells them.
  void synchronize(Place place = {}) { step(&place, sizeof(place)); }
  /// The place that `rank` told at the last step.
  Place told(int rank) const;

  /// A step that replaces `numel` elements, of at most few_bytes bytes together, by their reduction.
  void all_reduce_few(at::ScalarType dtype, ReduceOp op, void* values, std::size_t numel);

  /// In place of a step: every rank throws CallDisagreement.
  [[noreturn]] void refuse();
  /// This rank makes no more steps. Waits for nobody.
  void leave() noexcept;
  /// The same because of an error, which those who wait for this rank throw, too.
  void leave_for(const std::string& reason) noexcept;
  /// Whether `rank` makes no more steps.
  bool is_gone(int rank) const;

  /// 0 and 1 in turn, the same on every rank.
  std::size_t next_turn() { return turn_ = 1 - turn_; }

  /// A window of at least `bytes` bytes a rank which no rank uses; null when there is no memory. It returns to the pool
  /// when its last owner outside drops it. Collective.
  std::shared_ptr<SharedWindow> acquire(std::size_t bytes) { return acquire(bytes, size_); }
  /// The same where the first `segments` ranks alone use their segments.
  std::shared_ptr<SharedWindow> acquire(std::size_t bytes, int segments);

  /// The place of this rank's memory at `address`, if it is in a window.
  Place find(const void* address) const;
  /// The memory of `rank` at a place that it told.
  std::byte* memory_at(int rank, Place place) const;

 private:
  /// How often a rank has arrived and, in the same cache line, in which call, and what it told or its few values. Slots
  /// alternate: whoever has seen all arrive at a step knows that all have read the one before.
  struct alignas(Node::cache_line) Slot {
    std::atomic<std::uint64_t> step{0};
    std::uint64_t word = 0;
    alignas(16) std::array<std::byte, few_bytes> values{};
  };
  /// What a rank is doing, as text: for the disagreement of this number. They alternate for the same reason.
  struct alignas(Node::cache_line) Note {
    std::atomic<std::uint64_t> disagreement{0};
    std::uint64_t length = 0;
    std::array<char, 16368> text{};
  };
  enum class Departure : std::uint32_t { none, left, gave_up };
  /// What a rank shows the others.
  struct Control {
    std::array<Slot, 2> slots;
    std::array<Note, 2> notes;
    /// The reason is in the last note.
    alignas(Node::cache_line) std::atomic<Departure> departure{Departure::none};
    Note farewell;
  };

  NodeGroup(std::unique_ptr<Node> node, std::shared_ptr<SharedWindow> window, std::vector<int> ranks,
            std::chrono::milliseconds timeout);
  Control& control(int rank) const { return *controls_[static_cast<std::size_t>(rank)]; }
  const Slot& slot(int rank) const { return control(rank).slots[step_ % 2]; }
  bool has_come(int rank) const { return slot(rank).step.load(std::memory_order_acquire) >= step_; }

  /// Makes a step with these bytes of this rank's.
  void step(const void* values, std::size_t bytes);
  /// Leaves the processor to others between looks.
  void await_patiently(int rank);
  /// Throws when a rank is lost that has not come.
  void look_for_lost(std::chrono::milliseconds waited);
  /// Tells what all ranks are doing and throws it.
  [[noreturn]] void disagree();
  /// Of all ranks, empty for those that do not tell within `patience`.
  std::vector<CallDisagreement::Entry> exchange_notes(std::chrono::milliseconds patience);
  [[noreturn]] void give_up(const std::string& reason);
  void depart(Departure how, const std::string& text) noexcept;
  std::string doing() const;

  /// Throws CommunicationError when a rank is lost.
  void check_complete() const;
  /// From `values` of each rank, one row a rank.
  at::Tensor gather(const at::Tensor& values);

  std::unique_ptr<Node> node_;
  int rank_;
  int size_;
  std::vector<int> ranks_;
  std::chrono::milliseconds timeout_;
  int spins_;
  /// Why there are no more steps.
  std::optional<std::string> over_;
  std::shared_ptr<SharedWindow> control_window_;
  std::vector<Control*> controls_;
  std::function<CallDisagreement::Entry()> describe_ = [] { return CallDisagreement::Entry{.call = "a step"}; };
  bool complete_ = true;
  std::uint64_t word_ = 1;
  std::uint64_t step_ = 0;
  std::uint64_t disagreements_ = 0;
  std::size_t turn_ = 0;
  std::array<std::vector<const Slot*>, 2> slots_;
  std::array<std::vector<const void*>, 2> values_;
  /// Windows with their numbers, which are the same on every rank.
  std::vector<std::pair<std::uint64_t, std::shared_ptr<SharedWindow>>> pool_;
  std::uint64_t windows_made_ = 0;
};

}  // namespace adjoin
