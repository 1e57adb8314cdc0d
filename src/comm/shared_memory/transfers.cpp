// SPDX-License-Identifier: BSD-3-Clause
// Collectives in pieces through a small window, or in place where all ranks see the tensors.
#include "comm/shared_memory/transfers.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "kernels/reduce_kernels.hpp"

namespace adjoin {

namespace {

/// Large against the cost of a signal; two of them fill a second-level cache, so that one is no longer in that of the
/// rank that read it when it is written again.
constexpr std::size_t piece_bytes = std::size_t{512} << 10;

/// Up to this size one rank's reading of all contributions is cheaper than another signal.
constexpr std::size_t small_bytes = 8192;

/// Results larger than this have left the caches when they are read.
constexpr std::size_t large_bytes = std::size_t{16} << 20;

Store store_for(std::size_t bytes) { return bytes > large_bytes ? Store::streamed : Store::cached; }

constexpr auto is_there = [](const std::byte* memory) { return memory != nullptr; };

/// Calls `transfer(begin, count)` for the pieces of `numel` elements of `item` bytes.
template <class Transfer>
void in_pieces(std::size_t numel, std::size_t item, const Transfer& transfer) {
  const std::size_t piece = piece_bytes / item;
  for (std::size_t begin = 0; begin < numel; begin += piece) {
    transfer(begin, std::min(piece, numel - begin));
  }
}

}  // namespace

at::Tensor tensor_in(const std::shared_ptr<SharedWindow>& window, int rank, std::int64_t numel, at::ScalarType dtype) {
  return at::from_blob(window->segment(rank), {numel}, [window](void*) {}, dtype);
}

std::unique_ptr<NodeTransfers> NodeTransfers::make(std::unique_ptr<Node> node, std::vector<int> ranks,
                                                   std::chrono::milliseconds timeout, int nodes,
                                                   const SharedMemoryOptions& options) {
  // Where a node waits for its first rank, which waits for those of other nodes, that one is to give up first: it knows
  // which.
  constexpr auto time_of_first_rank = std::chrono::seconds(3);
  const std::chrono::milliseconds patience = nodes > 1 ? timeout + time_of_first_rank : timeout;
  std::unique_ptr<NodeGroup> group = NodeGroup::make(std::move(node), std::move(ranks), patience);
  std::shared_ptr<SharedWindow> window = group ? group->acquire(2 * piece_bytes) : nullptr;
  return window ? std::unique_ptr<NodeTransfers>(new NodeTransfers(std::move(group), std::move(window), options))
                : nullptr;
}

NodeTransfers::NodeTransfers(std::unique_ptr<NodeGroup> group, std::shared_ptr<SharedWindow> window,
                             const SharedMemoryOptions& options)
    : group_(std::move(group)),
      window_(std::move(window)),
      writer_(options.stores),
      rank_(static_cast<std::size_t>(group_->rank())),
      options_(options) {
  if (options.sharing != Sharing::automatic) {
    contributes_in_place_ = options.sharing == Sharing::in_place;
  }
  for (int r = 0; r < group_->size(); ++r) {
    places_[0].push_back(window_->segment(r));
    places_[1].push_back(window_->segment(r) + piece_bytes);
  }
  sources_.resize(places_[0].size());
  seen_.resize(places_[0].size());
  lengths_.resize(places_[0].size());
}

std::string NodeTransfers::description() const {
  std::string text = c10::str("shared memory (", to_string(options_.sharing));
  if (options_.sharing == Sharing::automatic) {
    text += !contributes_in_place_ ? ": not chosen yet" : *contributes_in_place_ ? ": in_place" : ": in_pieces";
  }
  return c10::str(text, "; stores ", writer_.description(), ")");
}

void NodeTransfers::all_gather(at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  const auto to_bytes = [&](std::int64_t count) { return static_cast<std::size_t>(count) * buffer.element_size(); };
  std::ranges::transform(counts, lengths_.begin(), to_bytes);
  gather_segments(static_cast<std::byte*>(buffer.mutable_data_ptr()));
}

void NodeTransfers::broadcast(at::Tensor& tensor, int root) {
  std::ranges::fill(lengths_, 0);
  lengths_[static_cast<std::size_t>(root)] = tensor.nbytes();
  gather_segments(static_cast<std::byte*>(tensor.mutable_data_ptr()));
}

template <class Transfer>
void NodeTransfers::for_segments(std::byte* data, std::size_t begin, std::size_t most, const Transfer& transfer) const {
  std::byte* segment = data;
  for (std::size_t r = 0; r < lengths_.size(); ++r) {
    if (begin < lengths_[r]) {
      transfer(r, std::span(segment + begin, std::min(most, lengths_[r] - begin)));
    }
    segment += lengths_[r];
  }
}

void NodeTransfers::gather_segments(std::byte* data) {
  const Store store = store_for(std::accumulate(lengths_.begin(), lengths_.end(), std::size_t{0}));
  std::ranges::fill(seen_, nullptr);
  if (std::ranges::max(lengths_) > piece_bytes) {
    see(data);
  }
  gather_in_pieces(data, store);
  if (std::ranges::any_of(seen_, is_there)) {
    for_segments(data, 0, std::numeric_limits<std::size_t>::max(), [&](std::size_t r, std::span<std::byte> segment) {
      if (r != rank_ && seen_[r] != nullptr) {
        copy_bytes(segment.data(), seen_[r] + (segment.data() - data), segment.size(), store);
      }
    });
    group_->synchronize();  // nobody reads any more
  }
}

void NodeTransfers::see(const void* own) {
  group_->synchronize(group_->find(own));
  for (std::size_t r = 0; r < seen_.size(); ++r) {
    const NodeGroup::Place place = group_->told(static_cast<int>(r));
    seen_[r] = place.window == 0 ? nullptr : group_->memory_at(static_cast<int>(r), place);
  }
}

void NodeTransfers::gather_in_pieces(std::byte* data, Store store) {
  std::size_t longest = 0;
  for (std::size_t r = 0; r < lengths_.size(); ++r) {
    longest = seen_[r] == nullptr ? std::max(longest, lengths_[r]) : longest;
  }
  for (std::size_t begin = 0; begin < longest; begin += piece_bytes) {
    const std::vector<std::byte*>& places = next_places();
    for_segments(data, begin, piece_bytes, [&](std::size_t r, std::span<const std::byte> piece) {
      if (r == rank_ && seen_[r] == nullptr) {
        writer_.write(places[r], piece.data(), piece.size());
      }
    });
    group_->synchronize();
    for_segments(data, begin, piece_bytes, [&](std::size_t r, std::span<std::byte> piece) {
      if (r != rank_ && seen_[r] == nullptr) {
        copy_bytes(piece.data(), places[r], piece.size(), store);
      }
    });
  }
}

at::Tensor NodeTransfers::visible(std::int64_t numel, at::ScalarType dtype) {
  const std::size_t bytes = static_cast<std::size_t>(numel) * c10::elementSize(dtype);
  if (bytes <= private_bytes || !contributes_in_place()) {
    return {};
  }
  const std::shared_ptr<SharedWindow> window = group_->acquire(bytes);
  return window ? tensor_in(window, group_->rank(), numel, dtype) : at::Tensor();
}

NodeTransfers::Share NodeTransfers::share_of(int rank, std::size_t numel, std::size_t item) const {
  const std::size_t line = Node::cache_line / item;
  const std::size_t lines = (numel + line - 1) / line;
  const auto begin = [&](int r) {
    return std::min(numel, lines * static_cast<std::size_t>(r) / static_cast<std::size_t>(group_->size()) * line);
  };
  return {begin(rank), begin(rank + 1)};
}

void NodeTransfers::contribute(const std::vector<std::byte*>& places, const std::byte* own, std::size_t numel,
                               std::size_t item) {
  const Share mine = share_of(group_->rank(), numel, item);
  std::byte* const place = places[rank_];
  writer_.write(place, own, mine.begin * item);
  writer_.write(place + mine.end * item, own + mine.end * item, (numel - mine.end) * item);
  group_->synchronize();
}

std::span<const void* const> NodeTransfers::sources(Contributions contributions, std::size_t offset) {
  std::ranges::transform(contributions, sources_.begin(), [&](const std::byte* of_rank) { return of_rank + offset; });
  return sources_;
}

std::span<const void* const> NodeTransfers::sources(Contributions contributions, const std::byte* own,
                                                    std::size_t offset) {
  sources(contributions, offset);
  sources_[rank_] = own + offset;
  return sources_;
}

void NodeTransfers::reduce_shares(at::ScalarType dtype, ReduceOp op, std::span<const void* const> sources,
                                  const std::vector<std::byte*>& places, std::byte* output, std::size_t numel,
                                  Store store) {
  const std::size_t item = c10::elementSize(dtype);
  const auto range = [&](int rank) {
    const Share share = share_of(rank, numel, item);
    return std::pair(share.begin * item, (share.end - share.begin) * item);
  };
  const auto [offset, bytes] = range(group_->rank());
  const bool in_place = places[rank_] == output;
  reduce_arrays(dtype, op, output + offset, sources, bytes / item, in_place ? store : Store::cached);
  if (!in_place) {
    writer_.write(places[rank_] + offset, output + offset, bytes);
  }
  group_->synchronize();
  for (int r = 0; r < group_->size(); ++r) {
    if (r != group_->rank()) {
      const auto [begin, length] = range(r);
      copy_bytes(output + begin, places[static_cast<std::size_t>(r)] + begin, length, store);
    }
  }
}

void NodeTransfers::all_reduce(at::ScalarType dtype, ReduceOp op, const void* own, void* output, std::size_t numel) {
  const std::size_t item = c10::elementSize(dtype);
  const std::size_t bytes = numel * item;
  if (bytes <= NodeGroup::few_bytes) {
    if (output != own) {
      std::memcpy(output, own, bytes);
    }
    group_->all_reduce_few(dtype, op, output, numel);
    return;
  }
  const bool one_step = group_->size() <= 2 || bytes <= small_bytes;
  in_pieces(numel, item, [&](std::size_t begin, std::size_t count) {
    const std::vector<std::byte*>& places = next_places();
    const std::byte* const from = static_cast<const std::byte*>(own) + begin * item;
    std::byte* const to = static_cast<std::byte*>(output) + begin * item;
    if (one_step) {
      writer_.write(places[rank_], from, count * item);
      group_->synchronize();
      reduce_arrays(dtype, op, to, sources(places, from, 0), count, store_for(bytes));
    } else {
      contribute(places, from, count, item);
      // Each rank's share of the results goes where it laid no contribution.
      const std::size_t offset = share_of(group_->rank(), count, item).begin * item;
      reduce_shares(dtype, op, sources(places, from, offset), places, to, count, store_for(bytes));
    }
  });
}

void NodeTransfers::all_reduce_shared(at::ScalarType dtype, ReduceOp op, const void* own, void* shared,
                                      std::size_t numel) {
  const std::size_t item = c10::elementSize(dtype);
  in_pieces(numel, item, [&](std::size_t begin, std::size_t count) {
    const std::vector<std::byte*>& places = next_places();
    const std::byte* const from = static_cast<const std::byte*>(own) + begin * item;
    contribute(places, from, count, item);
    const Share mine = share_of(group_->rank(), count, item);
    const std::size_t offset = mine.begin * item;
    reduce_arrays(dtype, op, static_cast<std::byte*>(shared) + begin * item + offset, sources(places, from, offset),
                  mine.end - mine.begin, writer_.quicker((mine.end - mine.begin) * item));
  });
  group_->synchronize();
}

void NodeTransfers::all_reduce(at::ScalarType dtype, ReduceOp op, Contributions contributions, void* output,
                               std::size_t numel) {
  const std::size_t item = c10::elementSize(dtype);
  const Store store = store_for(numel * item);
  see(output);
  if (std::ranges::all_of(seen_, is_there)) {
    const std::size_t offset = share_of(group_->rank(), numel, item).begin * item;
    reduce_shares(dtype, op, sources(contributions, offset), seen_, static_cast<std::byte*>(output), numel, store);
    group_->synchronize();  // nobody reads any more
    return;
  }
  if (group_->size() <= 2) {
    reduce_arrays(dtype, op, output, sources(contributions, 0), numel, store);
    group_->synchronize();
    return;
  }
  in_pieces(numel, item, [&](std::size_t begin, std::size_t count) {
    const std::size_t offset = share_of(group_->rank(), count, item).begin;
    reduce_shares(dtype, op, sources(contributions, (begin + offset) * item), next_places(),
                  static_cast<std::byte*>(output) + begin * item, count, store);
  });
}

void NodeTransfers::all_reduce_shared(at::ScalarType dtype, ReduceOp op, Contributions contributions, void* shared,
                                      std::size_t numel) {
  const std::size_t item = c10::elementSize(dtype);
  const Share mine = share_of(group_->rank(), numel, item);
  group_->synchronize();
  reduce_arrays(dtype, op, static_cast<std::byte*>(shared) + mine.begin * item,
                sources(contributions, mine.begin * item), mine.end - mine.begin, store_for(numel * item));
  group_->synchronize();
}

void NodeTransfers::reduce_scatter(at::ScalarType dtype, ReduceOp op, const void* own, void* part,
                                   const std::vector<std::int64_t>& counts) {
  const std::size_t item = c10::elementSize(dtype);
  // A piece of each rank's part goes through the window at a time.
  const std::size_t bytes_a_rank = piece_bytes / counts.size() / Node::cache_line * Node::cache_line;
  const std::size_t piece = bytes_a_rank / item;
  const auto longest = static_cast<std::size_t>(std::ranges::max(counts));
  for (std::size_t done = 0; done == 0 || done < longest; done += piece) {
    const std::vector<std::byte*>& places = next_places();
    const std::byte* from = static_cast<const std::byte*>(own);
    const std::byte* mine = nullptr;
    std::size_t my_count = 0;
    for (std::size_t r = 0; r < counts.size(); ++r) {
      const auto total = static_cast<std::size_t>(counts[r]);
      const std::size_t count = done < total ? std::min(piece, total - done) : 0;
      if (r == rank_) {
        mine = from + done * item;
        my_count = count;
      } else if (count > 0) {
        writer_.write(places[rank_] + r * bytes_a_rank, from + done * item, count * item);
      }
      from += total * item;
    }
    group_->synchronize();
    if (my_count > 0) {
      std::ranges::transform(places, sources_.begin(),
                             [&](const std::byte* of_rank) { return of_rank + rank_ * bytes_a_rank; });
      sources_[rank_] = mine;
      reduce_arrays(dtype, op, static_cast<std::byte*>(part) + done * item, sources_, my_count);
    }
  }
}

void NodeTransfers::reduce_part(at::ScalarType dtype, ReduceOp op, Contributions contributions, std::int64_t begin,
                                void* part, std::size_t numel) {
  const std::size_t item = c10::elementSize(dtype);
  if (numel > 0) {
    reduce_arrays(dtype, op, part, sources(contributions, static_cast<std::size_t>(begin) * item), numel,
                  store_for(numel * item));
  }
  group_->synchronize();
}

bool NodeTransfers::contributes_in_place() {
  if (!contributes_in_place_) {
    int in_place = takes_less_in_place() ? 1 : 0;
    group_->all_reduce_few(at::kInt, ReduceOp::min, &in_place, 1);
    contributes_in_place_ = in_place == 1;
  }
  return *contributes_in_place_;
}

bool NodeTransfers::takes_less_in_place() {
  // Little, so that it is soon done. The first rounds teach the writer.
  constexpr std::size_t bytes = piece_bytes / 8;
  constexpr int lessons = 24;
  constexpr int rounds = lessons + 11;
  std::vector<std::byte> own(bytes);
  std::array<std::vector<double>, 2> seconds;
  std::byte* const place = places_[0][rank_];
  const std::byte* const of_next = places_[0][(rank_ + 1) % places_[0].size()];
  for (int round = 0; round < rounds; ++round) {
    for (const bool in_place : {false, true}) {
      using Clock = std::chrono::steady_clock;
      const auto start = Clock::now();
      std::memset(in_place ? place : own.data(), round, bytes);
      if (!in_place) {
        writer_.write(place, own.data(), bytes);
      }
      const std::chrono::duration<double> elapsed = Clock::now() - start;
      if (round >= lessons) {
        seconds[in_place ? 1 : 0].push_back(elapsed.count());
      }
      group_->synchronize();
      std::memcpy(own.data(), of_next, bytes);
      group_->synchronize();
    }
  }
  const auto median = [](std::vector<double>& values) {
    std::ranges::nth_element(values, values.begin() + values.size() / 2);
    return values[values.size() / 2];
  };
  // Reading from the window costs more than this finds, and a rank may be disturbed: where writing in place takes
  // longer, it is several times as long.
  return median(seconds[1]) < 1.5 * median(seconds[0]);
}

void NodeTransfers::share(const std::byte* own, std::byte* shared, std::size_t bytes) {
  group_->synchronize();
  writer_.write(shared, own, bytes);
  group_->synchronize();
}

}  // namespace adjoin
