// SPDX-License-Identifier: BSD-3-Clause
// What the algorithms begin with.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/optim/data_term.hpp"
#include "adjoin/optim/prior.hpp"
#include "optim/iterate.hpp"
#include "optim/prior_term.hpp"
#include "optim/products.hpp"

namespace adjoin {

/// What an algorithm is called and takes.
struct Algorithm {
  const char* title;
  /// The parameters of its own, as text.
  std::string parameters = {};
  /// Throws where something is missing or wrong.
  std::function<void()> checks = {};
};

/// One run of an algorithm, on arguments that are checked.
class Run {
 public:
  Run(const char* title, const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options);

  const Items& items() const { return items_; }
  const Products& products() const { return products_; }
  const PriorTerm& prior() const { return prior_; }
  /// f's gradient at x, in the dtype of x, and its values, which are NaN unless they are wanted.
  ItemValues evaluate(const at::Tensor& x, bool values) const;
  /// f's gradient in the dtype of the image.
  at::Tensor in_dtype(const at::Tensor& gradient) const;
  /// Σ f + λ g over the items, NaN unless the options ask for it.
  double objective_if_wanted(const at::Tensor& x) const;

  /// Iterates. `advice` as in Loop.
  OptimResult iterate(const std::function<Step(const at::Tensor& x, int iteration, Items& items)>& step,
                      const std::string& advice = "") const;

 private:
  const char* title_;
  const DataTerm& f_;
  const at::Tensor& x0_;
  const OptimOptions& options_;
  Products products_;
  PriorTerm prior_;
  Prior::Iterating iterating_;
  Items items_;
};

/// Checks the arguments and runs `body`, cut off from autograd. Among ranks, whose options must be equal, whatever is
/// thrown on one is thrown on all.
OptimResult run_algorithm(const Algorithm& algorithm, const DataTerm& f, const Prior& g, const at::Tensor& x0,
                          const OptimOptions& options, const std::function<OptimResult(const Run& run)>& body);

/// Σ over the items.
double sum(const Reals& values);

}  // namespace adjoin
