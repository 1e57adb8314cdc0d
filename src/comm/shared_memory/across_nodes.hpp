// SPDX-License-Identifier: BSD-3-Clause
// Collectives of host memory over several nodes, in pieces: while one piece is on its way between the nodes, the ranks
// of each node add up the next.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "adjoin/comm/pending.hpp"
#include "comm/shared_memory/node_parts.hpp"
#include "comm/shared_memory/transfers.hpp"

namespace adjoin {

/// What the first ranks of the nodes send each other; called on those ranks alone.
struct NodeLinks {
  /// The place among the nodes of each rank's node.
  std::vector<int> node_of;
  /// Combines host memory in place with that of the other nodes.
  std::function<Pending(at::Tensor& values, ReduceOp op)> start_all_reduce;
  /// Starts to send sends[n] to node n and to fill receives[n] from there: contiguous bytes on the host, undefined
  /// where there are none. Messages between two nodes arrive in the order in which they were started. Empty on all
  /// ranks where the engine has no such messages: then sums alone go between the nodes.
  std::function<Pending(const std::vector<at::Tensor>& sends, const std::vector<at::Tensor>& receives)> start_exchange;
};

/// For arrays of which each node adds up a part: the ranks of a node add up their contributions to one piece of each
/// node's part after the other, in memory that all of them see, and its first rank sends the pieces to whose parts they
/// are of, adds up what comes, and sends the result to all nodes. Three exchanges are under way at once, so that the
/// network carries data in both directions all the time. Of an array of N bytes, a node of M sends and receives
/// N (M - 1) / M for a scatter or a gather, twice that for a sum: the least that there is.
class AcrossNodes {
 public:
  /// Null on every rank of the node where there is no memory. Collective over the node.
  static std::unique_ptr<AcrossNodes> make(NodeTransfers& transfers, int rank, NodeLinks links);

  /// Whether arrays of so many bytes go in pieces, on all ranks; otherwise only combine() may be called.
  bool takes(std::size_t bytes) const { return links_.start_exchange && bytes > private_bytes; }

  /// This rank's contribution to a sum, and where those of all ranks of the node lie; empty where others do not see
  /// them.
  struct Contribution {
    const at::Tensor& own;
    NodeTransfers::Contributions visible;
  };
  /// Where a result goes: memory of this rank's own, or `shared` by all ranks of the node, of which each writes a
  /// share.
  struct Result {
    const at::Tensor& memory;
    bool shared;
  };
  using Counts = std::vector<std::int64_t>;

  /// `result` ← reduction over the ranks. All are collective over all ranks, of contiguous host memory.
  void all_reduce(Contribution contribution, Result result, ReduceOp op);
  /// `part` ← this rank's counts[rank] elements of the sum over the ranks of contributions; their elements behind the
  /// last part are added up in place.
  void reduce_scatter(Contribution contribution, at::Tensor& part, const Counts& counts);
  /// `result` ← the parts of all ranks, of which this one has `part`; the elements of `contribution` behind them are
  /// added up in place.
  void all_gather(const at::Tensor& contribution, const at::Tensor& part, Result result, const Counts& counts);
  /// Combines `values` of this node, which all of its ranks have, with those of the other nodes.
  void combine(at::Tensor& values, ReduceOp op);

 private:
  struct Phases;
  AcrossNodes(NodeTransfers& transfers, int rank, NodeLinks links, const std::shared_ptr<SharedWindow>& staging,
              const std::shared_ptr<SharedWindow>& places);

  template <class Fill, class Take>
  void in_pieces(const NodeParts& parts, const Phases& phases, const Fill& fill, const Take& take);
  /// Lets the first rank do what may fail between the nodes: its error is that of all ranks of the node.
  template <class Act>
  void on_first_rank(const Act& act);
  /// Lays the node's sum of piece `index` of every node's part into that piece's slot, each rank a share.
  void add_up(const NodeParts& parts, std::size_t index, const Contribution& contribution, ReduceOp op);
  /// Copies a piece from its slot to a result.
  void copy_out(const NodeParts& parts, std::size_t index, const Result& result);
  /// What lies in a contribution behind the parts.
  static at::Tensor tail_of(const at::Tensor& contribution, const Counts& counts);
  /// Starts the sum of a tail over all ranks; finish_tail() ends it, and is a step of the node.
  Pending start_tail(at::Tensor& tail);
  void finish_tail(at::Tensor& tail, Pending& sum);

  std::byte* slot(std::size_t index, std::size_t node) const;
  at::Tensor slot_bytes(std::size_t index, std::size_t node, std::size_t bytes) const;

  NodeTransfers& transfers_;
  NodeLinks links_;
  std::size_t rank_;
  std::size_t node_;
  std::size_t nodes_;
  std::size_t piece_bytes_;
  /// The slots, in memory of the node's first rank.
  at::Tensor staging_;
  /// Where the ranks of the node lay contributions that the others do not see.
  std::vector<std::byte*> places_;
  std::shared_ptr<SharedWindow> places_window_;
  /// What comes from the other nodes in the exchanges that are under way; on the first rank alone.
  at::Tensor received_;
};

}  // namespace adjoin
