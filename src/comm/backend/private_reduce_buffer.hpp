// SPDX-License-Identifier: BSD-3-Clause
// The reduce buffer of a communicator of one rank.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdint>

#include "adjoin/comm/communicator.hpp"

namespace adjoin {

/// Ordinary memory; the reduction over one rank is a copy.
class PrivateReduceBuffer : public ReduceBuffer {
 public:
  PrivateReduceBuffer(Communicator& communicator, std::int64_t numel, at::ScalarType dtype, at::Device device)
      : ReduceBuffer(communicator), input_(at::empty({numel}, at::TensorOptions(dtype).device(device))) {}

  const at::Tensor& input() const override { return input_; }

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp) override {
    const c10::NoGradGuard no_grad;
    output.copy_(input_.view(output.sizes()));
  }

 private:
  at::Tensor input_;
};

}  // namespace adjoin
