#include "adjoin/optim/total_variation.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "optim/tv_kernels.hpp"

namespace adjoin {

TotalVariation::TotalVariation(const TotalVariationOptions& options) : options_(options) {
  check(!options.dims || *options.dims == 2 || *options.dims == 3, "TotalVariation: dims must be 2 or 3, got ",
        options.dims.value_or(0));
  check(options.lower <= options.upper, "TotalVariation: lower must be at most upper, got ", options.lower, " and ",
        options.upper);
  check(options.max_iter >= 1, "TotalVariation: max_iter must be at least 1, got ", options.max_iter);
  check(options.tol >= 0.0 && std::isfinite(options.tol), "TotalVariation: tol must be finite and at least 0, got ",
        options.tol);
}

void TotalVariation::start_from(const at::Tensor& dual) {
  check(dual.defined() && dual.dim() > 0, "TotalVariation: dual must be a tensor (dims, …shape of x)");
  dual_ = dual.detach().clone(at::MemoryFormat::Contiguous);
  extrapolated_ = at::empty_like(dual_);
}

Recipe TotalVariation::recipe() const {
  Params arguments = {{"lower", options_.lower},
                      {"upper", options_.upper},
                      {"max_iter", std::int64_t{options_.max_iter}},
                      {"tol", options_.tol},
                      {"warm_start", options_.warm_start}};
  if (options_.dims) {
    arguments.set("dims", *options_.dims);
  }
  return {.maker = name(), .arguments = std::move(arguments)};
}

std::int64_t TotalVariation::dims_of(const at::Tensor& x) const {
  const std::int64_t dims = options_.dims.value_or(x.dim() == 5 ? 3 : 2);
  check(x.dim() >= dims, "TotalVariation: x must have at least ", dims, " dimensions, got ", x.sizes());
  check(x.numel() > 0, "TotalVariation: x must have elements, got ", x.sizes());
  check(!x.is_complex() || (std::isinf(options_.lower) && std::isinf(options_.upper)),
        "TotalVariation: bounds need a real x, got ", x.scalar_type());
  return dims;
}

at::Tensor TotalVariation::fn_impl(const at::Tensor& x) const {
  const c10::NoGradGuard no_grad;
  const std::int64_t dims = dims_of(x);
  const bool outside =
      (options_.lower > -std::numeric_limits<double>::infinity() && (x < options_.lower).any().item<bool>()) ||
      (options_.upper < std::numeric_limits<double>::infinity() && (x > options_.upper).any().item<bool>());
  const double value =
      outside ? std::numeric_limits<double>::infinity() : tv::gap(x.contiguous().resolve_conj(), {}, dims);
  return at::full({}, value, x.options().dtype(at::kDouble));
}

// With x(p) the primal point of a dual point p, ‖x(p) − x*‖² / 2 is at most the duality gap γ (TV(x) − ⟨p, D x⟩), by
// the strong convexity of the primal problem.
at::Tensor TotalVariation::prox_impl(const at::Tensor& x, double gamma) const {
  const c10::NoGradGuard no_grad;
  constexpr int iterations_between_tests = 5;
  const std::int64_t dims = dims_of(x);
  const at::Tensor b = x.contiguous().resolve_conj();
  const tv::Bounds bounds{.lower = options_.lower, .upper = options_.upper};
  std::vector<std::int64_t> dual_shape = {dims};
  dual_shape.insert(dual_shape.end(), b.sizes().begin(), b.sizes().end());
  if (!dual_.defined() || dual_.sizes() != dual_shape || !dual_.options().type_equal(b.options())) {
    dual_ = at::zeros(dual_shape, b.options());
    extrapolated_ = at::empty_like(dual_);
  } else if (!options_.warm_start) {
    dual_.zero_();
  }
  extrapolated_.copy_(dual_);

  // ‖D‖² ≤ 4 dims, so 1/(4 dims γ) is the step for the gradient of the dual, divided by γ.
  const double step = 1.0 / (4.0 * static_cast<double>(dims) * gamma);
  const double wanted = options_.tol * adjoin::norm(b);
  at::Tensor result = at::empty_like(b);
  double t = 1.0;
  for (inner_.iterations = 1;; ++inner_.iterations) {
    tv::primal(result, b, extrapolated_, gamma, bounds);
    const double next_t = 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * t * t));
    tv::dual_step(result, dual_, extrapolated_, step, (t - 1.0) / next_t);
    t = next_t;
    const bool last = inner_.iterations == options_.max_iter;
    if (last || inner_.iterations % iterations_between_tests == 0) {
      tv::primal(result, b, dual_, gamma, bounds);
      inner_.error_bound = std::sqrt(2.0 * gamma * std::max(0.0, tv::gap(result, dual_, dims)));
      if (last || inner_.error_bound <= wanted) {
        return result;
      }
    }
  }
}

}  // namespace adjoin
