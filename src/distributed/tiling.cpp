// SPDX-License-Identifier: BSD-3-Clause
// The cuts of each strategy: how much of the image a tile sees, and which part of that it contributes.
#include "adjoin/distributed/tiling.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <utility>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

constexpr std::array tilings = {Tiling::basic, Tiling::overlap_tiling};
constexpr std::array pad_modes = {PadMode::reflect, PadMode::replicate, PadMode::circular, PadMode::constant,
                                  PadMode::none};

template <class Choices>
auto choice_from_string(const char* option, std::string_view name, const Choices& choices) {
  std::string known;
  for (const auto choice : choices) {
    if (name == to_string(choice)) {
      return choice;
    }
    known += c10::str(known.empty() ? "'" : ", '", to_string(choice), "'");
  }
  throw InvalidArgument(c10::str(option, ": must be one of ", known, ", got '", std::string(name), "'"));
}

// The number for tiled dimension k of `count`.
std::int64_t entry(const char* option, const std::vector<std::int64_t>& list, std::size_t k, std::size_t count) {
  check(list.size() == 1 || list.size() == count, option, ": must hold one number, or one for each of ", count,
        " tiled dimensions, got ", at::IntArrayRef(list));
  return list[list.size() == 1 ? 0 : k];
}

// The tiled dimensions, counted from the front.
std::vector<std::int64_t> tiled_dims(at::IntArrayRef img_size, const TilingOptions& options) {
  const auto dim = static_cast<std::int64_t>(img_size.size());
  std::vector<std::int64_t> dims = options.tiling_dims;
  if (dims.empty()) {
    const auto given = static_cast<std::int64_t>(options.patch_size.size());
    const std::int64_t count = given > 1 ? given : dim - 2;
    check(count >= 1 && count < dim, "tiling_dims: must be given for images of shape ", img_size);
    for (std::int64_t d = dim - count; d < dim; ++d) {
      dims.push_back(d);
    }
    return dims;
  }
  for (std::int64_t& d : dims) {
    check(d >= -dim && d < dim, "tiling_dims: must be from ", -dim, " to ", dim - 1, " for images of shape ", img_size,
          ", got ", d);
    d += d < 0 ? dim : 0;
    check(d != 0, "tiling_dims: must not hold the batch dimension, along which tiles are joined");
  }
  std::vector<std::int64_t> sorted = dims;
  std::ranges::sort(sorted);
  check(std::ranges::adjacent_find(sorted) == sorted.end(), "tiling_dims: must differ, got ",
        at::IntArrayRef(options.tiling_dims));
  return dims;
}

// `count` blocks of `size` pixels; the first ones are a pixel longer where it does not divide.
std::vector<GridStrategy::Cut> blocks(std::int64_t size, std::int64_t count) {
  std::vector<GridStrategy::Cut> cuts;
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t length = size / count + (i < size % count ? 1 : 0);
    cuts.push_back({begin, length, begin, begin + length});
    begin += length;
  }
  return cuts;
}

// Patches every `stride` pixels, the last one moved back to end with the image; each contributes what the one before
// it does not.
std::vector<GridStrategy::Cut> overlapping_tiles(std::int64_t size, std::int64_t patch, std::int64_t overlap,
                                                 std::int64_t stride, PadMode mode) {
  const std::int64_t length = patch + 2 * overlap;
  if (size <= (mode == PadMode::none ? length : patch)) {
    return {{0, size, 0, size}};
  }
  std::vector<GridStrategy::Cut> cuts;
  std::int64_t covered = 0;
  for (std::int64_t start = 0; covered < size; start += stride) {
    const std::int64_t end = std::min(start + patch, size);
    std::int64_t begin = end - patch - overlap;
    if (mode == PadMode::none) {
      begin = std::clamp(begin, std::int64_t{0}, size - length);
    }
    cuts.push_back({begin, length, covered, end});
    covered = end;
  }
  return cuts;
}

