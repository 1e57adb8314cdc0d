// SPDX-License-Identifier: BSD-3-Clause
// How an image is cut into tiles, and put together again.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace adjoin {

/// A way to cut images of one shape into patches that are processed by themselves. Derive from it for a way of your
/// own; the same patches must come out on every rank.
class DistributedSignalStrategy {
 public:
  /// `img_size`: the whole shape, as (B, C, H, W).
  explicit DistributedSignalStrategy(at::IntArrayRef img_size) : img_size_(img_size.vec()) {}
  virtual ~DistributedSignalStrategy() = default;
  DistributedSignalStrategy(const DistributedSignalStrategy&) = delete;
  DistributedSignalStrategy& operator=(const DistributedSignalStrategy&) = delete;

  const std::vector<std::int64_t>& img_size() const { return img_size_; }
  virtual std::int64_t get_num_patches() const = 0;
  /// The patches with these numbers of x, an image of shape img_size(). They may be views, and differ in shape; each
  /// keeps the batch dimension first.
  virtual std::vector<at::Tensor> get_local_patches(const at::Tensor& x,
                                                    const std::vector<std::int64_t>& indices) const = 0;
  /// Writes processed patches, of their old shapes, to their places in `out`, which is zero wherever none was written:
  /// the sum over all ranks is the processed image. So each pixel comes from one patch, or weights add up to one.
  virtual void reduce_patches(at::Tensor& out, const std::vector<std::int64_t>& indices,
                              const std::vector<at::Tensor>& patches) const = 0;

 private:
  std::vector<std::int64_t> img_size_;
};

using StrategyFactory = std::function<std::unique_ptr<DistributedSignalStrategy>(at::IntArrayRef img_size)>;

enum class Tiling : std::uint8_t {
  basic,          ///< non-overlapping blocks, as equal as can be: exact for what acts on each pixel by itself
  overlap_tiling  ///< equal tiles that overlap: exact for what reaches no further than the overlap
};

/// What a tile sees beyond the image's border.
enum class PadMode : std::uint8_t {
  reflect,    ///< the image mirrored, the border pixel once
  replicate,  ///< the border pixel
  circular,   ///< the image repeated
  constant,   ///< zeros
  none        ///< nothing: tiles at the border end there, so a network that pads by itself meets the true border
};

/// Throw InvalidArgument naming the choices.
Tiling tiling_from_string(std::string_view name);
PadMode pad_mode_from_string(std::string_view name);
std::string_view to_string(Tiling tiling);
std::string_view to_string(PadMode mode);

/// Lists hold one number for each tiled dimension, or one for them all. Sizes are in pixels.
struct TilingOptions {
  Tiling strategy = Tiling::overlap_tiling;
  /// The dimensions that are cut, counted from the front or, when negative, from the back. Empty: as many of the last
  /// dimensions as patch_size has numbers, or, when that has one, all but the first two.
  std::vector<std::int64_t> tiling_dims = {};
  /// What each tile contributes; it sees `overlap` more on every side. An image that is no longer than this along a
  /// dimension is not cut there, and gets no padding. For `basic`: the longest block.
  std::vector<std::int64_t> patch_size = {256};
  /// Less than patch_size. At least the radius of the processor's receptive field, for an exact result.
  std::vector<std::int64_t> overlap = {32};
  /// From one tile to the next: at most patch_size, which is the default.
  std::vector<std::int64_t> stride = {};
  PadMode pad_mode = PadMode::reflect;
  /// For `basic`: the number of blocks, in place of patch_size.
  std::vector<std::int64_t> num_splits = {};
  /// How many tiles the processor gets at once, joined along dimension 0. Default: one on the CPU, which is quickest
  /// there, and all of this rank's elsewhere.
  std::optional<std::int64_t> max_batch_size = {};
  /// A strategy of your own, in place of all the above but max_batch_size.
  StrategyFactory custom = {};
};

/// Throws InvalidArgument unless the options hold together, whatever the image.
void check_options(const TilingOptions& options);
/// All that must be equal on every rank, as text, by name and all together.
std::vector<std::pair<const char*, std::string>> named_options(const TilingOptions& options);
std::string describe(const TilingOptions& options);

/// The strategy that the options name, for images of one shape. Throws InvalidArgument when they do not suit it.
std::unique_ptr<DistributedSignalStrategy> create_strategy(at::IntArrayRef img_size, const TilingOptions& options);

/// A grid of tiles: the product of the cuts along each dimension. `basic` and `overlap_tiling` are such.
class GridStrategy : public DistributedSignalStrategy {
 public:
  /// One tile along one dimension: it sees [begin, begin + length), which may leave the image, and contributes
  /// [keep_begin, keep_end).
  struct Cut {
    std::int64_t begin;
    std::int64_t length;
    std::int64_t keep_begin;
    std::int64_t keep_end;
  };
  struct Axis {
    std::int64_t dim;
    std::vector<Cut> cuts;
  };
  GridStrategy(at::IntArrayRef img_size, std::vector<Axis> axes, PadMode pad_mode);

  std::int64_t get_num_patches() const override { return num_patches_; }
  std::vector<at::Tensor> get_local_patches(const at::Tensor& x,
                                            const std::vector<std::int64_t>& indices) const override;
  void reduce_patches(at::Tensor& out, const std::vector<std::int64_t>& indices,
                      const std::vector<at::Tensor>& patches) const override;

 private:
  /// The tile's cut along each axis; the last axis runs fastest.
  std::vector<Cut> cuts_of(std::int64_t index) const;

  std::vector<Axis> axes_;
  PadMode pad_mode_;
  std::int64_t num_patches_ = 1;
};

}  // namespace adjoin
