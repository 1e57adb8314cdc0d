// SPDX-License-Identifier: BSD-3-Clause
// Planes gathered from the nearest slabs that have any, and numbers added up over all slabs.
#include "optim/tv_neighbours.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace adjoin::tv {

namespace {

Reals norms_of(const at::Tensor& x, std::int64_t items) {
  return adjoin::norms(items == 1 ? x : x.transpose(0, 1).contiguous(), items);
}

}  // namespace

Reals Neighbours::norms(const at::Tensor& x, std::int64_t items) const { return norms_of(x, items); }

SlabNeighbours::SlabNeighbours(Exchange& exchange, const ImageSpace& space, std::int64_t dims)
    : exchange_(exchange),
      space_(space),
      dims_(dims),
      cuts_planes_(*space.axis == static_cast<std::int64_t>(space.sizes.size()) - dims) {
  const auto length = [&](int rank) {
    const auto r = static_cast<std::size_t>(rank);
    return space.begins[r + 1] - space.begins[r];
  };
  length_ = cuts_planes_ ? length(space.rank) : space.sizes[space.sizes.size() - static_cast<std::size_t>(dims)];
  if (!cuts_planes_ || length_ == 0) {
    return;
  }
  for (int r = 0; r < space.ranks(); ++r) {
    if (r < space.rank && length(r) > 0) {
      before_ = r;
    }
    if (r > space.rank && length(r) > 0 && !behind_) {
      behind_ = r;
    }
  }
}

std::vector<at::Tensor> SlabNeighbours::shown(const at::Tensor& mine, std::int64_t elements) const {
  std::vector<std::int64_t> counts;
  for (int r = 0; r < space_.ranks(); ++r) {
    const auto k = static_cast<std::size_t>(r);
    counts.push_back(space_.begins[k + 1] > space_.begins[k] ? elements : 0);
  }
  return exchange_.communicator().all_gather_v(mine, counts).split_with_sizes(counts);
}

at::Tensor SlabNeighbours::extended(const at::Tensor& slab) const {
  if (!cuts_planes_) {
    return slab;
  }
  // Of a plane as many elements on every rank.
  std::int64_t elements = 1;
  for (std::size_t d = 0; d < space_.sizes.size(); ++d) {
    elements *= static_cast<std::int64_t>(d) == *space_.axis ? 1 : space_.sizes[d];
  }
  const std::vector<at::Tensor> first =
      shown(slab.narrow(-dims_, 0, std::min<std::int64_t>(length_, 1)).reshape({-1}), elements);
  std::vector<at::Tensor> parts;
  if (before_) {
    parts.push_back(at::zeros_like(slab.narrow(-dims_, 0, 1)));
  }
  parts.push_back(slab);
  if (behind_) {
    parts.push_back(first[static_cast<std::size_t>(*behind_)].view(slab.narrow(-dims_, 0, 1).sizes()));
  }
  return at::cat(parts, -dims_);
}

at::Tensor SlabNeighbours::reduced(const at::Tensor& image) const {
  return image.narrow(-dims_, own().begin, length_).contiguous();
}

std::int64_t SlabNeighbours::numel(const at::Tensor& x) const {
  // Parts and items, of each of which the whole has as many numbers.
  const std::int64_t images = x.size(0) * x.size(1);
  const std::int64_t all = space_.sizes.size() > static_cast<std::size_t>(dims_) ? space_.sizes[0] : 1;
  return space_.numel() / all * images;
}

// A pixel needs all differences of the plane behind, and of that before the differences across.
void SlabNeighbours::fill(at::Tensor& dual) const {
  if (!cuts_planes_) {
    return;
  }
  std::int64_t plane = 1;  // of one component
  for (std::int64_t d = 1; d < dual.dim(); ++d) {
    plane *= d == dual.dim() - dims_ ? 1 : dual.size(d);
  }
  const Planes mine = own();
  const std::int64_t some = std::min<std::int64_t>(length_, 1);
  const at::Tensor across = dual.select(0, 0);
  const at::Tensor sent = at::cat({dual.narrow(-dims_, mine.begin, some).reshape({-1}),
                                   across.narrow(-dims_, std::max<std::int64_t>(mine.end - 1, 0), some).reshape({-1})});
  const std::vector<at::Tensor> all = shown(sent, (dims_ + 1) * plane);
  const std::int64_t first = dims_ * plane;
  if (before_) {
    at::Tensor place = across.narrow(-dims_, 0, 1);
    place.copy_(all[static_cast<std::size_t>(*before_)].narrow(0, first, plane).view(place.sizes()));
  }
  if (behind_) {
    at::Tensor place = dual.narrow(-dims_, mine.end, 1);
    place.copy_(all[static_cast<std::size_t>(*behind_)].narrow(0, 0, first).view(place.sizes()));
  }
}

void SlabNeighbours::sum(Reals& values) const { exchange_.sum_real(values); }

Reals SlabNeighbours::norms(const at::Tensor& x, std::int64_t items) const {
  const Reals own_norms = norms_of(cuts_planes_ ? reduced(x) : x, items);
  // Relative to the largest, whose square a double need not hold.
  Reals most = own_norms;
  exchange_.agree_max(most, [] {});
  Reals squares(own_norms.size(), 0.0);
  for (std::size_t i = 0; i < squares.size(); ++i) {
    const double part = most[i] > 0.0 ? own_norms[i] / most[i] : own_norms[i];
    squares[i] = part * part;
  }
  sum(squares);
  for (std::size_t i = 0; i < squares.size(); ++i) {
    squares[i] = most[i] > 0.0 ? most[i] * std::sqrt(squares[i]) : squares[i];
  }
  return squares;
}

}  // namespace adjoin::tv