// Where pixel i of the padded dimension is in the image.
std::int64_t source_pixel(std::int64_t i, std::int64_t size, PadMode mode) {
  switch (mode) {
    case PadMode::circular:
      return (i % size + size) % size;
    case PadMode::reflect: {
      const std::int64_t period = std::max<std::int64_t>(2 * (size - 1), 1);
      const std::int64_t folded = (i % period + period) % period;
      return std::min(folded, period - folded);
    }
    default:
      return std::clamp<std::int64_t>(i, 0, size - 1);
  }
}

at::Tensor padded_range(const at::Tensor& x, std::int64_t dim, const GridStrategy::Cut& cut, PadMode mode) {
  const std::int64_t size = x.size(dim);
  if (mode == PadMode::constant) {
    const std::int64_t from = std::max<std::int64_t>(cut.begin, 0);
    const std::int64_t to = std::min(cut.begin + cut.length, size);
    std::vector<std::int64_t> pads(2 * static_cast<std::size_t>(x.dim() - dim), 0);
    pads[pads.size() - 2] = from - cut.begin;
    pads[pads.size() - 1] = cut.begin + cut.length - to;
    return at::constant_pad_nd(x.narrow(dim, from, to - from), pads);
  }
  std::vector<std::int64_t> pixels(static_cast<std::size_t>(cut.length));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = source_pixel(cut.begin + static_cast<std::int64_t>(i), size, mode);
  }
  return x.index_select(dim, at::tensor(pixels, at::kLong).to(x.device()));
}

}  // namespace

Tiling tiling_from_string(std::string_view name) { return choice_from_string("strategy", name, tilings); }

PadMode pad_mode_from_string(std::string_view name) { return choice_from_string("pad_mode", name, pad_modes); }

std::string_view to_string(Tiling tiling) { return tiling == Tiling::basic ? "basic" : "overlap_tiling"; }

std::string_view to_string(PadMode mode) {
  switch (mode) {
    case PadMode::reflect:
      return "reflect";
    case PadMode::replicate:
      return "replicate";
    case PadMode::circular:
      return "circular";
    case PadMode::constant:
      return "constant";
    case PadMode::none:
      return "none";
  }
  return "unknown";
}

void check_options(const TilingOptions& options) {
  const auto check_least = [](const char* option, const std::vector<std::int64_t>& list, std::int64_t least) {
    check(std::ranges::all_of(list, [&](std::int64_t value) { return value >= least; }), option, ": must be at least ",
          least, ", got ", at::IntArrayRef(list));
  };
  check_least("patch_size", options.patch_size, 1);
  check_least("overlap", options.overlap, 0);
  check_least("stride", options.stride, 1);
  check_least("num_splits", options.num_splits, 1);
  check(options.max_batch_size.value_or(1) >= 1, "max_batch_size: must be at least 1, got ",
        options.max_batch_size.value_or(1));
  check(!options.patch_size.empty() && !options.overlap.empty(), "patch_size, overlap: must not be empty");
  if (options.strategy == Tiling::basic || options.custom) {
    return;
  }
  const std::size_t count = std::max({options.patch_size.size(), options.overlap.size(), options.stride.size()});
  for (std::size_t k = 0; k < count; ++k) {
    const std::int64_t patch = entry("patch_size", options.patch_size, k, count);
    const std::int64_t overlap = entry("overlap", options.overlap, k, count);
    check(overlap < patch, "overlap: must be less than patch_size, ", patch, ", got ", overlap);
    if (!options.stride.empty()) {
      const std::int64_t stride = entry("stride", options.stride, k, count);
      check(stride <= patch, "stride: must be at most patch_size, ", patch, ", got ", stride);
    }
  }
}

std::vector<std::pair<const char*, std::string>> named_options(const TilingOptions& options) {
  if (options.custom) {
    return {{"strategy", "a strategy of the user's"}};
  }
  const auto text = [](const std::vector<std::int64_t>& list) { return c10::str(at::IntArrayRef(list)); };
  return {{"strategy", std::string(to_string(options.strategy))},
          {"tiling_dims", text(options.tiling_dims)},
          {"patch_size", text(options.patch_size)},
          {"overlap", text(options.overlap)},
          {"stride", text(options.stride)},
          {"pad_mode", std::string(to_string(options.pad_mode))},
          {"num_splits", text(options.num_splits)}};
}

