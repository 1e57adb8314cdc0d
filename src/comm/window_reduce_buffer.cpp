#include "window_reduce_buffer.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "reduce_kernels.hpp"

namespace adjoin {

namespace {

constexpr std::size_t cache_line = Node::cache_line;

/// Up to this size one rank's reading of all contributions is cheaper than another signal.
constexpr std::size_t small_bytes = 8192;

/// Above this size a rank's contributions all go to the same memory, which is still in the caches: that is worth more
/// than the signal that alternating spares.
constexpr std::size_t alternating_bytes = std::size_t{256} << 10;

std::size_t contribution_bytes(std::int64_t numel, at::ScalarType dtype) {
  const std::size_t bytes = static_cast<std::size_t>(numel) * c10::elementSize(dtype);
  return (bytes + cache_line - 1) / cache_line * cache_line;
}

}  // namespace

std::size_t WindowReduceBuffer::bytes_needed(std::int64_t numel, at::ScalarType dtype) {
  const std::size_t bytes = contribution_bytes(numel, dtype);
  return bytes > alternating_bytes ? bytes : 2 * bytes;
}

WindowReduceBuffer::WindowReduceBuffer(Communicator& communicator, NodeGroup& group,
                                       const std::shared_ptr<SharedWindow>& window, AcrossNodes across_nodes,
                                       std::int64_t numel, at::ScalarType dtype)
    : ReduceBuffer(communicator), group_(group), across_nodes_(std::move(across_nodes)), numel_(numel), dtype_(dtype) {
  const std::size_t bytes = contribution_bytes(numel, dtype);
  alternates_ = bytes <= alternating_bytes;
  for (std::size_t place = 0; place < (alternates_ ? 2 : 1); ++place) {
    for (int r = 0; r < group.size(); ++r) {
      places_[place].push_back(window->segment(r) + place * bytes);
    }
    // The tensor keeps the window out of the pool for as long as it lives.
    inputs_[place] = at::from_blob(
        places_[place][static_cast<std::size_t>(group.rank())], {numel}, [window](void*) {}, at::TensorOptions(dtype));
  }
}

void WindowReduceBuffer::all_reduce_impl(at::Tensor& output, ReduceOp op) {
  const std::vector<void*>& places = places_[place_];
  reduce(places, output.mutable_data_ptr(), op);
  if (alternates_) {
    place_ = 1 - place_;
  } else {
    group_.synchronize();
  }
}

void WindowReduceBuffer::reduce(const std::vector<void*>& places, void* output, ReduceOp op) {
  const std::span<const void* const> sources(places.data(), places.size());
  void* const shared = places.front();
  const auto numel = static_cast<std::size_t>(numel_);
  const std::size_t item = c10::elementSize(dtype_);

  group_.synchronize();
  const bool one_step = group_.size() <= 2 || numel * item <= small_bytes;
  if (one_step && !across_nodes_) {
    reduce_arrays(dtype_, op, output, sources, 0, numel);
    return;
  }
  if (!one_step) {
    // Each rank reduces a share into the memory of rank 0.
    const auto share_begin = [&](int rank) {
      const std::size_t line = cache_line / item;
      const std::size_t lines = (numel + line - 1) / line;
      const std::size_t first = lines * static_cast<std::size_t>(rank) / static_cast<std::size_t>(group_.size());
      return std::min(numel, first * line);
    };
    const std::size_t begin = share_begin(group_.rank());
    const std::size_t end = share_begin(group_.rank() + 1);
    reduce_arrays(dtype_, op, static_cast<std::byte*>(shared) + begin * item, sources, begin, end - begin);
    group_.synchronize();
  } else if (group_.rank() == 0) {
    reduce_arrays(dtype_, op, shared, sources, 0, numel);
  }
  if (across_nodes_) {
    if (group_.rank() == 0) {
      across_nodes_(shared, numel_, dtype_, op);
    }
    group_.synchronize();
  }
  std::memcpy(output, shared, numel * item);
}

FewReduceBuffer::FewReduceBuffer(Communicator& communicator, NodeGroup& group, std::int64_t numel, at::ScalarType dtype)
    : ReduceBuffer(communicator), group_(group), input_(at::empty({numel}, dtype)) {}

void FewReduceBuffer::all_reduce_impl(at::Tensor& output, ReduceOp op) {
  std::memcpy(output.mutable_data_ptr(), input_.const_data_ptr(), output.nbytes());
  group_.all_reduce_few(input_.scalar_type(), op, output.mutable_data_ptr(), static_cast<std::size_t>(input_.numel()));
}

}  // namespace adjoin
