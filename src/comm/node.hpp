// What the ranks of a node have in common, as an engine arranges it: memory, and ways to agree about it.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace adjoin {

/// Memory that the ranks of a node share, with a segment for each.
class SharedWindow {
 public:
  SharedWindow(const SharedWindow&) = delete;
  SharedWindow& operator=(const SharedWindow&) = delete;
  virtual ~SharedWindow() = default;

  /// The size of each segment.
  std::size_t bytes() const { return bytes_; }
  /// The segment of `rank`, as this process sees it.
  std::byte* segment(int rank) const { return segments_[static_cast<std::size_t>(rank)]; }

 protected:
  explicit SharedWindow(std::size_t bytes) : bytes_(bytes) {}
  void add_segment(std::byte* segment) { segments_.push_back(segment); }

 private:
  std::size_t bytes_;
  std::vector<std::byte*> segments_;
};

/// The ranks of a node.
class Node {
 public:
  static constexpr std::size_t cache_line = 64;

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// A window whose segments have `bytes` bytes, aligned to cache lines and zero; null on every rank when any rank
  /// could not allocate it. Collective.
  virtual std::shared_ptr<SharedWindow> allocate(std::size_t bytes) = 0;

  /// Replaces each value by its minimum over the ranks. Collective.
  virtual void all_reduce_min(std::span<int> values) = 0;

  /// Why there is no point in waiting longer for `rank`, which has let this one wait for `waited`; empty while there
  /// is.
  virtual std::optional<std::string> lost(int rank, std::chrono::milliseconds waited) = 0;
};

}  // namespace adjoin
