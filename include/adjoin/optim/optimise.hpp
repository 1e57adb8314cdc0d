// SPDX-License-Identifier: BSD-3-Clause
// The one iteration loop of all algorithms: stop rule, monitor, progress bar, history.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/solvers/solver.hpp"

namespace adjoin {

/// The state after an iteration. What is not known is NaN.
struct IterationRecord {
  int iteration = 0;
  /// Seconds since the start.
  double seconds = 0.0;
  /// ‖x_k − x_{k−1}‖ / ‖x_k‖, or what the algorithm measures its progress by: the largest of the items that still run.
  double change = 0.0;
  /// f(x_k) + λ g(x_k); without the prior's part where that has no value.
  double objective = std::numeric_limits<double>::quiet_NaN();
  /// Against OptimOptions::truth, in decibels.
  double psnr = std::numeric_limits<double>::quiet_NaN();
};

/// Called after every iteration; returning false stops the algorithm.
using OptimMonitor = std::function<bool(const IterationRecord& record, const at::Tensor& x)>;

struct OptimOptions {
  int max_iter = 100;
  /// Stop when the change is at most tol; 0 runs all iterations unless nothing changes at all.
  double tol = 1e-5;
  /// Independent problems along dimension 0: each has its own step and stops by itself, and comes out as it does alone.
  /// By default as many as image and measurements have in common there (common_items); 1 takes the batch as one
  /// problem, as a prior wants that joins its images.
  std::optional<std::int64_t> items = {};
  /// Weight λ of the prior, > 0.
  double lambda = 1.0;
  /// Step size; by default the inverse of the Lipschitz constant of the gradient. One that is proved too long is an
  /// Error.
  std::optional<double> step = {};
  /// Find the step: shorten it until the quadratic model holds (Beck and Teboulle, SIAM J. Imaging Sci. 2, 2009), and
  /// lengthen it as long as it does (Scheinberg, Goldfarb and Bai, Found. Comput. Math. 14, 2014). Starts from the step
  /// above, or 1 where there is none.
  bool backtracking = false;
  /// Record the objective. Free for gradient and proximal gradient descent and monotone FISTA; the others apply A once
  /// more an iteration, and send a few numbers more.
  bool objective = false;
  /// The true image, for the PSNR, and the largest value of its scale.
  std::optional<at::Tensor> truth = {};
  double peak = 1.0;
  OptimMonitor monitor = {};
  /// How an algorithm whose data term is one over ranks keeps its images, which its caller has replicated: in slabs
  /// where that is asked for or, automatic, likely to be quicker: images of 1 MiB and more, and a prior that acts on
  /// slabs. A monitor, which sees whole images, keeps them replicated.
  ImageLayout layout = ImageLayout::replicated;
  /// Draw a progress bar (on a terminal); among several ranks, set it on one.
  bool verbose = false;
};

struct OptimResult {
  at::Tensor x;
  StopReason reason = StopReason::max_iterations;
  int iterations = 0;
  std::vector<IterationRecord> history;
};

/// Throws InvalidArgument unless max_iter ≥ 0, tol ≥ 0 and finite, items ≥ 1, lambda, step and peak > 0 and finite.
void check_options(const OptimOptions& options);
/// Throws InvalidArgument unless x0 is a finite floating-point or complex tensor that items and truth fit.
void check_start(const at::Tensor& x0, const OptimOptions& options);

/// What an iteration makes of the last image.
struct Iterate {
  at::Tensor x;
  /// Where known.
  double objective = std::numeric_limits<double>::quiet_NaN();
  /// The measure of progress where it is not the relative change of x.
  std::optional<double> change = {};
};
using OptimStep = std::function<Iterate(const at::Tensor& x, int iteration)>;

/// Asks a question on every rank; true when all say yes.
using OnAllRanks = std::function<bool(const std::function<bool()>& question)>;

/// x_k = step(x_{k−1}, k), k = 1, 2, …, until the change is at most tol, the monitor asks to stop (on any rank, when
/// `on_all_ranks` is given: one small message an iteration, and only with a monitor), or max_iter. `title` heads the
/// progress bar and messages. Cut off from autograd. Among ranks every rank runs the same loop on the same images.
/// Throws Error, naming the iteration, when the image is no longer finite.
OptimResult optimise(std::string_view title, const at::Tensor& x0, const OptimStep& step,
                     const OptimOptions& options = {}, const OnAllRanks& on_all_ranks = {});

/// The history as a JSON array of objects with the fields of IterationRecord; what is not finite is null.
std::string to_json(const std::vector<IterationRecord>& history);

/// ‖a − b‖ / ‖a‖; 0 when both are zero.
double relative_change(const at::Tensor& a, const at::Tensor& b);

}  // namespace adjoin
