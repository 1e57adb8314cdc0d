// SPDX-License-Identifier: BSD-3-Clause
// What total variation on a slab needs of the slabs around it: a plane of each, and sums.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "adjoin/core/norms.hpp"
#include "adjoin/core/sharded_image.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"
#include "optim/tv_kernels.hpp"

namespace adjoin::tv {

/// Those of a whole image: nobody. Images and dual variables are as in tv_kernels.hpp.
class Neighbours {
 public:
  Neighbours() = default;
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;
  virtual ~Neighbours() = default;

  /// The planes that are no copies of others'.
  virtual Planes own() const { return {}; }
  /// Of the whole image, whose part `x` is.
  virtual std::int64_t numel(const at::Tensor& x) const { return x.numel(); }
  /// Copies the planes of a dual variable that are others'.
  virtual void fill(at::Tensor& /*dual*/) const {}
  /// Replaces values by their sums over the ranks.
  virtual void sum(Reals& /*values*/) const {}
  /// ‖x‖ of each of `items` along dimension 1 of images {parts, items, …} of the whole.
  virtual Reals norms(const at::Tensor& x, std::int64_t items) const;
};

/// Those of a slab that is cut along the first spatial dimension, or where that is not cut, along one before it but the
/// first. In a call of `exchange`.
class SlabNeighbours final : public Neighbours {
 public:
  SlabNeighbours(Exchange& exchange, const ImageSpace& space, std::int64_t dims);

  /// The slab with a plane of room ahead of its own, where one lies there, and a copy of the plane behind.
  at::Tensor extended(const at::Tensor& slab) const;
  /// The planes of the slab alone.
  at::Tensor reduced(const at::Tensor& image) const;

  Planes own() const override { return {before_ ? 1 : 0, (before_ ? 1 : 0) + length_}; }
  std::int64_t numel(const at::Tensor& x) const override;
  void fill(at::Tensor& dual) const override;
  void sum(Reals& values) const override;
  Reals norms(const at::Tensor& x, std::int64_t items) const override;

 private:
  /// The planes that each rank shows, `elements` of it that has any.
  std::vector<at::Tensor> shown(const at::Tensor& mine, std::int64_t elements) const;

  Exchange& exchange_;
  const ImageSpace& space_;
  std::int64_t dims_;
  bool cuts_planes_;
  /// This rank's own planes.
  std::int64_t length_;
  /// The ranks whose slabs are there.
  std::optional<int> before_;
  std::optional<int> behind_;
};

}  // namespace adjoin::tv
