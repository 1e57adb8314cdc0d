// SPDX-License-Identifier: BSD-3-Clause
// Reduce buffers that an engine's own collectives serve.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "adjoin/comm/communicator.hpp"

namespace adjoin {

/// What an engine does for a reduce buffer. Each is one collective; a tail is added up over the ranks, in place.
struct EngineCollectives {
  using Counts = std::vector<std::int64_t>;
  /// `output` ← reduction over the ranks of `input`, which has as many elements.
  std::function<void(const at::Tensor& input, at::Tensor& output, ReduceOp op)> reduce;
  /// `part` ← this rank's counts[rank] elements of the sum over the ranks of `input`.
  std::function<void(const at::Tensor& input, at::Tensor& part, const Counts& counts, at::Tensor& tail)> scatter;
  /// `all` holds the parts of all ranks, of which this one has filled its own.
  std::function<void(at::Tensor& all, const Counts& counts, at::Tensor& tail)> gather;
  /// Provides the memory that the last two need for parts of so many bytes; may be empty.
  std::function<void(const Counts& bytes)> provide = {};
};

/// Ordinary memory that the engine reaches.
class EngineReduceBuffer : public ReduceBuffer {
 public:
  EngineReduceBuffer(Communicator& communicator, EngineCollectives engine, std::int64_t numel, at::ScalarType dtype,
                     at::Device device)
      : ReduceBuffer(communicator),
        engine_(std::move(engine)),
        input_(at::empty({numel}, at::TensorOptions(dtype).device(device))) {}

  const at::Tensor& input() const override { return input_; }

  void provide_parts(const std::vector<std::int64_t>& counts) override {
    if (!gathered_.defined()) {
      gathered_ = at::empty_like(input_);
    }
    if (engine_.provide) {
      std::vector<std::int64_t> bytes = counts;
      for (std::int64_t& count : bytes) {
        count *= static_cast<std::int64_t>(input_.element_size());
      }
      engine_.provide(bytes);
    }
  }

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp op) override {
    const c10::NoGradGuard no_grad;
    engine_.reduce(input_, output, op);
  }

  const at::Tensor& all_gather_part_impl(const at::Tensor& part, const std::vector<std::int64_t>& counts) override {
    const c10::NoGradGuard no_grad;
    provide_parts(counts);
    const Part own = own_part(counts);
    gathered_.narrow(0, own.begin, own.count).copy_(part.view(-1));
    at::Tensor behind = tail(counts);
    at::Tensor all = gathered_.narrow(0, 0, input_.numel() - behind.numel());
    engine_.gather(all, counts, behind);
    return gathered_;
  }

  void reduce_scatter_impl(at::Tensor& part, const std::vector<std::int64_t>& counts) override {
    const c10::NoGradGuard no_grad;
    at::Tensor behind = tail(counts);
    at::Tensor flat = part.view(-1);
    engine_.scatter(input_.narrow(0, 0, input_.numel() - behind.numel()), flat, counts, behind);
  }

 private:
  EngineCollectives engine_;
  at::Tensor input_;
  /// The latest gather's result.
  at::Tensor gathered_;
};

}  // namespace adjoin
