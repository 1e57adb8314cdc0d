// SPDX-License-Identifier: BSD-3-Clause
// The loop: one step of an algorithm, what it changed, and whether to go on.
#include "adjoin/optim/optimise.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string>
#include <typeinfo>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/solvers/progress.hpp"
#include "optim/elementwise.hpp"
#include "optim/iterate.hpp"

namespace adjoin {

void check_options(const OptimOptions& options) {
  check(options.max_iter >= 0, "max_iter: must be at least 0, got ", options.max_iter);
  check(options.tol >= 0.0 && std::isfinite(options.tol), "tol: must be finite and at least 0, got ", options.tol);
  check_step("options", "lambda", options.lambda);
  check_step("options", "peak", options.peak);
  if (options.step) {
    check_step("options", "step", *options.step);
  }
  check(!options.items || *options.items >= 1, "items: must be at least 1, got ", options.items.value_or(1));
}

void check_start(const at::Tensor& x0, const OptimOptions& options) {
  check(x0.defined(), "x0: must be a tensor, got an undefined one");
  check(x0.is_floating_point() || x0.is_complex(), "x0: must be a floating-point or complex tensor, got ",
        x0.scalar_type());
  check(std::isfinite(adjoin::norm(x0)), "x0: must be finite, holds NaN or infinity");
  check(!options.items || *options.items == 1 || (x0.dim() > 0 && x0.size(0) == *options.items),
        "items: must be 1 or the length of dimension 0 of x0, got ", options.items.value_or(1), " for shape ",
        x0.sizes());
  check(!options.truth || options.truth->sizes() == x0.sizes(), "truth: must have the shape of x0, ", x0.sizes(),
        ", got ", options.truth.value_or(at::Tensor()).sizes());
}

std::string to_json(const std::vector<IterationRecord>& history) {
  std::ostringstream json;
  json << std::setprecision(std::numeric_limits<double>::max_digits10) << '[';
  const auto field = [&](const char* name, double value) {
    json << ", \"" << name << "\": ";
    std::isfinite(value) ? json << value : json << "null";
  };
  for (const IterationRecord& record : history) {
    json << (&record == history.data() ? "" : ",\n ") << "{\"iteration\": " << record.iteration;
    field("seconds", record.seconds);
    field("change", record.change);
    field("objective", record.objective);
    field("psnr", record.psnr);
    json << '}';
  }
  json << ']';
  return json.str();
}

double relative_change(const at::Tensor& a, const at::Tensor& b) {
  const double distance = adjoin::norm(a - b);
  return distance == 0.0 ? 0.0 : distance / adjoin::norm(a);
}

namespace {

// The largest change of the items that run, which stop where it is at most tol. NaN where one is no longer a number.
double measure(const Step& step, const at::Tensor& last, double tol, const Products& products, Items& items) {
  if (step.change) {
    for (std::size_t i = 0; i < items.size() && *step.change <= tol; ++i) {
      items.stop(i);
    }
    return *step.change;
  }
  const at::Tensor& image = step.candidate.defined() ? step.candidate : step.x;
  const Reals distances = products.norms(image - last, items.count());
  const Reals sizes = products.norms(image, items.count());
  const Reals disagreements =
      step.disagreement.defined() ? products.norms(step.disagreement, items.count()) : Reals(items.size(), 0.0);
  const auto over = [](double distance, double size) { return distance == 0.0 ? 0.0 : distance / size; };
  double largest = 0.0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items.running(i)) {
      continue;
    }
    if (!std::isfinite(distances[i] + disagreements[i])) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    const double change = std::max(over(distances[i], sizes[i]), over(disagreements[i], sizes[i]));
    largest = std::max(largest, change);
    if (change <= tol * (step.pace.empty() ? 1.0 : step.pace[i])) {
      items.stop(i);
    }
  }
  return largest;
}

[[noreturn]] void not_numbers(const Loop& loop, int iteration) {
  throw Error(c10::str(loop.title, ": the image became NaN or infinite at iteration ", iteration,
                       ": look for NaN and infinity in y, the operators and the prior", loop.advice));
}

}  // namespace

OptimResult iterate(const Loop& loop, const at::Tensor& x0,
                    const std::function<Step(const at::Tensor& x, int iteration, Items& items)>& step) {
  const c10::NoGradGuard no_grad;
  const OptimOptions& options = loop.options;
  const Monitor bar = options.verbose ? progress_bar(std::string(loop.title)) : Monitor();
  const auto start = std::chrono::steady_clock::now();
  OptimResult result{.x = x0.detach(), .history = {}};
  Items items(loop.items);
  while (result.iterations < options.max_iter) {
    Step next;
    try {
      next = step(result.x, ++result.iterations, items);
    } catch (const Error& error) {
      if (typeid(error) != typeid(Error)) {
        throw;
      }
      throw Error(c10::str(loop.title, ", iteration ", result.iterations, ": ", error.what()));
    }
    next.x = items.keep(next.x, result.x);
    IterationRecord record{.iteration = result.iterations,
                           .change = measure(next, result.x, options.tol, loop.products, items),
                           .objective = next.objective};
    const bool numbers = !std::isnan(record.change);
    result.x = std::move(next.x);
    if (options.truth && numbers) {
      record.psnr = loop.products.psnr(result.x, *options.truth, options.peak);
    }
    record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result.history.push_back(record);
    if (bar) {
      bar({.iteration = record.iteration, .max_iter = options.max_iter, .relative_residual = record.change});
    }
    if (options.monitor) {
      const auto more = [&] { return !numbers || options.monitor(record, result.x); };
      if (!(loop.on_all_ranks ? loop.on_all_ranks(more) : more())) {
        result.reason = StopReason::stopped_by_monitor;
        return result;
      }
    }
    if (!numbers) {
      not_numbers(loop, result.iterations);
    }
    if (!items.any_running()) {
      result.reason = StopReason::converged;
      break;
    }
  }
  return result;
}

OptimResult optimise(std::string_view title, const at::Tensor& x0, const OptimStep& step, const OptimOptions& options,
                     const OnAllRanks& on_all_ranks) {
  check_options(options);
  check_start(x0, options);
  const Loop loop{.title = title, .items = options.items.value_or(1), .options = options, .on_all_ranks = on_all_ranks};
  return iterate(loop, x0, [&](const at::Tensor& x, int iteration, Items& /*items*/) {
    Iterate next = step(x, iteration);
    return Step{.x = std::move(next.x), .objective = next.objective, .change = next.change};
  });
}

}  // namespace adjoin
