// Memory that the ranks of a node share, and the signals by which they take turns in it.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "mpi_support.hpp"

namespace adjoin {

/// An MPI-3 shared-memory window with a segment for each rank. Creation and destruction are collective over `node`.
class SharedWindow {
 public:
  /// A window whose segments have `bytes` bytes, aligned to cache lines and zero; null on every rank when any rank
  /// could not allocate it.
  static std::shared_ptr<SharedWindow> allocate(const mpi::OwnedComm& node, std::size_t bytes);

  SharedWindow(MPI_Win window, std::size_t bytes, int ranks);
  SharedWindow(const SharedWindow&) = delete;
  SharedWindow& operator=(const SharedWindow&) = delete;
  ~SharedWindow();

  std::size_t bytes() const { return bytes_; }
  /// The segment of `rank`, as this process sees it.
  std::byte* segment(int rank) const { return segments_[static_cast<std::size_t>(rank)]; }

 private:
  MPI_Win window_;
  std::size_t bytes_;
  std::vector<std::byte*> segments_;
};

/// The ranks of a node: their signals, their reduction of a few bytes, and their pool of windows.
class NodeGroup {
 public:
  /// Most bytes that all_reduce_few takes: with its signal, eight cache lines.
  static constexpr std::size_t few_bytes = 496;

  /// Null on every rank when they cannot share memory. Collective.
  static std::unique_ptr<NodeGroup> make(const mpi::OwnedComm& node);

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Returns when every rank has called it as often as this one. What a rank wrote before, all can read after.
  void synchronize();

  /// Replaces `numel` elements, of at most few_bytes bytes together, by their reduction.
  void all_reduce_few(at::ScalarType dtype, ReduceOp op, void* values, std::size_t numel);

  /// A window of at least `bytes` bytes a rank which no rank uses; null when there is no memory. It returns to the pool
  /// when its last owner outside drops it. Collective.
  std::shared_ptr<SharedWindow> acquire(std::size_t bytes);

 private:
  struct alignas(64) Signal {
    std::atomic<std::uint64_t> count{0};
  };
  /// The values of a small reduction beside the signal that they are there, so that they travel in one cache line.
  struct alignas(64) Message {
    std::atomic<std::uint64_t> round{0};
    alignas(16) std::array<std::byte, few_bytes> values{};
  };
  /// What a rank tells the others. Messages alternate: whoever has seen all of round n knows that all have read n - 1.
  struct Control {
    Signal arrived;
    std::array<Message, 2> messages;
  };

  NodeGroup(const mpi::OwnedComm& node, std::shared_ptr<SharedWindow> window);
  Control& control(int rank) const { return *controls_[static_cast<std::size_t>(rank)]; }

  const mpi::OwnedComm& node_;
  int rank_;
  int size_;
  int spins_;
  std::shared_ptr<SharedWindow> control_window_;
  std::vector<Control*> controls_;
  std::uint64_t arrivals_ = 0;
  std::uint64_t rounds_ = 0;
  std::array<std::vector<const void*>, 2> message_values_;
  std::vector<std::shared_ptr<SharedWindow>> pool_;
};

}  // namespace adjoin
