// SPDX-License-Identifier: BSD-3-Clause
// Bringing tensors into a form that an engine can hand to the network, and back.
#pragma once

#include <ATen/core/Tensor.h>

namespace adjoin {

/// Whether the elements lie in memory as the tensor's shape says, with no conjugation or negation pending.
bool is_dense(const at::Tensor& tensor);

/// Waits for the work queued on the current stream of `device`, whose results the network is about to read.
void synchronize_stream(at::Device device);

/// Host memory of the shape and dtype of `tensor`, which its device copies to and from fastest.
at::Tensor host_like(const at::Tensor& tensor);

/// `tensor` itself where the engine can use it as it is, else a dense copy in memory that it reaches; `reachable` tells
/// whether that is so of the memory of the tensor's device. The content is there when this returns, or unless `waits`
/// when the current stream has done what is queued on it.
at::Tensor stage(const at::Tensor& tensor, bool reachable, bool waits);

/// Copies `staged` back to `tensor`, unless they are one.
void unstage(const at::Tensor& staged, at::Tensor& tensor);

}  // namespace adjoin
