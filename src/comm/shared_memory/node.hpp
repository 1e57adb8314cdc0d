// SPDX-License-Identifier: BSD-3-Clause
// What the ranks of a node have in common: memory, and ways to agree about it. By the operating system alone, anonymous
// files that each process opens of the others: whatever launched them, and with no file that anyone could forget.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace adjoin {

/// Memory that the ranks of a node share, with a segment for each. It lasts as long as any process has it.
class SharedWindow {
 public:
  SharedWindow(std::size_t bytes, int segments) : bytes_(bytes), filled_(segments) {}
  SharedWindow(const SharedWindow&) = delete;
  SharedWindow& operator=(const SharedWindow&) = delete;
  ~SharedWindow();

  /// The size of each segment.
  std::size_t bytes() const { return bytes_; }
  /// How many ranks, from the first on, have memory in their segments.
  int filled() const { return filled_; }
  /// The segment of `rank`, as this process sees it.
  std::byte* segment(int rank) const { return segments_[static_cast<std::size_t>(rank)]; }

  /// Maps the next rank's segment from its open `file`; false when that fails, or when the file ends with another word
  /// than `mark`, which its owner wrote: then it is another file.
  bool map(int file, std::uint64_t mark);

 private:
  std::size_t bytes_;
  int filled_;
  std::vector<std::byte*> segments_;
};

/// Collectives to set windows up with: from one-dimensional int64 tensors of equal lengths on all ranks, {ranks,
/// length}.
using AllGatherIntegers = std::function<at::Tensor(const at::Tensor&)>;

/// The ranks of a node.
class Node {
 public:
  static constexpr std::size_t cache_line = 64;

  /// Rank r has row r of what `all_gather` returns. Collective.
  Node(int rank, int size, AllGatherIntegers all_gather);

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(processes_.size()); }

  /// From now on the ranks agree by `all_gather`.
  void agree_by(AllGatherIntegers all_gather) { all_gather_ = std::move(all_gather); }

  /// A window whose segments have `bytes` bytes, aligned to cache lines and zero, of which those of the first
  /// `segments` ranks alone have memory, and the others must not be touched; null on every rank when any rank could not
  /// allocate its segment or does not see what another one has written to its own: that is so where ranks have process
  /// or user namespaces of their own, or may not look into each other's processes. Collective.
  std::shared_ptr<SharedWindow> allocate(std::size_t bytes, int segments);

  /// Replaces each value by its minimum over the ranks. Collective.
  void all_reduce_min(std::span<int> values);

  /// Whether the process of `rank` has ended, as far as the kernel says.
  bool has_ended(int rank) const;

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

  /// This rank's segment, ending with `mark`, with memory if it is to be `filled`; no file where there is no memory.
  static Descriptor new_segment(std::size_t bytes, std::uint64_t mark, bool filled);
  /// The file of number `file` in the process of `rank`, if it is one of ours.
  Descriptor open_segment(int rank, std::int64_t file) const;

  int rank_;
  AllGatherIntegers all_gather_;
  std::vector<Process> processes_;
};

}  // namespace adjoin
