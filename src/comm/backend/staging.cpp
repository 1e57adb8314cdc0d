// SPDX-License-Identifier: BSD-3-Clause
// Copies to the host and back for tensors that an engine cannot read where they lie.
#include "comm/backend/staging.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace adjoin {

bool is_dense(const at::Tensor& tensor) { return tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg(); }

void synchronize_stream(at::Device device) {
  if (!device.is_cpu()) {
    c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
  }
}

at::Tensor host_like(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(tensor.is_cuda()));
}

at::Tensor stage(const at::Tensor& tensor, bool reachable, bool waits) {
  at::Tensor staged = tensor;
  if (!reachable || !is_dense(tensor)) {
    const c10::NoGradGuard no_grad;
    staged = reachable ? at::empty(tensor.sizes(), tensor.options()) : host_like(tensor);
    staged.copy_(tensor);
  }
  if (waits) {
    synchronize_stream(staged.device());
  }
  return staged;
}

void unstage(const at::Tensor& staged, at::Tensor& tensor) {
  if (!staged.is_same(tensor)) {
    const c10::NoGradGuard no_grad;
    tensor.copy_(staged);
  }
}

}  // namespace adjoin
