// SPDX-License-Identifier: BSD-3-Clause
// Cuts of an image into slabs, and vector operations on slabs whose inner products are global.
#include "adjoin/core/sharded_image.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "core/fused_dots.hpp"
#include "core/shape_of_image.hpp"

namespace adjoin {

ImageLayout image_layout_from_string(std::string_view name) {
  for (const ImageLayout layout : {ImageLayout::replicated, ImageLayout::sharded, ImageLayout::automatic}) {
    if (name == to_string(layout)) {
      return layout;
    }
  }
  throw InvalidArgument(
      c10::str("layout: must be 'replicated', 'sharded' or 'automatic', got '", std::string(name), "'"));
}

std::string_view to_string(ImageLayout layout) {
  switch (layout) {
    case ImageLayout::replicated:
      return "replicated";
    case ImageLayout::sharded:
      return "sharded";
    case ImageLayout::automatic:
      return "automatic";
  }
  return "unknown";
}

// ---- Spaces ------------------------------------------------------------------------------------------------------

namespace {

// Elements of the flat image in an index of the axis that is cut, times what lies before that axis.
std::int64_t numel_of_index(const ImageSpace& space) {
  std::int64_t product = 1;
  for (std::size_t d = 0; d < space.sizes.size(); ++d) {
    product *= space.axis && static_cast<std::int64_t>(d) == *space.axis ? 1 : space.sizes[d];
  }
  return space.axis ? product : 1;
}

}  // namespace

std::int64_t ImageSpace::numel() const { return c10::multiply_integers(sizes); }

std::vector<std::int64_t> ImageSpace::counts() const {
  const std::int64_t width = numel_of_index(*this);
  std::vector<std::int64_t> result;
  for (std::size_t r = 0; r + 1 < begins.size(); ++r) {
    result.push_back((begins[r + 1] - begins[r]) * width);
  }
  return result;
}

std::vector<std::int64_t> ImageSpace::local_sizes() const {
  const auto own = static_cast<std::size_t>(rank);
  const std::int64_t length = begins[own + 1] - begins[own];
  if (!axis) {
    return {length};
  }
  std::vector<std::int64_t> result = sizes;
  result[static_cast<std::size_t>(*axis)] = length;
  return result;
}

bool ImageSpace::is_flat() const {
  return !axis || std::all_of(sizes.begin(), sizes.begin() + *axis, [](std::int64_t size) { return size == 1; });
}

ImageSpace::Range ImageSpace::item(std::int64_t item, std::int64_t items) const {
  const auto own = static_cast<std::size_t>(rank);
  const std::int64_t width = numel_of_index(*this);
  const std::int64_t count = (begins[own + 1] - begins[own]) * width;
  if (items == 1) {
    return {0, count};
  }
  if (!is_flat()) {  // every item is cut
    return {item * (count / items), (item + 1) * (count / items)};
  }
  const std::int64_t first = begins[own] * width;
  const std::int64_t length = numel() / items;
  const std::int64_t begin = std::clamp<std::int64_t>(item * length - first, 0, count);
  return {begin, std::clamp<std::int64_t>((item + 1) * length - first, begin, count)};
}

std::string ImageSpace::text() const {
  return c10::str(at::IntArrayRef(sizes), axis ? c10::str(" cut along axis ", *axis) : std::string(" cut flat"), " at ",
                  at::IntArrayRef(begins));
}

ImageSpace evenly_cut(at::IntArrayRef sizes, std::optional<std::int64_t> axis, int rank, int ranks) {
  constexpr std::int64_t unit = 16;
  const auto dims = static_cast<std::int64_t>(sizes.size());
  ImageSpace space{.sizes = sizes.vec(), .axis = axis, .begins = {}, .rank = rank, .reducer = nullptr};
  if (axis) {
    check(*axis >= -dims && *axis < dims, "axis: must be one of the image's ", dims, " axes, got ", *axis);
    space.axis = *axis < 0 ? *axis + dims : *axis;
  }
  const std::int64_t length = axis ? sizes[static_cast<std::size_t>(*space.axis)] : c10::multiply_integers(sizes);
  const std::int64_t units = axis ? length : (length + unit - 1) / unit;
  for (int r = 0; r <= ranks; ++r) {
    space.begins.push_back(std::min(length, units * r / ranks * (axis ? 1 : unit)));
  }
  return space;
}

bool same_space(const ImageSpace& a, const ImageSpace& b) {
  return &a == &b || (a.sizes == b.sizes && a.axis == b.axis && a.begins == b.begins && a.rank == b.rank &&
                      (a.reducer == nullptr) == (b.reducer == nullptr));
}

// ---- Slabs -------------------------------------------------------------------------------------------------------

at::Tensor in_slab_order(const at::Tensor& image, const ImageSpace& space) {
  return space.is_flat() ? image : image.movedim(*space.axis, 0);
}

at::Tensor in_image_order(const at::Tensor& ordered, const ImageSpace& space) {
  return space.is_flat() ? ordered : ordered.movedim(0, *space.axis);
}

ShardedImage slab_of(const at::Tensor& image, std::shared_ptr<const ImageSpace> space) {
  check(image.sizes() == space->sizes, "slab_of: the image must have the sizes ", at::IntArrayRef(space->sizes),
        ", got ", image.sizes());
  const auto own = static_cast<std::size_t>(space->rank);
  const std::int64_t begin = space->begins[own];
  const at::Tensor part = space->axis ? image.narrow(*space->axis, begin, space->begins[own + 1] - begin)
                                      : image.reshape({-1}).narrow(0, begin, space->begins[own + 1] - begin);
  return {part.clone(at::MemoryFormat::Contiguous), std::move(space)};
}

// ---- The vector space --------------------------------------------------------------------------------------------

namespace {

const ImageSpace& common_space(const char* operation, const ShardedImage& a, const ShardedImage& b) {
  check(a.space != nullptr && b.space != nullptr, operation, ": sharded images must be those that a stack has made");
  if (!same_space(*a.space, *b.space)) [[unlikely]] {
    check(false, operation, ": images must be cut alike, got ", a.space->text(), " and ", b.space->text());
  }
  return *a.space;
}

void check_items(const ImageSpace& space, std::int64_t items) {
  check(items >= 1, "items: must be at least 1, got ", items);
  check(items == 1 || (!space.sizes.empty() && space.sizes[0] == items),
        "vector: dimension 0 must have one entry for each of ", items, " items, got an image of shape ",
        at::IntArrayRef(space.sizes));
}

// Calls f(k, tensors…) for item k of the slabs, as views where there are several items.
template <class F, class... Tensors>
void for_items(const ImageSpace& space, std::int64_t items, const F& f, const Tensors&... slabs) {
  if (items == 1) {
    f(std::size_t{0}, slabs...);
    return;
  }
  check_items(space, items);
  for (std::int64_t i = 0; i < items; ++i) {
    const ImageSpace::Range range = space.item(i, items);
    if (range.end > range.begin) {
      f(static_cast<std::size_t>(i), slabs.reshape({-1}).slice(0, range.begin, range.end)...);
    }
  }
}

}  // namespace

Scalars dot(const ShardedImage& a, const ShardedImage& b, std::int64_t items) {
  return dots({{&a, &b}}, items).front();
}

Scalars squared_norm(const ShardedImage& a, std::int64_t items) { return adjoin::dot(a, a, items); }

std::vector<Scalars> dots(std::initializer_list<VectorPair<ShardedImage>> pairs, std::int64_t items) {
  const ShardedImage& first = *pairs.begin()->first;
  const auto count = static_cast<std::size_t>(items);
  std::vector<c10::complex<double>> sums(pairs.size() * count, 0.0);  // item by item
  std::vector<VectorPair<at::Tensor>> own;
  // Each vector once, so that two views of one item are one tensor.
  std::vector<const at::Tensor*> vectors;
  const auto place = [&](const at::Tensor& tensor) {
    const auto known = std::ranges::find(vectors, &tensor);
    const auto k = static_cast<std::size_t>(known - vectors.begin());
    if (known == vectors.end()) {
      vectors.push_back(&tensor);
    }
    return k;
  };
  std::vector<std::pair<std::size_t, std::size_t>> places;
  for (const auto& [a, b] : pairs) {
    common_space("dot", first, *a);
    common_space("dot", first, *b);
    places.emplace_back(place(a->local), place(b->local));
  }
  check_items(*first.space, items);
  std::vector<at::Tensor> views(vectors.size());
  for (std::size_t i = 0; i < count; ++i) {
    const ImageSpace::Range range = first.space->item(static_cast<std::int64_t>(i), items);
    if (range.begin == range.end) {
      continue;
    }
    std::ranges::transform(vectors, views.begin(), [&](const at::Tensor* vector) {
      return items == 1 ? *vector : vector->reshape({-1}).slice(0, range.begin, range.end);
    });
    own.clear();
    for (const auto& [a, b] : places) {
      own.emplace_back(&views[a], &views[b]);
    }
    add_fused_dots(own, {sums.data() + i * pairs.size(), pairs.size()});
  }
  if (first.space->reducer) {
    first.space->reducer->sum(sums);
  }
  std::vector<Scalars> results(pairs.size(), Scalars(count, 0.0));
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    for (std::size_t i = 0; i < count; ++i) {
      results[k][i] = sums[i * pairs.size() + k];
    }
  }
  return results;
}

