#include "adjoin/optim/total_variation.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/modes.hpp"
#include "adjoin/core/norms.hpp"
#include "optim/elementwise.hpp"
#include "optim/tv_kernels.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

namespace {

// {parts, …}: the real and the imaginary part of a complex image, each in one piece, or the real image alone.
at::Tensor parts_of(const at::Tensor& x) {
  return x.is_complex() ? at::view_as_real(x.resolve_conj()).movedim(-1, 0).contiguous() : x.contiguous().unsqueeze(0);
}

at::Tensor from_parts(const at::Tensor& parts) {
  return parts.size(0) == 2 ? at::complex(parts[0], parts[1]) : parts[0];
}

// The kernels square differences. A power of two that brings numbers of this size to where their squares are numbers:
// 1 where they already are.
double scale_for(const at::Tensor& x, double size) {
  const int limit = precision(x) > std::numeric_limits<double>::epsilon() ? 30 : 400;
  const bool within = size >= std::ldexp(1.0, -limit) && size <= std::ldexp(1.0, limit);
  return within || !(size > 0.0) || !std::isfinite(size) ? 1.0 : std::ldexp(1.0, -std::ilogb(size));
}

double largest(const Reals& values) { return *std::ranges::max_element(values); }

}  // namespace

TotalVariation::TotalVariation(const TotalVariationOptions& options) : options_(options) {
  check(!options.dims || *options.dims == 2 || *options.dims == 3, "TotalVariation: dims must be 2 or 3, got ",
        options.dims.value_or(0));
  check(options.lower <= options.upper, "TotalVariation: lower must be at most upper, got ", options.lower, " and ",
        options.upper);
  check(options.max_iter >= 1, "TotalVariation: max_iter must be at least 1, got ", options.max_iter);
  check(options.tol >= 0.0 && std::isfinite(options.tol), "TotalVariation: tol must be finite and at least 0, got ",
        options.tol);
}

TotalVariation::Inner TotalVariation::inner() const {
  const std::scoped_lock lock(mutex_);
  return inner_;
}

void TotalVariation::begin_iterating() const {
  const std::scoped_lock lock(mutex_);
  ++iterating_;
}

void TotalVariation::end_iterating() const {
  const std::scoped_lock lock(mutex_);
  if (--iterating_ == 0) {
    kept_ = {};
  }
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
  refuse_gradients("TotalVariation::fn", x);
  const c10::NoGradGuard no_grad;
  const std::int64_t dims = dims_of(x);
  if (!x.is_complex() && !(std::isinf(options_.lower) && std::isinf(options_.upper))) {
    const double excess = excess_of_box(x, options_.lower, options_.upper);
    if (!(excess <= 0.0)) {
      return indicator(excess, x);
    }
  }
  const at::Tensor parts = parts_of(x);
  double value = tv::gap(parts, {}, dims)[0];
  // Where squares may have been lost, once more in other units.
  const auto count = static_cast<double>(x.numel());
  if (scale_for(parts, value / count) != 1.0 || !(value > 0.0)) {
    const double scale = scale_for(parts, largest(adjoin::norms(parts)) / std::sqrt(count));
    value = scale == 1.0 ? value : tv::gap(parts * scale, {}, dims)[0] / scale;
  }
  return at::full({}, value, x.options().dtype(at::kDouble).requires_grad(false));
}

