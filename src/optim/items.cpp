// SPDX-License-Identifier: BSD-3-Clause
// Arithmetic with a number for each item, which costs nothing more where they are equal.
#include "optim/items.hpp"

#include <ATen/ATen.h>

#include <vector>

namespace adjoin {

namespace {

bool uniform(const Reals& values) {
  return std::ranges::all_of(values, [&](double v) { return v == values.front(); });
}

// One number an item, to be broadcast over images like x.
at::Tensor broadcast(const Reals& values, const at::Tensor& x) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[0] = static_cast<std::int64_t>(values.size());
  return at::tensor(at::ArrayRef<double>(values.data(), values.size()), at::kDouble)
      .to(x.options().requires_grad(false))
      .view(shape);
}

}  // namespace

at::Tensor choose(const Choice& choice, const at::Tensor& yes, const at::Tensor& no) {
  const auto count = std::ranges::count(choice, true);
  if (count == static_cast<std::ptrdiff_t>(choice.size())) [[likely]] {
    return yes;
  }
  if (count == 0) {
    return no;
  }
  at::Tensor result = yes.clone();
  for (std::size_t i = 0; i < choice.size(); ++i) {
    if (!choice[i]) {
      result.select(0, static_cast<std::int64_t>(i)).copy_(no.select(0, static_cast<std::int64_t>(i)));
    }
  }
  return result;
}

at::Tensor subtract(const at::Tensor& x, const at::Tensor& g, const Reals& factors) {
  return uniform(factors) ? at::sub(x, g, factors.front()) : at::addcmul(x, g, broadcast(factors, x), -1);
}

at::Tensor interpolate(const at::Tensor& a, const at::Tensor& b, const Reals& weights) {
  return uniform(weights) ? at::lerp(a, b, weights.front()) : at::lerp(a, b, broadcast(weights, a));
}

}  // namespace adjoin