void axpby(const Scalars& alpha, const ShardedImage& x, const Scalars& beta, ShardedImage& y) {
  check(alpha.size() == beta.size(), "axpby: alpha and beta must have equally many items, got ", alpha.size(), " and ",
        beta.size());
  const ImageSpace& space = common_space("axpby", x, y);
  for_items(
      space, static_cast<std::int64_t>(alpha.size()),
      [&](std::size_t i, const at::Tensor& from, at::Tensor to) {
        adjoin::axpby(Scalars{alpha[i]}, from, Scalars{beta[i]}, to);
      },
      x.local, y.local);
}

void axpy(const Scalars& alpha, const ShardedImage& x, ShardedImage& y) {
  for_items(
      common_space("axpy", x, y), static_cast<std::int64_t>(alpha.size()),
      [&](std::size_t i, const at::Tensor& from, at::Tensor to) { adjoin::axpy(Scalars{alpha[i]}, from, to); }, x.local,
      y.local);
}

void xpby(const ShardedImage& x, const Scalars& beta, ShardedImage& y) {
  for_items(
      common_space("xpby", x, y), static_cast<std::int64_t>(beta.size()),
      [&](std::size_t i, const at::Tensor& from, at::Tensor to) { adjoin::xpby(from, Scalars{beta[i]}, to); }, x.local,
      y.local);
}

