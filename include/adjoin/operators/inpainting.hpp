// SPDX-License-Identifier: BSD-3-Clause
// Images of which a mask takes pixels away.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>

#include "adjoin/operators/diagonal.hpp"

namespace adjoin {

/// y = m · x, entry by entry, with a mask m that is broadcast to the shape of x; usually of zeros and ones, but any
/// weights that Diagonal takes will do. Parameter "mask".
class Inpainting final : public Diagonal {
 public:
  explicit Inpainting(const at::Tensor& mask);
  /// A mask of `shape` = (C, H, W), or any other, whose pixels are kept with `probability` in [0, 1], drawn with `seed`
  /// on the CPU; the channels of a pixel are kept or lost together when `pixelwise`.
  Inpainting(at::IntArrayRef shape, double probability, std::uint64_t seed, bool pixelwise = true);

  const at::Tensor& mask() const { return weights(); }

 protected:
  /// Missing pixels stay free of noise.
  at::Tensor noise_impl(const at::Tensor& y, const Params& params) const override;
};

}  // namespace adjoin
