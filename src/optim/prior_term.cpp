// SPDX-License-Identifier: BSD-3-Clause
// A prior times λ, its prox for all items of one step at once, and no denoiser for images that are not finite.
#include "optim/prior_term.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/sharded_image.hpp"

namespace adjoin {

namespace {

// Of some items of a batch, whose slab has them along dimension 0, or of all.
ShardedImage slab_of_items(const at::Tensor& x, const ImageSpace& all) {
  ImageSpace space = all;
  if (space.axis.value_or(0) > 0) {
    space.sizes[0] = x.size(0);
  }
  return {x, std::make_shared<const ImageSpace>(std::move(space))};
}

}  // namespace

at::Tensor PriorTerm::prox(const at::Tensor& x, double gamma) const {
  return products_.space() ? g_.prox(slab_of_items(x, *products_.space()), gamma).local : g_.prox(x, gamma);
}

Reals PriorTerm::values(const at::Tensor& x, const Items& items) const {
  Reals result(items.size(), 0.0);
  if (!has_value()) {
    return result;
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    const at::Tensor own = items.size() == 1 ? x : x.narrow(0, static_cast<std::int64_t>(i), 1);
    const auto space = products_.space();
    result[i] = lambda_ * (space ? g_.fn(slab_of_items(own, *space)) : g_.fn(own)).item<double>();
  }
  return result;
}

at::Tensor PriorTerm::grad(const at::Tensor& x) const {
  return image(x, [&] { return products_.space() ? g_.grad(ShardedImage{x, products_.space()}).local : g_.grad(x); });
}

at::Tensor PriorTerm::prox(const at::Tensor& x, const Reals& steps) const {
  std::map<double, std::vector<std::int64_t>> items_of;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    items_of[steps[i]].push_back(static_cast<std::int64_t>(i));
  }
  if (items_of.size() == 1) {
    return image(x, [&] { return prox(x, steps.front() * lambda_); });
  }
  return image(x, [&] {
    at::Tensor result = at::empty_like(x);
    for (const auto& [step, own] : items_of) {
      const at::Tensor index = at::tensor(own, at::kLong).to(x.device());
      result.index_copy_(0, index, prox(x.index_select(0, index), step * lambda_));
    }
    return result;
  });
}

// A denoiser may make numbers of NaN, and so hide what has gone wrong: it does not get to see them.
at::Tensor PriorTerm::image(const at::Tensor& x, const std::function<at::Tensor()>& work) const {
  return has_value() || std::isfinite(products_.norm(x)) ? work() : at::full_like(x, unknown);
}

}  // namespace adjoin
