// What the ranks of a node have in common: memory, and ways to agree about it. By the operating system alone, anonymous
// files that each process opens of the others: whatever launched them, and with no file that anyone could forget.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace adjoin {

/// Memory that the ranks of a node share, with a segment for each. It lasts as long as any process has it.
class SharedWindow {
 public:
  explicit SharedWindow(std::size_t bytes) : bytes_(bytes) {}
  SharedWindow(const SharedWindow&) = delete;
  SharedWindow& operator=(const SharedWindow&) = delete;
  ~SharedWindow();

  /// The size of each segment.
  std::size_t bytes() const { return bytes_; }
  /// The segment of `rank`, as this process sees it.
  std::byte* segment(int rank) const { return segments_[static_cast<std::size_t>(rank)]; }

  /// Maps the next rank's segment from its open `file`; false when that fails.
  bool map(int file);

 private:
  std::size_t bytes_;
  std::vector<std::byte*> segments_;
};

/// Collectives to set windows up with: from one-dimensional int64 tensors of equal lengths on all ranks, {ranks,
/// length}.
using AllGatherIntegers = std::function<at::Tensor(const at::Tensor&)>;

/// The ranks of a node.
class Node {
 public:
  static constexpr std::size_t cache_line = 64;

  /// The ranks must share a process namespace, or there will be no windows; rank r has row r of what `all_gather`
  /// returns. A rank that waits longer than `timeout` gives up. Collective.
  Node(int rank, int size, AllGatherIntegers all_gather, std::chrono::milliseconds timeout);

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(processes_.size()); }

  /// A window whose segments have `bytes` bytes, aligned to cache lines and zero; null on every rank when any rank
  /// could not allocate or see it. Collective.
  std::shared_ptr<SharedWindow> allocate(std::size_t bytes);

  /// Replaces each value by its minimum over the ranks. Collective.
  void all_reduce_min(std::span<int> values);

  /// Why there is no point in waiting longer for `rank`, which has let this one wait for `waited`; empty while there
  /// is. When the rank's process has ended, where the kernel says so, or the time is out.
  std::optional<std::string> lost(int rank, std::chrono::milliseconds waited);

 private:
  /// An open file, closed at the end.
  class Descriptor {
   public:
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor();
    int number() const { return number_; }
    explicit operator bool() const { return number_ >= 0; }

   private:
    int number_;
  };

  struct Process {
    std::int64_t id;
    /// By which the kernel says that it has ended, even where its parent has not asked yet; none before Linux 5.3.
    Descriptor handle;
  };

  int rank_;
  AllGatherIntegers all_gather_;
  std::chrono::milliseconds timeout_;
  std::vector<Process> processes_;
};

}  // namespace adjoin
