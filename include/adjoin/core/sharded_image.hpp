// SPDX-License-Identifier: BSD-3-Clause
// Images of which each rank holds a share, the slab.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/core/norms.hpp"
#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/core/vector_space.hpp"

namespace adjoin {

/// How a call keeps its images: whole on every rank, in slabs, or in whichever of the two ways is likely to be quicker.
enum class ImageLayout : std::uint8_t { replicated, sharded, automatic };
/// Throws InvalidArgument naming the choices.
ImageLayout image_layout_from_string(std::string_view name);
std::string_view to_string(ImageLayout layout);

/// The space of the images of one shape that are cut in one way into slabs, one a rank: consecutive elements of the
/// image in row-major order, or consecutive indices along an axis. Its inner product is that of the whole images.
struct ImageSpace {
  /// Of the whole image.
  std::vector<std::int64_t> sizes;
  /// The axis that is cut; none: the flat image is.
  std::optional<std::int64_t> axis;
  /// Where the slab of each rank begins, and where that of the last rank ends: ranks + 1 elements of the flat image, or
  /// indices of the axis. Slabs may be empty.
  std::vector<std::int64_t> begins;
  /// Whose slab is here.
  int rank = 0;
  /// Sums over the ranks; null when one rank has everything.
  std::shared_ptr<ScalarSum> reducer;

  int ranks() const { return static_cast<int>(begins.size()) - 1; }
  /// Elements of the whole image, and of the slab of each rank.
  std::int64_t numel() const;
  std::vector<std::int64_t> counts() const;
  /// The shape of this rank's slab: one-dimensional where the flat image is cut.
  std::vector<std::int64_t> local_sizes() const;
  /// Whether the slabs follow one another in the flat image.
  bool is_flat() const;
  /// Where item `item` of `items` is in this rank's slab: elements [begin, end) of the flat slab.
  struct Range {
    std::int64_t begin;
    std::int64_t end;
  };
  Range item(std::int64_t item, std::int64_t items) const;
  /// "[1, 1, 64, 64] cut along axis 2 at [0, 32, 64]".
  std::string text() const;
};

/// Images of these sizes cut evenly: along `axis`, which counts from the end when it is negative, or the flat image, in
/// multiples of 16 elements. Throws InvalidArgument where there is no such axis.
ImageSpace evenly_cut(at::IntArrayRef sizes, std::optional<std::int64_t> axis, int rank, int ranks);

/// Whether vectors of the two spaces may be combined: images of one shape, cut alike, of the same rank.
bool same_space(const ImageSpace& a, const ImageSpace& b);

/// An image of which this rank holds a slab. Its inner product is global, so solvers need not know that it is shared
/// out. Copies share the tensor.
struct ShardedImage {
  /// This rank's slab, contiguous, of the shape space->local_sizes().
  at::Tensor local;
  std::shared_ptr<const ImageSpace> space;

  bool defined() const { return local.defined(); }
  at::ScalarType scalar_type() const { return local.scalar_type(); }
  bool is_complex() const { return local.is_complex(); }
  /// Of the whole image.
  at::IntArrayRef sizes() const { return space->sizes; }
  std::int64_t numel() const { return space->numel(); }
  ShardedImage to(at::ScalarType dtype) const { return {local.to(dtype), space}; }
};

/// This rank's slab of a whole image, in memory of its own. No message.
ShardedImage slab_of(const at::Tensor& image, std::shared_ptr<const ImageSpace> space);
/// The elements of an image in the order of the slabs of all ranks, as a view of it: the axis that is cut comes first.
/// `in_image_order` turns such a view back.
at::Tensor in_slab_order(const at::Tensor& image, const ImageSpace& space);
at::Tensor in_image_order(const at::Tensor& ordered, const ImageSpace& space);

// ---- The vector space: see vector_space.hpp ----
// Every inner product is one small reduction, however many there are in one call of dots, which reads each vector once.

Scalars dot(const ShardedImage& a, const ShardedImage& b, std::int64_t items = 1);
Scalars squared_norm(const ShardedImage& a, std::int64_t items = 1);
double norm(const ShardedImage& a);
Reals norms(const ShardedImage& a, std::int64_t items = 1);
std::vector<Scalars> dots(std::initializer_list<VectorPair<ShardedImage>> pairs, std::int64_t items = 1);
void axpby(const Scalars& alpha, const ShardedImage& x, const Scalars& beta, ShardedImage& y);
void axpy(const Scalars& alpha, const ShardedImage& x, ShardedImage& y);
void xpby(const ShardedImage& x, const Scalars& beta, ShardedImage& y);
void scale(const Scalars& alpha, ShardedImage& y);
ShardedImage zeros_like(const ShardedImage& a);
ShardedImage clone(const ShardedImage& a);
/// This rank's slab of the whole image that randn_like draws with this seed, whatever the number of ranks.
ShardedImage randn_like(const ShardedImage& a, std::uint64_t seed);
std::int64_t common_items(const ShardedImage& x, const TensorList& y);

/// Whether an inner product of vectors of this type costs a message: then it pays to merge several.
template <class V>
constexpr bool inner_products_are_messages = false;
template <>
inline constexpr bool inner_products_are_messages<ShardedImage> = true;

}  // namespace adjoin