at::Tensor TotalVariation::prox_impl(const at::Tensor& x, double gamma) const {
  refuse_gradients("TotalVariation::prox", x);
  const c10::NoGradGuard no_grad;
  const std::int64_t dims = dims_of(x);
  const at::Tensor b = parts_of(x);
  const std::int64_t items = x.dim() > dims ? x.size(0) : 1;
  const bool together = tv::batched_gaps(b);
  const at::Tensor images = b.dim() > dims + 1 ? b : b.unsqueeze(1);  // {parts, items, …}

  Kept kept;
  {
    const std::scoped_lock lock(mutex_);
    kept = std::exchange(kept_, {});
  }
  // The dual variable of each piece is contiguous.
  std::vector<std::int64_t> shape = images.sizes().vec();
  shape[1] = together ? items : 1;
  shape.insert(shape.begin(), {together ? 1 : items, dims});
  if (!kept.dual.defined() || kept.dual.sizes() != shape || !kept.dual.options().type_equal(b.options())) {
    kept = lasting([&]() -> Kept {
      return {.dual = at::zeros(shape, b.options()),
              .extrapolated = at::empty(at::IntArrayRef(shape).slice(1), b.options())};
    });
  } else if (!options_.warm_start) {
    kept.dual.zero_();
  }

  Inner inner;
  at::Tensor result = at::empty_like(images);
  for (std::int64_t piece = 0; piece < shape[0]; ++piece) {
    const at::Tensor own = together ? images : images.narrow(1, piece, 1).contiguous();
    const double size = largest(adjoin::norms(own)) / std::sqrt(static_cast<double>(own.numel()));
    const double scale = scale_for(own, size);
    at::Tensor dual = kept.dual[piece];
    at::Tensor place = result.narrow(1, together ? 0 : piece, shape[3]);
    at::Tensor solution = place.is_contiguous() ? place : at::empty_like(own);
    const Inner one = solve(solution, scale == 1.0 ? own : own * scale, dual, kept.extrapolated, gamma * scale, scale);
    if (scale != 1.0) {
      solution.div_(scale);
    }
    if (!solution.is_same(place)) {
      place.copy_(solution);
    }
    inner.iterations = std::max(inner.iterations, one.iterations);
    inner.error_bound = std::hypot(inner.error_bound, one.error_bound);
  }
  {
    const std::scoped_lock lock(mutex_);
    if (iterating_ > 0) {
      kept_ = std::move(kept);
    }
    inner_ = inner;
  }
  return from_parts(result).view(x.sizes());
}

// With x(p) the primal point of a dual point p, ‖x(p) − x*‖² / 2 is at most the duality gap γ (TV(x) − ⟨p, D x⟩), by
// the strong convexity of the primal problem.
TotalVariation::Inner TotalVariation::solve(at::Tensor& result, const at::Tensor& images, at::Tensor& dual,
                                            at::Tensor& extrapolated, double gamma, double scale) const {
  constexpr int iterations_between_tests = 5;
  const std::int64_t dims = dual.size(0);
  const std::int64_t items = images.size(1);
  const tv::Bounds bounds{.lower = options_.lower * scale, .upper = options_.upper * scale};
  extrapolated.copy_(dual);
  // ‖D‖² ≤ 4 dims, so 1/(4 dims γ) is the step for the gradient of the dual, divided by γ.
  const double step = 1.0 / (4.0 * static_cast<double>(dims) * gamma);
  const Reals sizes = adjoin::norms(items == 1 ? images : images.transpose(0, 1).contiguous(), items);
  Inner inner;
  double t = 1.0;
  for (inner.iterations = 1;; ++inner.iterations) {
    tv::primal(result, images, extrapolated, gamma, bounds);
    const double next_t = 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * t * t));
    tv::dual_step(result, dual, extrapolated, step, (t - 1.0) / next_t);
    t = next_t;
    const bool last = inner.iterations == options_.max_iter;
    if (!last && inner.iterations % iterations_between_tests != 0) {
      continue;
    }
    tv::primal(result, images, dual, gamma, bounds);
    const Reals gaps = tv::gap(result, dual, dims, items);
    double squared_bound = 0.0;
    bool done = true;
    for (std::size_t i = 0; i < gaps.size(); ++i) {
      const double bound = std::sqrt(2.0 * gamma * (gaps[i] < 0.0 ? 0.0 : gaps[i]));  // NaN stays
      done = done && bound <= options_.tol * sizes[i];
      squared_bound += bound * bound;
    }
    if (last || done) {
      inner.error_bound = std::sqrt(squared_bound) / scale;
      return inner;
    }
  }
}

}  // namespace adjoin
