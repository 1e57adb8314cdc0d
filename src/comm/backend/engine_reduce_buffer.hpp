// Reduce buffers that an engine's own reduction serves.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "adjoin/comm/communicator.hpp"

namespace adjoin {

/// Ordinary memory that the engine reaches, reduced by it out of place.
class EngineReduceBuffer : public ReduceBuffer {
 public:
  /// `output` ← reduction over the ranks of `input`, which has as many elements.
  using Reduce = std::function<void(const at::Tensor& input, at::Tensor& output, ReduceOp op)>;

  EngineReduceBuffer(Communicator& communicator, Reduce reduce, std::int64_t numel, at::ScalarType dtype,
                     at::Device device)
      : ReduceBuffer(communicator),
        reduce_(std::move(reduce)),
        input_(at::empty({numel}, at::TensorOptions(dtype).device(device))) {}

  const at::Tensor& input() const override { return input_; }

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp op) override {
    const c10::NoGradGuard no_grad;
    reduce_(input_, output, op);
  }

 private:
  Reduce reduce_;
  at::Tensor input_;
};

}  // namespace adjoin
