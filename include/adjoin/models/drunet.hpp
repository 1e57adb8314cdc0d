// SPDX-License-Identifier: BSD-3-Clause
// DRUNet: K. Zhang et al., Plug-and-play image restoration with deep denoiser prior, IEEE Trans. PAMI 44, 2022.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

#include "adjoin/io/safetensors.hpp"

namespace adjoin {

/// A U-Net of residual blocks at four scales, without biases, that takes the noise level as one more channel. Copies
/// share the weights.
///
/// Tensors, as in the authors' and deepinv's files, each with `.weight`: m_head, m_tail; m_downS.B.res.0 and .res.2,
/// the residual blocks of scale S = 1, 2, 3, and after them m_downS.N, of stride 2; m_body.B.res.0 and .res.2; m_upS.0,
/// transposed, and after it the blocks m_upS.B.res.0 and .res.2. The numbers of blocks and of channels are those of the
/// file.
class DRUNet {
 public:
  /// Throws InvalidArgument naming the file and the tensor when one is missing, superfluous or misshapen.
  explicit DRUNet(const Safetensors& weights, at::Device device = at::kCPU);

  /// The denoised image, of x's shape (B, C, …) and dtype, computed in the weights' precision. Images whose spatial
  /// sizes are not multiples of 8 are padded by repeating their last row, column …. Differentiable. Throws
  /// InvalidArgument unless x has the weights' number of channels and sigma is not negative.
  at::Tensor operator()(const at::Tensor& x, double sigma) const;
  /// The same with one noise level an item, of shape (B), or a map of shape (B, 1, …).
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& sigma) const;

  std::int64_t channels() const;

  /// Tensors and metadata of which another like this one can be made; in the memory that this one computes with.
  const Safetensors& weights() const;

 private:
  struct Network;
  std::shared_ptr<const Network> network_;
};

}  // namespace adjoin
