// SPDX-License-Identifier: BSD-3-Clause
// Collectives of any size among the ranks of a node, on memory of each rank's own.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adjoin/comm/shared_memory.hpp"
#include "comm/shared_memory/group.hpp"
#include "comm/shared_memory/window_writer.hpp"

namespace adjoin {

/// The segment of `rank`, as a tensor of `numel` elements which keeps the window out of the pool.
at::Tensor tensor_in(const std::shared_ptr<SharedWindow>& window, int rank, std::int64_t numel, at::ScalarType dtype);

/// Up to this size contributions and results are cheaper in memory of each rank's own, which stays in its caches.
constexpr std::size_t private_bytes = std::size_t{256} << 10;

/// Takes the data through a window, piece by piece. Pieces lie in two places in turn: a rank that arrives with one has
/// finished reading the one before. The window so stays small, and the pieces mostly in the caches.
class NodeTransfers {
 public:
  /// Of the ranks of one of `nodes` nodes, called `ranks` in messages, that wait for each other as long as `timeout`
  /// says. Null on every rank where they cannot see each other's memory, or there is none. Collective.
  static std::unique_ptr<NodeTransfers> make(std::unique_ptr<Node> node, std::vector<int> ranks,
                                             std::chrono::milliseconds timeout, int nodes,
                                             const SharedMemoryOptions& options);

  /// "shared memory (automatic: in_place; stores cached)": the settings and, where they are automatic, what has been
  /// chosen so far.
  std::string description() const;

  NodeGroup& group() const { return *group_; }

  /// `buffer`, contiguous, holds a segment of each rank, one after the other, of `counts[r]` elements; each rank has
  /// filled its own.
  void all_gather(at::Tensor& buffer, const std::vector<std::int64_t>& counts);

  /// Every rank's `tensor`, contiguous, becomes that of `root`.
  void broadcast(at::Tensor& tensor, int root);

  /// `output` ← reduction of the `numel` elements of every rank's `own`, the same bits on every rank. The two may be
  /// the same memory.
  void all_reduce(at::ScalarType dtype, ReduceOp op, const void* own, void* output, std::size_t numel);

  /// The same into memory that all ranks see, of which each writes a share. Nobody may read it meanwhile.
  void all_reduce_shared(at::ScalarType dtype, ReduceOp op, const void* own, void* shared, std::size_t numel);

  /// Where every rank has written its contribution, in memory that all see. It is read only.
  using Contributions = std::span<std::byte* const>;

  /// Both, of contributions that need no way through the window. Where the outputs of all ranks are visible(), each
  /// reduces a share to its own and copies those of the others from theirs.
  void all_reduce(at::ScalarType dtype, ReduceOp op, Contributions contributions, void* output, std::size_t numel);
  void all_reduce_shared(at::ScalarType dtype, ReduceOp op, Contributions contributions, void* shared,
                         std::size_t numel);

  /// `part` ← this rank's part of the reduction of every rank's `own`: of rank r the counts[r] elements after those of
  /// the ranks before.
  void reduce_scatter(at::ScalarType dtype, ReduceOp op, const void* own, void* part,
                      const std::vector<std::int64_t>& counts);
  /// The `numel` elements from `begin` on of the reduction of contributions that are all there; returns when nobody
  /// reads them any more.
  void reduce_part(at::ScalarType dtype, ReduceOp op, Contributions contributions, std::int64_t begin, void* part,
                   std::size_t numel);

  /// Memory of this rank's own that the others see; undefined on every rank where writing it would take longer or there
  /// is none. Collective.
  at::Tensor visible(std::int64_t numel, at::ScalarType dtype);

  /// Whether it takes a rank less to write its contribution to memory that others have read than to memory of its own
  /// and from there into the window; the same on every rank. Collective; measured at the first call, if ever.
  bool contributes_in_place();

  /// Copies `own` to this rank's place in memory that all ranks see, and returns when all have. Nobody may read what
  /// lies there meanwhile, but others may until they call this.
  void share(const std::byte* own, std::byte* shared, std::size_t bytes);
  /// The same copy alone, without waiting for anyone.
  void write(const std::byte* own, std::byte* shared, std::size_t bytes) { writer_.write(shared, own, bytes); }

  /// Elements [begin, end) of a piece.
  struct Share {
    std::size_t begin;
    std::size_t end;
  };
  /// The part that this rank reduces of what the ranks reduce together.
  Share own_share(std::size_t numel, std::size_t item) const { return share_of(group_->rank(), numel, item); }

 private:
  NodeTransfers(std::unique_ptr<NodeGroup> group, std::shared_ptr<SharedWindow> window,
                const SharedMemoryOptions& options);
  /// Where the ranks lay their next piece.
  const std::vector<std::byte*>& next_places() { return places_[group_->next_turn()]; }

  /// Waits for all ranks, and finds where each one's memory is that it calls this with: in seen_, null where the others
  /// do not see it.
  void see(const void* own);
  /// Gathers segments of lengths_[r] bytes.
  void gather_segments(std::byte* data);
  /// The same through the window, of those that no rank sees where they are.
  void gather_in_pieces(std::byte* data, Store store);
  /// Calls `transfer(r, segment)` for the bytes [begin, begin + most) of each rank's segment, as far as it has them.
  template <class Transfer>
  void for_segments(std::byte* data, std::size_t begin, std::size_t most, const Transfer& transfer) const;

  bool takes_less_in_place();

  /// The part of a piece that `rank` reduces.
  Share share_of(int rank, std::size_t numel, std::size_t item) const;
  /// Lays all of `own` but this rank's share into `places`, then waits for the others.
  void contribute(const std::vector<std::byte*>& places, const std::byte* own, std::size_t numel, std::size_t item);
  /// What lies at `contributions`, in the order of the ranks, from byte `offset` on.
  std::span<const void* const> sources(Contributions contributions, std::size_t offset);
  /// The same, but this rank's contribution is `own`.
  std::span<const void* const> sources(Contributions contributions, const std::byte* own, std::size_t offset);
  /// `output` ← this rank's share of the reduction, from its place to its end; laid into `places`, too, unless they are
  /// the ranks' outputs themselves; then, when all have done so, that of the others from there.
  void reduce_shares(at::ScalarType dtype, ReduceOp op, std::span<const void* const> sources,
                     const std::vector<std::byte*>& places, std::byte* output, std::size_t numel, Store store);

  std::unique_ptr<NodeGroup> group_;
  std::shared_ptr<SharedWindow> window_;
  WindowWriter writer_;
  std::size_t rank_;
  std::array<std::vector<std::byte*>, 2> places_;
  SharedMemoryOptions options_;
  std::optional<bool> contributes_in_place_;
  // Kept from call to call, to spare the allocation.
  std::vector<const void*> sources_;
  std::vector<std::byte*> seen_;
  std::vector<std::size_t> lengths_;
};

}  // namespace adjoin
