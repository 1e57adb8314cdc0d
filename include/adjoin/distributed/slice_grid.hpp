// SPDX-License-Identifier: BSD-3-Clause
// Ranks in a grid: groups along the slices of images, in each of which the operators are shared out.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/distributed/sharding.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// How the ranks of a stack of slice-local operators work together: rank s · operators + o has the slices of part s of
/// the image, and the operators of share o.
struct SliceGrid {
  /// The sizes of the whole images, which are the same for all calls.
  std::vector<std::int64_t> image = {};
  /// The axis along which every operator acts slice by slice (LinearPhysics::on_slices), and images are cut evenly;
  /// from the last one where negative.
  std::int64_t axis = 0;
  /// Parts of the image, and ranks that share out the operators for each of them. Their product is the number of ranks.
  int slices = 1;
  int operators = 1;

  /// "slices 2, operators 2, images [16, 1, 64, 64] along axis 0".
  std::string text() const;
  /// Throws InvalidArgument where this is no grid of so many ranks.
  void check_for(int ranks) const;
};

/// A rank's place in a grid: which slices it has, of images and of measurements. It sends nothing.
class SliceShare {
 public:
  /// Sums of slabs are those of `everyone`, all ranks of the grid. Throws InvalidArgument as SliceGrid::check_for.
  SliceShare(const SliceGrid& grid, int rank, const std::shared_ptr<Exchange>& everyone);

  const SliceGrid& grid() const { return grid_; }
  /// The space of all images of the stack. Its slabs are one a group, of which every rank of the group has its own
  /// copy.
  const std::shared_ptr<const ImageSpace>& space() const { return space_; }
  /// Whether images of this space may be combined with those of the stack.
  bool has_images_of(const ImageSpace& space) const;
  /// The items that this rank's measurements hold; none where it is not the batch that is cut.
  std::optional<ItemShare> items() const;

  /// What acts on this rank's slices in place of an operator, and by which axis its measurements hold them. Throws
  /// InvalidArgument where it is not slice-local.
  SliceWise restricted(const PhysicsPtr& physics) const;
  /// Says along which axis the measurements of each operator, of this rank or not, hold the slices.
  void set_axes(std::vector<std::int64_t> axes, const Sharding& operators);

  /// This rank's slices of the measurements of an operator: `y` itself, or a part of it where it has all slices. Throws
  /// InvalidArgument, in which `argument` names y, where it has neither.
  at::Tensor own(const char* argument, const at::Tensor& y, std::int64_t index) const;
  /// Whether a list of the measurements of all operators has all slices.
  bool has_all_slices(const TensorList& y) const;
  /// Which rank has which piece, operator by operator and part by part; the measurements that such pieces make up.
  const Sharding& pieces() const { return *pieces_; }
  TensorList joined(const TensorList& pieces) const;

  /// The image as shared out over all ranks, each slab on one of them alone.
  ShardedImage once(const ShardedImage& x) const;
  /// Independent problems of images and of measurements `y` of this rank's operators (common_items).
  std::int64_t items_of(const TensorList& y) const;

 private:
  std::int64_t begin() const { return space_->begins[static_cast<std::size_t>(space_->rank)]; }
  std::int64_t end() const { return space_->begins[static_cast<std::size_t>(space_->rank) + 1]; }
  std::int64_t slices() const { return space_->begins.back(); }

  SliceGrid grid_;
  std::shared_ptr<const ImageSpace> space_;
  /// Of all ranks, in which the first one of a group has its slab.
  std::shared_ptr<const ImageSpace> once_;
  std::vector<std::int64_t> axes_;
  std::optional<Sharding> pieces_;
};

}  // namespace adjoin
