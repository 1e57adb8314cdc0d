// λ g as the algorithms see it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "adjoin/core/norms.hpp"
#include "adjoin/optim/data_term.hpp"
#include "adjoin/optim/prior.hpp"
#include "optim/items.hpp"

namespace adjoin {

/// λ g, whose failure on one rank the next message of f brings to all; until then its results are NaN.
class PriorTerm {
 public:
  PriorTerm(const DataTerm& f, const Prior& g, double lambda) : f_(f), g_(g), lambda_(lambda) {}

  bool has_value() const { return g_.explicit_prior(); }
  /// λ g(x) of each item, 0 for a prior without a value.
  Reals values(const at::Tensor& x, const Items& items) const;
  /// ∇g(x), without λ.
  at::Tensor grad(const at::Tensor& x) const;
  /// prox of step λ g, item by item.
  at::Tensor prox(const at::Tensor& x, const Reals& steps) const;

 private:
  at::Tensor image(const at::Tensor& x, const std::function<at::Tensor()>& work) const;
  void run(const std::function<void()>& work) const;

  const DataTerm& f_;
  const Prior& g_;
  double lambda_;
};

}  // namespace adjoin
