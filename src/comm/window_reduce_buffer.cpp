#include "window_reduce_buffer.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "reduce_kernels.hpp"

namespace adjoin {

namespace {

constexpr std::size_t cache_line = 64;

/// Up to this size one rank's reading of all contributions is cheaper than another signal.
constexpr std::size_t small_bytes = 8192;

std::size_t half_bytes(std::int64_t numel, at::ScalarType dtype) {
  const std::size_t bytes = static_cast<std::size_t>(numel) * c10::elementSize(dtype);
  return (bytes + cache_line - 1) / cache_line * cache_line;
}

}  // namespace

std::size_t WindowReduceBuffer::bytes_needed(std::int64_t numel, at::ScalarType dtype) {
  return 2 * half_bytes(numel, dtype);
}

WindowReduceBuffer::WindowReduceBuffer(Communicator& communicator, NodeGroup& group,
                                       std::shared_ptr<SharedWindow> window, AcrossNodes across_nodes,
                                       std::int64_t numel, at::ScalarType dtype)
    : ReduceBuffer(communicator), group_(group), across_nodes_(std::move(across_nodes)), numel_(numel), dtype_(dtype) {
  for (const std::size_t half : {0, 1}) {
    for (int r = 0; r < group.size(); ++r) {
      halves_[half].push_back(window->segment(r) + half * half_bytes(numel, dtype));
    }
    // The tensor keeps the window out of the pool for as long as it lives.
    inputs_[half] = at::from_blob(
        halves_[half][static_cast<std::size_t>(group.rank())], {numel}, [window](void*) {}, at::TensorOptions(dtype));
  }
}

void WindowReduceBuffer::all_reduce_impl(at::Tensor& output, ReduceOp op) {
  const std::vector<void*>& halves = halves_[half_];
  const std::span<const void* const> sources(halves.data(), halves.size());
  void* const shared = halves.front();
  const auto numel = static_cast<std::size_t>(numel_);
  const std::size_t item = c10::elementSize(dtype_);
  const std::size_t bytes = numel * item;
  half_ = 1 - half_;

  group_.synchronize();
  const bool one_step = group_.size() <= 2 || bytes <= small_bytes;
  if (one_step && !across_nodes_) {
    reduce_arrays(dtype_, op, output.mutable_data_ptr(), sources, 0, numel);
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
  std::memcpy(output.mutable_data_ptr(), shared, bytes);
}

FewReduceBuffer::FewReduceBuffer(Communicator& communicator, NodeGroup& group, std::int64_t numel, at::ScalarType dtype)
    : ReduceBuffer(communicator), group_(group), input_(at::empty({numel}, dtype)) {}

void FewReduceBuffer::all_reduce_impl(at::Tensor& output, ReduceOp op) {
  std::memcpy(output.mutable_data_ptr(), input_.const_data_ptr(), output.nbytes());
  group_.all_reduce_few(input_.scalar_type(), op, output.mutable_data_ptr(), static_cast<std::size_t>(input_.numel()));
}

}  // namespace adjoin
