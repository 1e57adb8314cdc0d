// SPDX-License-Identifier: BSD-3-Clause
// Which elements of an array each node adds up, piece by piece.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace adjoin {

/// A part for each node, of consecutive elements as a rule: the parts of its ranks, one after the other.
class NodeParts {
 public:
  /// `piece`: elements of each node's part that a piece has.
  NodeParts(std::size_t nodes, std::size_t item, std::size_t piece) : ranges_(nodes), item_(item), piece_(piece) {}

  /// Equal parts of `numel` elements, which begin at cache lines.
  static NodeParts equal(std::size_t nodes, std::size_t item, std::size_t piece, std::size_t numel) {
    constexpr std::size_t line_bytes = 64;
    const std::size_t line = line_bytes / item;
    const std::size_t lines = (numel + line - 1) / line;
    NodeParts parts(nodes, item, piece);
    for (std::size_t n = 0; n < nodes; ++n) {
      const std::size_t begin = std::min(numel, lines * n / nodes * line);
      parts.add(n, begin, std::min(numel, lines * (n + 1) / nodes * line) - begin);
    }
    return parts;
  }

  /// Those of ranks that have counts[r] elements, one after the other, and are on node node_of[r].
  static NodeParts of_ranks(std::size_t nodes, std::size_t item, std::size_t piece,
                            const std::vector<std::int64_t>& counts, const std::vector<int>& node_of) {
    NodeParts parts(nodes, item, piece);
    std::size_t begin = 0;
    for (std::size_t r = 0; r < counts.size(); ++r) {
      parts.add(static_cast<std::size_t>(node_of[r]), begin, static_cast<std::size_t>(counts[r]));
      begin += static_cast<std::size_t>(counts[r]);
    }
    return parts;
  }

  std::size_t nodes() const { return ranges_.size(); }
  /// Bytes of an element.
  std::size_t item() const { return item_; }

  /// How many pieces the longest part has.
  std::size_t pieces() const {
    std::size_t longest = 0;
    for (std::size_t n = 0; n < nodes(); ++n) {
      longest = std::max(longest, length(n));
    }
    return (longest + piece_ - 1) / piece_;
  }

  /// Bytes of a piece of `node`'s part.
  std::size_t bytes(std::size_t index, std::size_t node) const {
    const std::size_t begin = std::min(index * piece_, length(node));
    return std::min(piece_, length(node) - begin) * item_;
  }

  /// Calls `use(begin, offset, count)` for the runs of elements that make up a piece of `node`'s part: where each
  /// begins in the array, and in the piece.
  template <class Use>
  void for_runs(std::size_t index, std::size_t node, const Use& use) const {
    const std::size_t begin = index * piece_;
    std::size_t before = 0;
    for (const auto& [start, count] : ranges_[node]) {
      const std::size_t from = std::max(begin, before);
      const std::size_t to = std::min(begin + piece_, before + count);
      if (from < to) {
        use(start + from - before, from - begin, to - from);
      }
      before += count;
    }
  }

 private:
  void add(std::size_t node, std::size_t begin, std::size_t count) {
    auto& ranges = ranges_[node];
    if (!ranges.empty() && ranges.back().first + ranges.back().second == begin) {
      ranges.back().second += count;
    } else if (count > 0) {
      ranges.emplace_back(begin, count);
    }
  }

  std::size_t length(std::size_t node) const {
    std::size_t sum = 0;
    for (const auto& range : ranges_[node]) {
      sum += range.second;
    }
    return sum;
  }

  /// Where each node's ranges begin, and how long they are, in elements.
  std::vector<std::vector<std::pair<std::size_t, std::size_t>>> ranges_;
  std::size_t item_;
  std::size_t piece_;
};

}  // namespace adjoin