void scale(const Scalars& alpha, ShardedImage& y) {
  for_items(
      *y.space, static_cast<std::int64_t>(alpha.size()),
      [&](std::size_t i, at::Tensor to) { adjoin::scale(Scalars{alpha[i]}, to); }, y.local);
}

ShardedImage zeros_like(const ShardedImage& a) { return {adjoin::zeros_like(a.local), a.space}; }

ShardedImage clone(const ShardedImage& a) { return {adjoin::clone(a.local), a.space}; }

ShardedImage randn_like(const ShardedImage& a, std::uint64_t seed) {
  const ImageSpace& space = *a.space;
  if (!space.is_flat()) {
    return slab_of(adjoin::randn_like(shape_of_image(space.sizes, a.local.options()), seed), a.space);
  }
  // Piece by piece, of which each but the last is of whole blocks of 16 numbers, as libtorch draws them.
  constexpr std::int64_t piece = std::int64_t{1} << 16;
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor result = at::empty(a.local.sizes(), a.local.options().device(at::kCPU).requires_grad(false));
  const at::Tensor flat = result.view(-1);
  const std::vector<std::int64_t> counts = space.counts();
  std::int64_t first = 0;
  for (int r = 0; r < space.rank; ++r) {
    first += counts[static_cast<std::size_t>(r)];
  }
  const std::int64_t last = first + flat.numel();
  const std::int64_t total = space.numel();
  for (std::int64_t start = 0; start < last;) {
    const std::int64_t length = total - start < 2 * piece ? total - start : piece;
    const at::Tensor drawn = at::randn({length}, generator, result.options());
    const std::int64_t from = std::max(first, start);
    const std::int64_t to = std::min(last, start + length);
    if (from < to) {
      flat.slice(0, from - first, to - first).copy_(drawn.slice(0, from - start, to - start));
    }
    start += length;
  }
  return {result.to(a.local.device()), a.space};
}

std::int64_t common_items(const ShardedImage& x, const TensorList& y) {
  return common_items(shape_of_image(x.space->sizes, x.local.options()), y);
}

}  // namespace adjoin
