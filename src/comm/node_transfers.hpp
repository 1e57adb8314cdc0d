// Collectives of any size among the ranks of a node, on memory that is not shared.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "node_group.hpp"

namespace adjoin {

/// Takes the data through a window, piece by piece. Pieces lie in two places in turn: a rank that arrives with one has
/// finished reading the one before.
class NodeTransfers {
 public:
  /// Null on every rank when there is no memory. Collective.
  static std::unique_ptr<NodeTransfers> make(NodeGroup& group);

  /// `data` holds a segment of each rank, one after the other, of `lengths[r]` bytes; each rank has filled its own.
  void all_gather(std::byte* data, std::span<const std::size_t> lengths);

  /// Replaces `numel` elements by their reduction.
  void all_reduce(at::ScalarType dtype, ReduceOp op, void* values, std::size_t numel);

 private:
  NodeTransfers(NodeGroup& group, std::shared_ptr<SharedWindow> window);
  /// Where the ranks lay their next piece.
  const std::vector<std::byte*>& next_places() { return places_[turn_ = 1 - turn_]; }

  NodeGroup& group_;
  std::shared_ptr<SharedWindow> window_;
  std::size_t turn_ = 0;
  std::array<std::vector<std::byte*>, 2> places_;
};

}  // namespace adjoin
