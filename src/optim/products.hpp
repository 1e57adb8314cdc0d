// SPDX-License-Identifier: BSD-3-Clause
// Inner products of images of which this rank has the whole or a slab.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/norms.hpp"
#include "adjoin/core/sharded_image.hpp"
#include "adjoin/core/vector_space.hpp"

namespace adjoin {

/// Those of whole images, or, in a space, those of the images whose slabs they are given: then each call is a small
/// sum over the ranks. Slabs of several items have them along dimension 0.
class Products {
 public:
  explicit Products(std::shared_ptr<const ImageSpace> space = nullptr) : space_(std::move(space)) {}

  const std::shared_ptr<const ImageSpace>& space() const { return space_; }

  double norm(const at::Tensor& x) const;
  Reals norms(const at::Tensor& x, std::int64_t items) const;
  std::vector<Scalars> dots(std::initializer_list<VectorPair<at::Tensor>> pairs, std::int64_t items) const;
  /// The peak signal-to-noise ratio in decibels.
  double psnr(const at::Tensor& x, const at::Tensor& truth, double peak) const;

 private:
  std::shared_ptr<const ImageSpace> space_;
};

}  // namespace adjoin
