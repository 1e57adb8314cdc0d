// SPDX-License-Identifier: BSD-3-Clause
// FFDNet: K. Zhang, W. Zuo, L. Zhang, FFDNet, IEEE Trans. Image Process. 27, 2018.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

#include "adjoin/io/safetensors.hpp"

namespace adjoin {

/// A chain of convolutions, zero-padded, with ReLU between them, on the four half-resolution images of the pixels with
/// even and odd coordinates, beside a map of the noise level. Copies share the weights.
///
/// Tensors: model.0, model.2, model.4 …, each with `.weight` and `.bias`, as in the authors' files.
class FFDNet {
 public:
  /// Throws InvalidArgument naming the file and the tensor when one is missing, superfluous or misshapen.
  explicit FFDNet(const Safetensors& weights, at::Device device = at::kCPU);

  /// The denoised image, of x's shape (B, C, H, W) and dtype, computed in the weights' precision. Odd images are padded
  /// by repeating their last row and column. Differentiable. Throws InvalidArgument unless x has the weights' number of
  /// channels and sigma is not negative.
  at::Tensor operator()(const at::Tensor& x, double sigma) const;
  /// The same with one noise level an item, of shape (B).
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& sigma) const;

  std::int64_t channels() const;
  /// How far a pixel of the input reaches in the output, in pixels, for tiles that begin at even pixels.
  std::int64_t radius() const;

  /// Tensors and metadata of which another like this one can be made; in the memory that this one computes with.
  const Safetensors& weights() const;

 private:
  struct Network;
  std::shared_ptr<const Network> network_;
};

}  // namespace adjoin
