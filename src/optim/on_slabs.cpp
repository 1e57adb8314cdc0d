// SPDX-License-Identifier: BSD-3-Clause
// The choice between slabs and replicated images by the size of the image and what the prior needs, and the way there
// and back.
#include "optim/on_slabs.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

namespace adjoin {

namespace {

bool wants_slabs(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options) {
  // What is wrong is said by the run on replicated images.
  const bool can = f.on_slabs && !f.space && !options.monitor && x0.defined() && x0.numel() > 0 &&
                   (!options.truth || options.truth->sizes() == x0.sizes());
  if (!can || options.layout != ImageLayout::automatic) {
    return can && options.layout == ImageLayout::sharded;
  }
  constexpr std::int64_t least_bytes = std::int64_t{1} << 20;
  const bool local = g.acts_on_numbers() || (g.acts_on_slabs() && x0.dim() >= 4);
  return local && static_cast<std::int64_t>(x0.nbytes()) >= least_bytes;
}

// The first spatial axis, so that the items of a batch stay whole; none where all is one item and each number is by
// itself.
std::optional<std::int64_t> axis_for(const Prior& g, const at::Tensor& x0) {
  const bool one_item = x0.dim() < 2 || x0.size(0) == 1;
  return one_item && g.acts_on_numbers() ? std::nullopt
                                         : std::optional<std::int64_t>(std::min<std::int64_t>(2, x0.dim() - 1));
}

}  // namespace

std::optional<OptimResult> on_slabs(const DataTerm& f, const Prior& g, const at::Tensor& x0,
                                    const OptimOptions& options, SolveProblem solve) {
  if (!wants_slabs(f, g, x0, options)) {
    return std::nullopt;
  }
  const std::shared_ptr<const ImageSpace> space = f.cut(x0.sizes(), axis_for(g, x0));
  if (space->ranks() == 1) {
    return std::nullopt;
  }
  OptimOptions own = options;
  own.layout = ImageLayout::replicated;
  if (options.truth) {
    own.truth = slab_of(*options.truth, space).local;
  }
  OptimResult result = solve(f.on_slabs(space), g, slab_of(x0.detach(), space).local, own);
  result.x = f.whole({result.x, space});
  return result;
}

}  // namespace adjoin
