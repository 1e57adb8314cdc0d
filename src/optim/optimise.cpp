#include "adjoin/optim/optimise.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/psnr.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/solvers/progress.hpp"
#include "optim/elementwise.hpp"

namespace adjoin {

void check_options(const OptimOptions& options) {
  check(options.max_iter >= 0, "max_iter: must be at least 0, got ", options.max_iter);
  check(options.tol >= 0.0 && std::isfinite(options.tol), "tol: must be finite and at least 0, got ", options.tol);
  check_step("options", "lambda", options.lambda);
  check_step("options", "peak", options.peak);
  if (options.step) {
    check_step("options", "step", *options.step);
  }
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

OptimResult optimise(std::string_view title, const at::Tensor& x0, const OptimStep& step, const OptimOptions& options,
                     const OnAllRanks& on_all_ranks, const std::function<void()>& finish) {
  const c10::NoGradGuard no_grad;
  check_options(options);
  check(x0.defined(), "x0: must be a tensor, got an undefined one");
  const Monitor bar = options.verbose ? progress_bar(std::string(title)) : Monitor();
  const auto start = std::chrono::steady_clock::now();
  OptimResult result{.x = x0.detach(), .history = {}};
  while (result.iterations < options.max_iter) {
    Iterate next = step(result.x, ++result.iterations);
    IterationRecord record{.iteration = result.iterations,
                           .change = next.change ? *next.change : relative_change(next.x, result.x),
                           .objective = next.objective};
    result.x = std::move(next.x);
    if (options.truth) {
      record.psnr = psnr(result.x, *options.truth, options.peak);
    }
    record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result.history.push_back(record);
    if (bar) {
      bar({.iteration = record.iteration, .max_iter = options.max_iter, .relative_residual = record.change});
    }
    if (options.monitor) {
      const auto more = [&] { return options.monitor(record, result.x); };
      if (!(on_all_ranks ? on_all_ranks(more) : more())) {
        result.reason = StopReason::stopped_by_monitor;
        return result;
      }
    }
    if (record.change <= options.tol) {
      result.reason = StopReason::converged;
      break;
    }
  }
  if (finish && result.iterations > 0) {
    finish();
  }
  return result;
}

}  // namespace adjoin
