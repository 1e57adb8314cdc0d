// SPDX-License-Identifier: BSD-3-Clause
// What all iterative solvers share: options, stop reasons, results, monitors.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "adjoin/core/vector_space.hpp"

namespace adjoin {

/// A linear map between vector spaces, as solvers see it. The result may share memory with the map's own workspace only
/// as long as the caller holds it: maps hand out each result for keeps.
template <class From, class To>
using LinearMap = std::function<To(const From&)>;

enum class StopReason : std::uint8_t {
  converged,          ///< every item met the tolerance
  max_iterations,     ///< the iteration limit came first
  breakdown,          ///< an exact zero denominator: the iterate cannot be improved by this method
  stagnated,          ///< round-off prevents further progress
  ill_conditioned,    ///< the estimated condition number exceeds 1 / machine precision (LSQR, LSMR)
  stopped_by_monitor  ///< the monitor asked to stop
};
/// "converged", "iteration limit", …
std::string_view to_string(StopReason reason);

/// State after an iteration, handed to the monitor.
struct IterationInfo {
  int iteration = 0;
  int max_iter = 0;
  /// Largest relative residual over the items.
  double relative_residual = 0.0;
};

/// Called after every iteration; returning false stops the solver.
using Monitor = std::function<bool(const IterationInfo&)>;

struct SolverOptions {
  int max_iter = 100;
  /// Relative tolerance; 0 runs all iterations unless the residual is exactly zero.
  double tol = 1e-6;
  /// Independent problems along dimension 0 (see vector_space.hpp); each stops by itself.
  std::int64_t items = 1;
  Monitor monitor = nullptr;
};

template <class V>
struct SolverResult {
  V x;
  StopReason reason = StopReason::max_iterations;
  int iterations = 0;
  /// Relative residual of each item, as the solver's recurrence estimates it.
  std::vector<double> relative_residuals;
};

/// How a solve ended whose result is the solution alone.
struct SolveInfo {
  /// converged where a closed form gave the solution.
  StopReason reason = StopReason::converged;
  int iterations = 0;
  /// As in SolverResult; empty where a closed form gave the solution.
  std::vector<double> relative_residuals = {};

  /// Takes another solve in: the worse reason, the larger number of iterations, the residuals of both.
  void add(const SolveInfo& other);
};

/// Throws InvalidArgument unless max_iter ≥ 0, tol ≥ 0 and finite, items ≥ 1.
void check_options(const SolverOptions& options);

}  // namespace adjoin
