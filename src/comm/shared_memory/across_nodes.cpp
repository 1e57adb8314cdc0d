// SPDX-License-Identifier: BSD-3-Clause
// Slots in shared memory through which pieces of an array go: added up on the node, sent, added up, sent back, copied.
#include "comm/shared_memory/across_nodes.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "kernels/reduce_kernels.hpp"

namespace adjoin {

namespace {

/// What one piece of each node's part takes together: little against what two processors copy while it is on a slow
/// network, so that this is always busy, and much against the latency of a fast one.
constexpr std::size_t bytes_of_slot = std::size_t{1} << 20;
constexpr std::size_t least_bytes_of_piece = std::size_t{32} << 10;

/// So many exchanges are under way at once: each is long under way when the one before it ends.
constexpr std::size_t depth = 3;
/// From when a piece is laid into its slot to when its result is there, in steps of the node.
constexpr std::size_t lag = depth;
/// A piece is laid into a slot when no rank reads what lay there before: that is so a step later.
constexpr std::size_t slot_count = lag + 2;

constexpr std::size_t cache_line = Node::cache_line;

std::size_t bytes_of_piece(std::size_t nodes) {
  return std::max(bytes_of_slot / nodes / cache_line * cache_line, least_bytes_of_piece);
}

std::size_t number_of_nodes(const NodeLinks& links) {
  return static_cast<std::size_t>(std::ranges::max(links.node_of)) + 1;
}

std::size_t size_of(std::int64_t count) { return static_cast<std::size_t>(count); }

}  // namespace

/// How the pieces of an array go between the nodes.
struct AcrossNodes::Phases {
  bool scatters;
  bool gathers;
  at::ScalarType dtype = at::kByte;
  ReduceOp op = ReduceOp::sum;
};

std::unique_ptr<AcrossNodes> AcrossNodes::make(NodeTransfers& transfers, int rank, NodeLinks links) {
  const std::size_t nodes = number_of_nodes(links);
  const std::size_t bytes = nodes * bytes_of_piece(nodes);
  const std::shared_ptr<SharedWindow> staging = transfers.group().acquire(slot_count * bytes, 1);
  const std::shared_ptr<SharedWindow> places = transfers.group().acquire(bytes);
  return staging && places
             ? std::unique_ptr<AcrossNodes>(new AcrossNodes(transfers, rank, std::move(links), staging, places))
             : nullptr;
}

AcrossNodes::AcrossNodes(NodeTransfers& transfers, int rank, NodeLinks links,
                         const std::shared_ptr<SharedWindow>& staging, const std::shared_ptr<SharedWindow>& places)
    : transfers_(transfers),
      links_(std::move(links)),
      rank_(static_cast<std::size_t>(rank)),
      node_(static_cast<std::size_t>(links_.node_of[rank_])),
      nodes_(number_of_nodes(links_)),
      piece_bytes_(bytes_of_piece(nodes_)),
      staging_(tensor_in(staging, 0, static_cast<std::int64_t>(slot_count * nodes_ * piece_bytes_), at::kByte)),
      places_window_(places) {
  for (int r = 0; r < transfers_.group().size(); ++r) {
    places_.push_back(places->segment(r));
  }
  if (transfers_.group().rank() == 0) {
    received_ = at::empty({static_cast<std::int64_t>(depth * nodes_ * piece_bytes_)}, at::kByte);
  }
}

// ---- What goes into a slot, and out of it --------------------------------------------------------------------------

std::byte* AcrossNodes::slot(std::size_t index, std::size_t node) const {
  return static_cast<std::byte*>(staging_.mutable_data_ptr()) + (index % slot_count * nodes_ + node) * piece_bytes_;
}

at::Tensor AcrossNodes::slot_bytes(std::size_t index, std::size_t node, std::size_t bytes) const {
  const auto begin = static_cast<std::int64_t>((index % slot_count * nodes_ + node) * piece_bytes_);
  return bytes == 0 ? at::Tensor() : staging_.narrow(0, begin, static_cast<std::int64_t>(bytes));
}

void AcrossNodes::add_up(const NodeParts& parts, std::size_t index, const Contribution& contribution, ReduceOp op) {
  NodeGroup& group = transfers_.group();
  const std::size_t item = parts.item();
  const auto* const own = static_cast<const std::byte*>(contribution.own.const_data_ptr());
  const bool is_visible = !contribution.visible.empty();
  if (!is_visible && group.size() > 1) {
    for (std::size_t n = 0; n < nodes_; ++n) {
      std::byte* const place = places_[static_cast<std::size_t>(group.rank())] + n * piece_bytes_;
      parts.for_runs(index, n, [&](std::size_t begin, std::size_t offset, std::size_t count) {
        const NodeTransfers::Share share = transfers_.own_share(count, item);
        const std::byte* const from = own + begin * item;
        std::byte* const to = place + offset * item;
        transfers_.write(from, to, share.begin * item);
        transfers_.write(from + share.end * item, to + share.end * item, (count - share.end) * item);
      });
    }
    group.synchronize();
  }
  std::vector<const void*> sources(static_cast<std::size_t>(group.size()));
  for (std::size_t n = 0; n < nodes_; ++n) {
    parts.for_runs(index, n, [&](std::size_t begin, std::size_t offset, std::size_t count) {
      const NodeTransfers::Share share = transfers_.own_share(count, item);
      for (std::size_t r = 0; r < sources.size(); ++r) {
        sources[r] = is_visible ? contribution.visible[r] + (begin + share.begin) * item
                                : places_[r] + n * piece_bytes_ + (offset + share.begin) * item;
      }
      if (!is_visible) {
        sources[static_cast<std::size_t>(group.rank())] = own + (begin + share.begin) * item;
      }
      reduce_arrays(contribution.own.scalar_type(), op, slot(index, n) + (offset + share.begin) * item, sources,
                    share.end - share.begin);
    });
  }
}

void AcrossNodes::copy_out(const NodeParts& parts, std::size_t index, const Result& result) {
  auto* const memory = static_cast<std::byte*>(result.memory.mutable_data_ptr());
  const std::size_t item = parts.item();
  for (std::size_t n = 0; n < nodes_; ++n) {
    parts.for_runs(index, n, [&](std::size_t begin, std::size_t offset, std::size_t count) {
      const NodeTransfers::Share share =
          result.shared ? transfers_.own_share(count, item) : NodeTransfers::Share{0, count};
      copy_bytes(memory + (begin + share.begin) * item, slot(index, n) + (offset + share.begin) * item,
                 (share.end - share.begin) * item);
    });
  }
}

// ---- Between the nodes ---------------------------------------------------------------------------------------------

template <class Act>
void AcrossNodes::on_first_rank(const Act& act) {
  if (transfers_.group().rank() == 0) {
    try {
      act();
    } catch (const CommunicationError& error) {
      transfers_.group().leave_for(error.what());
      throw;
    }
  }
}

template <class Fill, class Take>
void AcrossNodes::in_pieces(const NodeParts& parts, const Phases& phases, const Fill& fill, const Take& take) {
  const std::size_t pieces = parts.pieces();
  std::vector<at::Tensor> sends(nodes_);
  std::vector<at::Tensor> receives(nodes_);
  const auto exchange = [&](const auto& sent, const auto& received) {
    for (std::size_t n = 0; n < nodes_; ++n) {
      sends[n] = n == node_ ? at::Tensor() : sent(n);
      receives[n] = n == node_ ? at::Tensor() : received(n);
    }
    return links_.start_exchange(sends, receives);
  };
  // What other nodes have of the piece that is this node's.
  const auto received = [&](std::size_t i, std::size_t n) {
    const auto begin = static_cast<std::int64_t>((i % depth * nodes_ + n) * piece_bytes_);
    const auto bytes = static_cast<std::int64_t>(parts.bytes(i, node_));
    return bytes == 0 ? at::Tensor() : received_.narrow(0, begin, bytes);
  };
  const auto start_scatter = [&](std::size_t i) {
    return exchange([&](std::size_t n) { return slot_bytes(i, n, parts.bytes(i, n)); },
                    [&](std::size_t n) { return received(i, n); });
  };
  const auto add_received = [&](std::size_t i) {
    const std::size_t bytes = parts.bytes(i, node_);
    std::vector<const void*> sources(nodes_);
    for (std::size_t n = 0; n < nodes_ && bytes > 0; ++n) {
      sources[n] = n == node_ ? slot(i, n) : received(i, n).const_data_ptr();
    }
    if (bytes > 0) {
      reduce_arrays(phases.dtype, phases.op, slot(i, node_), sources, bytes / parts.item());
    }
  };
  const auto start_gather = [&](std::size_t i) {
    return exchange([&](std::size_t) { return slot_bytes(i, node_, parts.bytes(i, node_)); },
                    [&](std::size_t n) { return slot_bytes(i, n, parts.bytes(i, n)); });
  };

  std::array<Pending, depth> scatters;
  std::array<Pending, depth> gathers;
  // Of a sum, the exchanges of both phases are under way at once, and the scatter of a piece ends a step earlier.
  const bool both = phases.scatters && phases.gathers;
  const std::size_t end_of_scatter = both ? depth - 2 : depth - 1;
  const std::size_t begin_of_gather = both ? end_of_scatter : 0;
  // Calls `act` for the piece that is so many steps behind.
  const auto for_piece = [&](std::size_t step, std::size_t steps_behind, const auto& act) {
    if (step >= steps_behind && step - steps_behind < pieces) {
      act(step - steps_behind);
    }
  };
  NodeGroup& group = transfers_.group();
  group.synchronize();  // all have contributed, and nobody reads the slots of the last array
  for (std::size_t step = 0; step < pieces + lag; ++step) {
    for_piece(step, 0, fill);
    group.synchronize();
    on_first_rank([&] {
      if (phases.scatters) {
        for_piece(step, 0, [&](std::size_t i) { scatters[i % depth] = start_scatter(i); });
        for_piece(step, end_of_scatter, [&](std::size_t i) {
          scatters[i % depth].wait();
          add_received(i);
        });
      }
      if (phases.gathers) {
        for_piece(step, begin_of_gather, [&](std::size_t i) { gathers[i % depth] = start_gather(i); });
        for_piece(step, depth - 1, [&](std::size_t i) { gathers[i % depth].wait(); });
      }
    });
    for_piece(step, lag, take);
  }
}

void AcrossNodes::all_reduce(Contribution contribution, Result result, ReduceOp op) {
  const std::size_t item = contribution.own.element_size();
  const NodeParts parts =
      NodeParts::equal(nodes_, item, piece_bytes_ / item, static_cast<std::size_t>(contribution.own.numel()));
  in_pieces(
      parts, {.scatters = true, .gathers = true, .dtype = contribution.own.scalar_type(), .op = op},
      [&](std::size_t i) { add_up(parts, i, contribution, op); }, [&](std::size_t i) { copy_out(parts, i, result); });
  if (result.shared) {
    transfers_.group().synchronize();
  }
}

void AcrossNodes::reduce_scatter(Contribution contribution, at::Tensor& part, const Counts& counts) {
  const std::size_t item = contribution.own.element_size();
  const NodeParts parts = NodeParts::of_ranks(nodes_, item, piece_bytes_ / item, counts, links_.node_of);
  const std::size_t begin_of_part =
      size_of(std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(rank_), std::int64_t{0}));
  const std::size_t end_of_part = begin_of_part + size_of(counts[rank_]);
  auto* const memory = static_cast<std::byte*>(part.mutable_data_ptr());
  at::Tensor tail = tail_of(contribution.own, counts);
  Pending tail_sum = start_tail(tail);
  in_pieces(
      parts, {.scatters = true, .gathers = false, .dtype = contribution.own.scalar_type()},
      [&](std::size_t i) { add_up(parts, i, contribution, ReduceOp::sum); },
      [&](std::size_t i) {
        parts.for_runs(i, node_, [&](std::size_t begin, std::size_t offset, std::size_t count) {
          const std::size_t from = std::max(begin, begin_of_part);
          const std::size_t to = std::min(begin + count, end_of_part);
          if (from < to) {
            copy_bytes(memory + (from - begin_of_part) * item, slot(i, node_) + (offset + from - begin) * item,
                       (to - from) * item);
          }
        });
      });
  finish_tail(tail, tail_sum);
}

