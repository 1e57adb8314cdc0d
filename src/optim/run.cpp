// SPDX-License-Identifier: BSD-3-Clause
// Checks of arguments alike on all ranks, and the values that every algorithm asks for.
#include "optim/run.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <iomanip>
#include <limits>
#include <numeric>
#include <sstream>

namespace adjoin {

namespace {

std::string describe(const OptimOptions& options, const DataTerm& f, const at::Tensor& x0, const Prior& g) {
  std::ostringstream text;  // all digits, so that unlike numbers have unlike texts
  text << std::setprecision(std::numeric_limits<double>::max_digits10);
  const auto add = [&](const char* option, const auto& value) { text << ", " << option << ' ' << value; };
  const auto add_optional = [&](const char* option, const auto& value) {
    value ? add(option, *value) : add(option, "none");
  };
  text << "prior " << g.name();
  add("x0", x0.defined() ? c10::str(x0.scalar_type(), " ", f.space ? f.space->text() : c10::str(x0.sizes())) : "none");
  add("max_iter", options.max_iter);
  add("tol", options.tol);
  add_optional("items", options.items);
  add("lambda", options.lambda);
  add_optional("step", options.step);
  add("backtracking", options.backtracking);
  add("objective", options.objective);
  add("truth", options.truth.has_value());
  add("monitor", static_cast<bool>(options.monitor));
  add("layout", to_string(options.layout));
  return text.str();
}

}  // namespace

OptimResult run_algorithm(const Algorithm& algorithm, const DataTerm& f, const Prior& g, const at::Tensor& x0,
                          const OptimOptions& options, const std::function<OptimResult(const Run& run)>& body) {
  const c10::NoGradGuard no_grad;
  const auto begin = [&] {
    check_options(options);
    check_start(x0, options);
    check(!f.space || x0.sizes() == f.space->local_sizes(), "x0: must be this rank's slab, of shape ",
          f.space ? c10::str(at::IntArrayRef(f.space->local_sizes())) : "", ", got ", x0.sizes());
    if (algorithm.checks) {
      algorithm.checks();
    }
    return algorithm.parameters + describe(options, f, x0, g);
  };
  OptimResult result;
  const auto work = [&] { result = body(Run(algorithm.title, f, g, x0, options)); };
  if (f.run) {
    f.run(algorithm.title, begin, work);
  } else {
    (void)begin();
    work();
  }
  return result;
}

Run::Run(const char* title, const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options)
    : title_(title),
      f_(f),
      x0_(x0),
      options_(options),
      products_(f.space),
      prior_(g, options.lambda, products_),
      iterating_(g),
      items_(options.items ? *options.items
             : f.items     ? f.items(x0)
                           : 1) {
  check(items_.count() == 1 || !f.space || f.space->axis.value_or(0) > 0, "items: x0 holds ", items_.count(),
        " independent problems, which slabs must not cut: cut x0 along another axis than 0, or set items to 1");
}

at::Tensor Run::in_dtype(const at::Tensor& gradient) const {
  const at::ScalarType dtype = x0_.scalar_type();
  check(x0_.is_complex() || !gradient.is_complex(), "x0: must be complex, as the gradient is, got ", dtype);
  return gradient.to(dtype);
}

ItemValues Run::evaluate(const at::Tensor& x, bool values) const {
  ItemValues result;
  if (values) {
    result = f_.values_and_grad(x, items_.count());
    result.grad = in_dtype(result.grad);
  } else {
    result = {.values = Reals(items_.size(), unknown), .grad = in_dtype(f_.grad(x))};
  }
  return result;
}

double Run::objective_if_wanted(const at::Tensor& x) const {
  if (!options_.objective) {
    return unknown;
  }
  const double prior = sum(prior_.values(x, items_));
  return sum(f_.values(x, items_.count())) + prior;
}

OptimResult Run::iterate(const std::function<Step(const at::Tensor& x, int iteration, Items& items)>& step,
                         const std::string& advice) const {
  const Loop loop{.title = title_,
                  .items = items_.count(),
                  .options = options_,
                  .on_all_ranks = f_.on_all_ranks,
                  .advice = advice,
                  .products = products_};
  return adjoin::iterate(loop, x0_, step);
}

double sum(const Reals& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace adjoin
