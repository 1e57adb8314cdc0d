// The signals by which the ranks of a node take turns in the memory that they share.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "comm/shared_memory/node.hpp"

namespace adjoin {

/// The ranks of a node: their signals, their reduction of a few bytes, and their pool of windows. A rank that is lost
/// to the others makes them throw CommunicationError, then and at every later call.
class NodeGroup {
 public:
  /// Most bytes that all_reduce_few takes: with its signal, eight cache lines.
  static constexpr std::size_t few_bytes = 496;

  /// Null on every rank when they cannot share memory. Collective.
  static std::unique_ptr<NodeGroup> make(std::unique_ptr<Node> node);

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Where in the windows a rank's memory lies: bytes from the start of its segment; window 0 is none.
  struct Place {
    std::uint64_t window;
    std::uint64_t offset;
  };

  /// Returns when every rank has called it as often as this one. What a rank wrote before, all can read after; so they
  /// can the place that it tells them.
  void synchronize(Place place = {});
  /// The place that `rank` told at the last call.
  Place told(int rank) const { return control(rank).arrived.places[arrivals_ % 2]; }

  /// Replaces `numel` elements, of at most few_bytes bytes together, by their reduction.
  void all_reduce_few(at::ScalarType dtype, ReduceOp op, void* values, std::size_t numel);

  /// A window of at least `bytes` bytes a rank which no rank uses; null when there is no memory. It returns to the pool
  /// when its last owner outside drops it. Collective.
  std::shared_ptr<SharedWindow> acquire(std::size_t bytes);

  /// The place of this rank's memory at `address`, if it is in a window.
  Place find(const void* address) const;
  /// The memory of `rank` at a place that it told.
  std::byte* memory_at(int rank, Place place) const;

 private:
  /// How often a rank has arrived and, in the same cache line, what it told. Places alternate: whoever arrives a second
  /// time has read what was told the first time.
  struct alignas(Node::cache_line) Signal {
    std::atomic<std::uint64_t> count{0};
    std::array<Place, 2> places{};
  };
  /// The values of a small reduction beside the signal that they are there, so that they travel in one cache line.
  struct alignas(Node::cache_line) Message {
    std::atomic<std::uint64_t> round{0};
    alignas(16) std::array<std::byte, few_bytes> values{};
  };
  /// What a rank tells the others. Messages alternate: whoever has seen all of round n knows that all have read n - 1.
  struct Control {
    Signal arrived;
    std::array<Message, 2> messages;
  };

  NodeGroup(std::unique_ptr<Node> node, std::shared_ptr<SharedWindow> window);
  Control& control(int rank) const { return *controls_[static_cast<std::size_t>(rank)]; }
  /// Waits until `count`, which is `rank`'s, has reached `target`.
  void await(int rank, const std::atomic<std::uint64_t>& count, std::uint64_t target);
  /// Leaves the processor to others between looks.
  void await_patiently(int rank, const std::atomic<std::uint64_t>& count, std::uint64_t target);

  /// Throws CommunicationError when a rank is lost.
  void check_complete() const;

  std::unique_ptr<Node> node_;
  int rank_;
  int size_;
  int spins_;
  /// Why a rank is no longer there.
  std::optional<std::string> lost_;
  std::shared_ptr<SharedWindow> control_window_;
  std::vector<Control*> controls_;
  std::uint64_t arrivals_ = 0;
  std::uint64_t rounds_ = 0;
  std::array<std::vector<const void*>, 2> message_values_;
  /// Windows with their numbers, which are the same on every rank.
  std::vector<std::pair<std::uint64_t, std::shared_ptr<SharedWindow>>> pool_;
  std::uint64_t windows_made_ = 0;
};

}  // namespace adjoin
