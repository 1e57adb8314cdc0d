// SPDX-License-Identifier: BSD-3-Clause
// Learned denoisers: functions of an image and a noise level.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <filesystem>
#include <functional>

namespace adjoin {

/// An estimate of the clean image, of x's shape, where x has white Gaussian noise of standard deviation `sigma`, in the
/// units of x. Images have values around [0, 1].
using Denoiser = std::function<at::Tensor(const at::Tensor& x, double sigma)>;

/// The denoiser in a .safetensors file, its weights on `device`: DnCNN, FFDNet or DRUNet, as its metadata's
/// `architecture` says. Throws InvalidArgument naming the file when it cannot be read, says another architecture, or
/// when a tensor is missing, superfluous or misshapen.
Denoiser load_denoiser(const std::filesystem::path& path, at::Device device = at::kCPU);

}  // namespace adjoin
