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

namespace adjoin {

/// One run of an algorithm: checks what it was given, and agrees on it with the other ranks.
class Run {
 public:
  /// `parameters`: the algorithm's own, as text. `checks` throws where something is missing or wrong.
  Run(const char* title, const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options,
      const std::string& parameters = "", const std::function<void()>& checks = {});

  const Items& items() const { return items_; }
  const PriorTerm& prior() const { return prior_; }
  /// f's gradient at x, in the dtype of x, and its values, which are NaN unless they are wanted.
  ItemValues evaluate(const at::Tensor& x, bool values) const;
  /// f's gradient in the dtype of the image.
  at::Tensor in_dtype(const at::Tensor& gradient) const;
  /// Σ f + λ g over the items, NaN unless the options ask for it. The prior first: its failure then travels with f's.
  double objective_if_wanted(const at::Tensor& x) const;

  /// Iterates. `advice` as in Loop.
  OptimResult iterate(const std::function<Step(const at::Tensor& x, int iteration, Items& items)>& step,
                      const std::string& advice = "") const;

 private:
  const char* title_;
  const DataTerm& f_;
  const at::Tensor& x0_;
  const OptimOptions& options_;
  PriorTerm prior_;
  Prior::Iterating iterating_;
  Items items_{1};
};

/// Σ over the items.
double sum(const Reals& values);

}  // namespace adjoin
