// SPDX-License-Identifier: BSD-3-Clause
// The bookkeeping that the solvers share: which items of a batch still run, and why the others stopped.
#pragma once

#include <c10/util/SmallVector.h>

#include <limits>
#include <string_view>
#include <utility>

#include "adjoin/solvers/solver.hpp"

namespace adjoin {

class BatchStatus {
 public:
  /// Checks the options; they must outlive the status. `solver` names the caller in errors. `precision`: that of the
  /// numbers of a solver whose residuals are tested.
  BatchStatus(std::string_view solver, const SolverOptions& options, double precision = 0.0);

  std::size_t size() const { return items_.size(); }
  int iteration() const { return iteration_; }
  bool running(std::size_t item) const { return items_[item].running; }
  /// Takes an item out of the iteration.
  void stop(std::size_t item, StopReason reason);
  /// The same with this reason whether or not it had stopped.
  void end_at(std::size_t item, StopReason reason) {
    stop(item, reason);
    items_[item].reason = reason;
  }
  /// Records ‖r‖ / ‖b‖ of an item, and stops the item when that is at most the tolerance, or is round-off that no
  /// longer falls: what comes then are vectors that H makes nothing of.
  void set_residual(std::size_t item, double relative_residual, bool test = true);
  double residual(std::size_t item) const { return items_[item].residual; }

  // Of a singular H, as that of fewer samples than pixels, round-off leaves a little of the residual in the null space.
  // A solver that goes on divides it by what round-off makes of the eigenvalue 0: a null vector as large as the
  // solution, or far larger, comes in, which no residual shows. The bounds leave a margin for operators that round more
  // than once.

  /// Whether a residual ‖r‖ / ‖b‖ may be round-off.
  bool may_be_round_off(double relative_residual) const { return relative_residual <= small_residual_; }
  /// Whether a step is to be left out: round-off may be all of the residual, and H makes `size` of the direction where
  /// it makes `largest` of others.
  bool leads_astray(std::size_t item, double size, double largest) const {
    return may_be_round_off(residual(item)) && size <= small_eigenvalue_ * largest;
  }

  /// Whether to go on; counts an iteration if so.
  bool next();
  /// Calls the monitor.
  void end_iteration();

  /// Throws Error unless every scalar is finite: `culprit` and, from the first iteration on, the iteration are named.
  template <class Values>
  void check_finite(const Values& values, std::string_view culprit = "the operator returned NaN or infinity") const {
    double sum = 0.0;
    for (const auto& value : values) {
      sum += magnitude(value);
    }
    if (!(sum <= std::numeric_limits<double>::max())) [[unlikely]] {
      not_finite(culprit);
    }
  }

  template <class V>
  SolverResult<V> finish(V x) const {
    SolverResult<V> result{std::move(x), reason(), iteration_, {}};
    for (const Item& item : items_) {
      result.relative_residuals.push_back(item.residual);
    }
    return result;
  }

 private:
  struct Item {
    bool running = true;
    StopReason reason = StopReason::max_iterations;
    double residual = 0.0;
    double last_tested = std::numeric_limits<double>::infinity();
  };

  static double magnitude(double value) { return std::abs(value); }
  static double magnitude(const c10::complex<double>& z) { return std::abs(z.real()) + std::abs(z.imag()); }
  [[noreturn]] void not_finite(std::string_view culprit) const;
  StopReason reason() const;

  std::string_view solver_;
  const SolverOptions& options_;
  double round_off_;
  double small_residual_;
  double small_eigenvalue_;
  c10::SmallVector<Item, 2> items_;
  std::size_t running_;
  int iteration_ = 0;
  bool stopped_by_monitor_ = false;
};

/// a / b of two norms, where 0 / 0 is 0.
inline double ratio(double a, double b) { return a == 0.0 ? 0.0 : a / b; }

}  // namespace adjoin
