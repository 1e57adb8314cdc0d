// SPDX-License-Identifier: BSD-3-Clause
// Reduce buffers for devices that an engine cannot reach.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <utility>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "comm/backend/staging.hpp"

namespace adjoin {

/// Memory of a device that the engine cannot reach, reduced through a buffer of type HostBuffer.
template <class HostBuffer>
class StagedReduceBuffer : public HostBuffer {
 public:
  template <class... Arguments>
  explicit StagedReduceBuffer(at::Device device, Arguments&&... arguments)
      : HostBuffer(std::forward<Arguments>(arguments)...),
        input_(at::empty(HostBuffer::input().sizes(), HostBuffer::input().options().device(device))),
        host_output_(host_like(input_)) {}

  const at::Tensor& input() const override { return input_; }

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp op) override {
    const c10::NoGradGuard no_grad;
    HostBuffer::input().copy_(input_);
    HostBuffer::all_reduce_impl(host_output_, op);
    output.copy_(host_output_.view(output.sizes()));
  }

  // NOLINTNEXTLINE(bugprone-parent-virtual-call): the result of HostBuffer's own lies on the host
  const at::Tensor& all_reduce_shared_impl(ReduceOp op) override { return ReduceBuffer::all_reduce_shared_impl(op); }
  void all_gather_impl(at::Tensor& output, const std::vector<std::int64_t>& counts) override {
    ReduceBuffer::all_gather_impl(output, counts);  // NOLINT(bugprone-parent-virtual-call)
  }
  const at::Tensor& all_gather_shared_impl(const std::vector<std::int64_t>& counts) override {
    return ReduceBuffer::all_gather_shared_impl(counts);  // NOLINT(bugprone-parent-virtual-call)
  }
  const at::Tensor& all_gather_part_impl(const at::Tensor& part, const std::vector<std::int64_t>& counts) override {
    return ReduceBuffer::all_gather_part_impl(part, counts);  // NOLINT(bugprone-parent-virtual-call)
  }
  void reduce_scatter_impl(at::Tensor& part, const std::vector<std::int64_t>& counts) override {
    ReduceBuffer::reduce_scatter_impl(part, counts);  // NOLINT(bugprone-parent-virtual-call)
  }

 private:
  at::Tensor input_;
  at::Tensor host_output_;
};

/// A HostBuffer made of `arguments`, with its memory on `device`.
template <class HostBuffer, class... Arguments>
std::unique_ptr<ReduceBuffer> make_host_reduce_buffer(at::Device device, Arguments&&... arguments) {
  if (device.is_cpu()) {
    return std::make_unique<HostBuffer>(std::forward<Arguments>(arguments)...);
  }
  return std::make_unique<StagedReduceBuffer<HostBuffer>>(device, std::forward<Arguments>(arguments)...);
}

}  // namespace adjoin
