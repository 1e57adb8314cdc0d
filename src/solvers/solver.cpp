// SPDX-License-Identifier: BSD-3-Clause
// The state of each item of a batch: how far it has come, and why it stopped.
#include "adjoin/solvers/solver.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "solvers/batch_status.hpp"

namespace adjoin {

std::string_view to_string(StopReason reason) {
  switch (reason) {
    case StopReason::converged:
      return "converged";
    case StopReason::max_iterations:
      return "iteration limit";
    case StopReason::breakdown:
      return "breakdown";
    case StopReason::stagnated:
      return "stagnated";
    case StopReason::ill_conditioned:
      return "ill-conditioned";
    case StopReason::stopped_by_monitor:
      return "stopped by the monitor";
  }
  return "unknown";
}

namespace {

// The best first.
constexpr std::array<StopReason, 6> by_merit = {StopReason::converged,       StopReason::stagnated,
                                                StopReason::ill_conditioned, StopReason::breakdown,
                                                StopReason::max_iterations,  StopReason::stopped_by_monitor};

}  // namespace

void SolveInfo::add(const SolveInfo& other) {
  reason = *std::max(std::ranges::find(by_merit, reason), std::ranges::find(by_merit, other.reason));
  iterations = std::max(iterations, other.iterations);
  relative_residuals.insert(relative_residuals.end(), other.relative_residuals.begin(), other.relative_residuals.end());
}

void check_options(const SolverOptions& options) {
  check(options.max_iter >= 0, "max_iter: must be at least 0, got ", options.max_iter);
  check(options.tol >= 0.0 && std::isfinite(options.tol), "tol: must be finite and at least 0, got ", options.tol);
  check(options.items >= 1, "items: must be at least 1, got ", options.items);
}

BatchStatus::BatchStatus(std::string_view solver, const SolverOptions& options, double precision)
    : solver_(solver),
      options_(options),
      round_off_(options.tol > 0.0 ? 8.0 * precision : 0.0),
      small_residual_(std::pow(precision, 5.0 / 6.0)),
      small_eigenvalue_(std::pow(precision, 3.0 / 4.0)) {
  check_options(options);
  running_ = static_cast<std::size_t>(options.items);
  items_.resize(running_);
}

void BatchStatus::stop(std::size_t item, StopReason reason) {
  if (items_[item].running) {
    items_[item].running = false;
    items_[item].reason = reason;
    --running_;
  }
}

void BatchStatus::set_residual(std::size_t item, double relative_residual, bool test) {
  items_[item].residual = relative_residual;
  if (!test) {
    return;
  }
  constexpr double falling = 0.9;
  const double last = std::exchange(items_[item].last_tested, relative_residual);
  if (relative_residual <= options_.tol) {
    stop(item, StopReason::converged);
  } else if (last <= round_off_ && relative_residual > falling * last) {
    stop(item, StopReason::stagnated);
  }
}

bool BatchStatus::next() {
  if (running_ == 0 || stopped_by_monitor_ || iteration_ == options_.max_iter) {
    return false;
  }
  ++iteration_;
  return true;
}

void BatchStatus::end_iteration() {
  if (options_.monitor) {
    double worst = 0.0;
    for (const Item& item : items_) {
      worst = std::max(worst, item.residual);
    }
    stopped_by_monitor_ = !options_.monitor({iteration_, options_.max_iter, worst});
  }
}

void BatchStatus::not_finite(std::string_view culprit) const {
  const std::string when = iteration_ == 0 ? std::string() : c10::str(" at iteration ", iteration_);
  throw Error(c10::str(solver_, ": ", culprit, when));
}

// The reason of the item that ended worst.
StopReason BatchStatus::reason() const {
  if (running_ > 0) {
    return stopped_by_monitor_ ? StopReason::stopped_by_monitor : StopReason::max_iterations;
  }
  constexpr std::array<StopReason, 3> worst_first = {StopReason::breakdown, StopReason::ill_conditioned,
                                                     StopReason::stagnated};
  for (StopReason candidate : worst_first) {
    if (std::ranges::any_of(items_, [&](const Item& item) { return item.reason == candidate; })) {
      return candidate;
    }
  }
  return StopReason::converged;
}

}  // namespace adjoin
