// SPDX-License-Identifier: BSD-3-Clause
// DnCNN: K. Zhang et al., Beyond a Gaussian denoiser, IEEE Trans. Image Process. 26, 2017.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

#include "adjoin/io/safetensors.hpp"

namespace adjoin {

/// x + net(x), where net is a chain of convolutions with ReLU between them, in two or three dimensions. Copies share
/// the weights.
///
/// Tensors: in_conv, conv_list.0, conv_list.1 …, out_conv, each with `.weight` and perhaps `.bias`: deepinv's names,
/// with any batch normalisation folded in. Metadata, all optional:
///   padding  zeros (the default) or circular
///   sigma    the noise level of the training; for another one the image is scaled to it and back
///   clamp    true: x is clamped to [0, 1] first
/// A network with one input channel more than outputs takes the noise level as that channel; one without, and without
/// `sigma`, ignores the noise level. A network for one channel takes images of any number, channel by channel.
class DnCNN {
 public:
  /// Throws InvalidArgument naming the file and the tensor when one is missing, superfluous or misshapen.
  explicit DnCNN(const Safetensors& weights, at::Device device = at::kCPU);

  /// The denoised image, of x's shape (B, C, …) and dtype, computed in the weights' precision. Differentiable. Throws
  /// InvalidArgument unless x fits the weights and sigma is positive.
  at::Tensor operator()(const at::Tensor& x, double sigma) const;
  /// The same with one noise level an item, of shape (B), or, where it is a channel, a map of shape (B, 1, …).
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& sigma) const;

  /// How far a pixel of the input reaches in the output, in pixels.
  std::int64_t radius() const;

  /// Tensors and metadata of which another like this one can be made; in the memory that this one computes with.
  const Safetensors& weights() const;

 private:
  struct Network;
  std::shared_ptr<const Network> network_;
};

}  // namespace adjoin
