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
  const auto numel = static_cast<std::size_t>(numel_);
  const std::size_t bytes = numel * c10::elementSize(dtype_);
  const bool one_step = group_.size() <= 2 || bytes <= small_bytes;
  void* const shared = places.front();
  if (!one_step) {
    reduce_shares(places, shared, op);
  } else {
    const std::span<const void* const> sources(places.data(), places.size());
    group_.synchronize();
    if (!across_nodes_) {
      reduce_arrays(dtype_, op, output, sources, 0, numel);
      return;
    }
    if (group_.rank() == 0) {
      reduce_arrays(dtype_, op, shared, sources, 0, numel);
    }
    reduce_across_nodes(shared, op);
  }
  std::memcpy(output, shared, bytes);
}

void WindowReduceBuffer::reduce_shares(const std::vector<void*>& places, void* shared, ReduceOp op) {
  const auto numel = static_cast<std::size_t>(numel_);
  const std::size_t item = c10::elementSize(dtype_);
  const auto share_begin = [&](int rank) {
    const std::size_t line = cache_line / item;
    const std::size_t lines = (numel + line - 1) / line;
    const std::size_t first = lines * static_cast<std::size_t>(rank) / static_cast<std::size_t>(group_.size());
    return std::min(numel, first * line);
  };
  const std::size_t begin = share_begin(group_.rank());
  const std::size_t end = share_begin(group_.rank() + 1);
  group_.synchronize();
  reduce_arrays(dtype_, op, static_cast<std::byte*>(shared) + begin * item, {places.data(), places.size()}, begin,
                end - begin);
  group_.synchronize();
  if (across_nodes_) {
    reduce_across_nodes(shared, op);
  }
}

void WindowReduceBuffer::reduce_across_nodes(void* shared, ReduceOp op) {
  if (group_.rank() == 0) {
    across_nodes_(shared, numel_, dtype_, op);
  }
  group_.synchronize();
}

bool WindowReduceBuffer::has_shared_results() {
  if (!shared_results_[0].defined()) {
    // A result in the segment of one rank, the next in that of another.
    const std::shared_ptr<SharedWindow> window = group_.acquire(contribution_bytes(numel_, dtype_));
    for (int r = 0; window && r < 2; ++r) {
      shared_results_[static_cast<std::size_t>(r)] =
          at::from_blob(window->segment(r), {numel_}, [window](void*) {}, at::TensorOptions(dtype_));
    }
  }
  return shared_results_[0].defined();
}

// A rank that writes to a result's memory again has passed the first signal of that reduction, which every rank gives
// when it no longer reads the result before the last.
const at::Tensor& WindowReduceBuffer::all_reduce_shared_impl(ReduceOp op) {
  if (alternates_ || group_.size() < 2 || !has_shared_results()) {
    return ReduceBuffer::all_reduce_shared_impl(op);
  }
  const at::Tensor& result = shared_results_[next_shared_];
  next_shared_ = 1 - next_shared_;
  reduce_shares(places_[place_], result.mutable_data_ptr(), op);
  return result;
}

FewReduceBuffer::FewReduceBuffer(Communicator& communicator, NodeGroup& group, std::int64_t numel, at::ScalarType dtype)
    : ReduceBuffer(communicator), group_(group), input_(at::empty({numel}, dtype)) {}

void FewReduceBuffer::all_reduce_impl(at::Tensor& output, ReduceOp op) {
  std::memcpy(output.mutable_data_ptr(), input_.const_data_ptr(), output.nbytes());
  group_.all_reduce_few(input_.scalar_type(), op, output.mutable_data_ptr(), static_cast<std::size_t>(input_.numel()));
}

}  // namespace adjoin