std::string describe(const TilingOptions& options) {
  std::string all;
  for (const auto& [name, text] : named_options(options)) {
    all += c10::str(all.empty() ? "" : ", ", name, ' ', text);
  }
  return all;
}

std::unique_ptr<DistributedSignalStrategy> create_strategy(at::IntArrayRef img_size, const TilingOptions& options) {
  if (options.custom) {
    return options.custom(img_size);
  }
  check_options(options);
  const std::vector<std::int64_t> dims = tiled_dims(img_size, options);
  std::vector<GridStrategy::Axis> axes;
  for (std::size_t k = 0; k < dims.size(); ++k) {
    const std::int64_t size = img_size[static_cast<std::size_t>(dims[k])];
    const std::int64_t patch = entry("patch_size", options.patch_size, k, dims.size());
    if (options.strategy == Tiling::basic) {
      const bool given = !options.num_splits.empty();
      const std::int64_t count =
          given ? entry("num_splits", options.num_splits, k, dims.size()) : (size + patch - 1) / patch;
      check(count <= size, "num_splits: must be at most the image's size, ", size, ", along dimension ", dims[k],
            ", got ", count);
      axes.push_back({dims[k], blocks(size, count)});
    } else {
      const std::int64_t overlap = entry("overlap", options.overlap, k, dims.size());
      const std::int64_t stride = options.stride.empty() ? patch : entry("stride", options.stride, k, dims.size());
      axes.push_back({dims[k], overlapping_tiles(size, patch, overlap, stride, options.pad_mode)});
    }
  }
  return std::make_unique<GridStrategy>(img_size, std::move(axes), options.pad_mode);
}

GridStrategy::GridStrategy(at::IntArrayRef img_size, std::vector<Axis> axes, PadMode pad_mode)
    : DistributedSignalStrategy(img_size), axes_(std::move(axes)), pad_mode_(pad_mode) {
  for (const Axis& axis : axes_) {
    num_patches_ *= static_cast<std::int64_t>(axis.cuts.size());
  }
}

std::vector<GridStrategy::Cut> GridStrategy::cuts_of(std::int64_t index) const {
  std::vector<Cut> cuts(axes_.size());
  for (std::size_t k = axes_.size(); k-- > 0;) {
    const auto count = static_cast<std::int64_t>(axes_[k].cuts.size());
    cuts[k] = axes_[k].cuts[static_cast<std::size_t>(index % count)];
    index /= count;
  }
  return cuts;
}

std::vector<at::Tensor> GridStrategy::get_local_patches(const at::Tensor& x,
                                                        const std::vector<std::int64_t>& indices) const {
  std::vector<at::Tensor> patches;
  patches.reserve(indices.size());
  for (const std::int64_t index : indices) {
    const std::vector<Cut> cuts = cuts_of(index);
    const auto inside = [&](std::size_t k) {
      return cuts[k].begin >= 0 && cuts[k].begin + cuts[k].length <= x.size(axes_[k].dim);
    };
    at::Tensor patch = x;  // views first, so that what must be copied is small
    for (std::size_t k = 0; k < axes_.size(); ++k) {
      patch = inside(k) ? patch.narrow(axes_[k].dim, cuts[k].begin, cuts[k].length) : patch;
    }
    for (std::size_t k = 0; k < axes_.size(); ++k) {
      patch = inside(k) ? patch : padded_range(patch, axes_[k].dim, cuts[k], pad_mode_);
    }
    patches.push_back(std::move(patch));
  }
  return patches;
}

void GridStrategy::reduce_patches(at::Tensor& out, const std::vector<std::int64_t>& indices,
                                  const std::vector<at::Tensor>& patches) const {
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::vector<Cut> cuts = cuts_of(indices[i]);
    at::Tensor target = out;
    at::Tensor kept = patches[i];
    for (std::size_t k = 0; k < axes_.size(); ++k) {
      const std::int64_t length = cuts[k].keep_end - cuts[k].keep_begin;
      target = target.narrow(axes_[k].dim, cuts[k].keep_begin, length);
      kept = kept.narrow(axes_[k].dim, cuts[k].keep_begin - cuts[k].begin, length);
    }
    target.copy_(kept);
  }
}

}  // namespace adjoin
