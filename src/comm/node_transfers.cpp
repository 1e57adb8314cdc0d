#include "node_transfers.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "reduce_kernels.hpp"

namespace adjoin {

namespace {

/// Large against a signal's cost, small against the caches.
constexpr std::size_t piece_bytes = std::size_t{256} << 10;

}  // namespace

std::unique_ptr<NodeTransfers> NodeTransfers::make(NodeGroup& group) {
  std::shared_ptr<SharedWindow> window = group.acquire(2 * piece_bytes);
  return window ? std::unique_ptr<NodeTransfers>(new NodeTransfers(group, std::move(window))) : nullptr;
}

NodeTransfers::NodeTransfers(NodeGroup& group, std::shared_ptr<SharedWindow> window)
    : group_(group), window_(std::move(window)) {
  for (int r = 0; r < group_.size(); ++r) {
    places_[0].push_back(window_->segment(r));
    places_[1].push_back(window_->segment(r) + piece_bytes);
  }
}

void NodeTransfers::all_gather(std::byte* data, std::span<const std::size_t> lengths) {
  const auto own = static_cast<std::size_t>(group_.rank());
  const std::size_t longest = std::ranges::max(lengths);
  for (std::size_t begin = 0; begin < longest; begin += piece_bytes) {
    const std::vector<std::byte*>& places = next_places();
    const auto for_segments = [&](const auto& transfer) {
      std::byte* segment = data;
      for (std::size_t r = 0; r < lengths.size(); ++r) {
        if (begin < lengths[r]) {
          transfer(r, segment + begin, std::min(piece_bytes, lengths[r] - begin));
        }
        segment += lengths[r];
      }
    };
    for_segments([&](std::size_t r, std::byte* piece, std::size_t bytes) {
      if (r == own) {
        std::memcpy(places[r], piece, bytes);
      }
    });
    group_.synchronize();
    for_segments([&](std::size_t r, std::byte* piece, std::size_t bytes) {
      if (r != own) {
        std::memcpy(piece, places[r], bytes);
      }
    });
  }
}

void NodeTransfers::all_reduce(at::ScalarType dtype, ReduceOp op, void* values, std::size_t numel) {
  const std::size_t item = c10::elementSize(dtype);
  const std::size_t piece = piece_bytes / item;
  for (std::size_t begin = 0; begin < numel; begin += piece) {
    const std::vector<std::byte*>& places = next_places();
    const std::size_t count = std::min(piece, numel - begin);
    std::byte* const target = static_cast<std::byte*>(values) + begin * item;
    std::memcpy(places[static_cast<std::size_t>(group_.rank())], target, count * item);
    group_.synchronize();
    const std::vector<const void*> sources(places.begin(), places.end());
    reduce_arrays(dtype, op, target, sources, 0, count);
  }
}

}  // namespace adjoin
