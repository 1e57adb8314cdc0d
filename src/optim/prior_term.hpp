// SPDX-License-Identifier: BSD-3-Clause
// λ g as the algorithms see it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "adjoin/core/norms.hpp"
#include "adjoin/optim/prior.hpp"
#include "optim/items.hpp"
#include "optim/products.hpp"

namespace adjoin {

/// λ g, of images or of slabs. Of a prior that no value tells of NaN the image of NaN is NaN.
class PriorTerm {
 public:
  PriorTerm(const Prior& g, double lambda, const Products& products) : g_(g), lambda_(lambda), products_(products) {}

  bool has_value() const { return g_.explicit_prior(); }
  /// λ g(x) of each item, 0 for a prior without a value.
  Reals values(const at::Tensor& x, const Items& items) const;
  /// ∇g(x), without λ.
  at::Tensor grad(const at::Tensor& x) const;
  /// prox of step λ g, item by item.
  at::Tensor prox(const at::Tensor& x, const Reals& steps) const;

 private:
  at::Tensor prox(const at::Tensor& x, double gamma) const;
  at::Tensor image(const at::Tensor& x, const std::function<at::Tensor()>& work) const;

  const Prior& g_;
  double lambda_;
  const Products& products_;
};

}  // namespace adjoin
