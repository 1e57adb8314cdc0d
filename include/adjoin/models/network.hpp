// SPDX-License-Identifier: BSD-3-Clause
// Any network that was saved from Python.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/util/ArrayRef.h>

#include <filesystem>
#include <functional>

namespace adjoin {

/// A network's first output. Throws c10::Error when the inputs do not fit it.
using Network = std::function<at::Tensor(at::ArrayRef<at::Tensor> inputs)>;

/// The network in a TorchScript file (.pt), moved to `device` and in evaluation mode, or in an AOTInductor package
/// (.pt2), which was compiled for a device and a range of input shapes. Only the former is differentiable. Throws
/// InvalidArgument naming the file when it is missing, has another extension, or cannot be loaded. Both formats hold
/// code: load files that you trust.
Network load_network(const std::filesystem::path& path, at::Device device = at::kCPU);

}  // namespace adjoin