void AcrossNodes::all_gather(const at::Tensor& contribution, const at::Tensor& part, Result result,
                             const Counts& counts) {
  const std::size_t item = contribution.element_size();
  const NodeParts parts = NodeParts::of_ranks(nodes_, item, piece_bytes_ / item, counts, links_.node_of);
  const std::size_t begin_of_part =
      size_of(std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(rank_), std::int64_t{0}));
  const std::size_t end_of_part = begin_of_part + size_of(counts[rank_]);
  const auto* const memory = static_cast<const std::byte*>(part.const_data_ptr());
  at::Tensor tail = tail_of(contribution, counts);
  Pending tail_sum = start_tail(tail);
  in_pieces(
      parts, {.scatters = false, .gathers = true},
      [&](std::size_t i) {
        parts.for_runs(i, node_, [&](std::size_t begin, std::size_t offset, std::size_t count) {
          const std::size_t from = std::max(begin, begin_of_part);
          const std::size_t to = std::min(begin + count, end_of_part);
          if (from < to) {
            transfers_.write(memory + (from - begin_of_part) * item, slot(i, node_) + (offset + from - begin) * item,
                             (to - from) * item);
          }
        });
      },
      [&](std::size_t i) { copy_out(parts, i, result); });
  finish_tail(tail, tail_sum);
}

void AcrossNodes::combine(at::Tensor& values, ReduceOp op) {
  on_first_rank([&] { links_.start_all_reduce(values, op).wait(); });
  transfers_.broadcast(values, 0);
}

// ---- What lies behind the parts ------------------------------------------------------------------------------------

at::Tensor AcrossNodes::tail_of(const at::Tensor& contribution, const Counts& counts) {
  const std::int64_t before = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  return contribution.narrow(0, before, contribution.numel() - before);
}

Pending AcrossNodes::start_tail(at::Tensor& tail) {
  Pending sum;
  if (tail.numel() > 0) {
    transfers_.all_reduce(tail.scalar_type(), ReduceOp::sum, tail.const_data_ptr(), tail.mutable_data_ptr(),
                          static_cast<std::size_t>(tail.numel()));
    on_first_rank([&] { sum = links_.start_all_reduce(tail, ReduceOp::sum); });
  }
  return sum;
}

void AcrossNodes::finish_tail(at::Tensor& tail, Pending& sum) {
  on_first_rank([&] { sum.wait(); });
  if (tail.numel() > 0) {
    transfers_.broadcast(tail, 0);
  } else {
    transfers_.group().synchronize();
  }
}

}  // namespace adjoin
