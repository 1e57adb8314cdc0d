// SPDX-License-Identifier: BSD-3-Clause
// The prox by an accelerated dual iteration, which stops on a proven bound.
#include "adjoin/optim/total_variation.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/modes.hpp"
#include "adjoin/core/norms.hpp"
#include "core/shape_of_image.hpp"
#include "distributed/solve_arguments.hpp"
#include "optim/elementwise.hpp"
#include "optim/slab_prior.hpp"
#include "optim/tv_kernels.hpp"
#include "optim/tv_neighbours.hpp"
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
  return at::full({}, value(x, dims_of(x), tv::Neighbours()), x.options().dtype(at::kDouble).requires_grad(false));
}

double TotalVariation::value(const at::Tensor& x, std::int64_t dims, const tv::Neighbours& neighbours) const {
  const bool bounded = !x.is_complex() && !(std::isinf(options_.lower) && std::isinf(options_.upper));
  const tv::Planes own = neighbours.own();
  const double excess =
      bounded ? excess_of_box(x.slice(-dims, own.begin, own.end), options_.lower, options_.upper) : 0.0;
  const at::Tensor parts = parts_of(x);
  const auto sum_of = [&](const at::Tensor& images) { return tv::gap(images, {}, dims, 1, own)[0]; };
  // Both by one message.
  Reals sums = {excess <= 0.0 ? 0.0 : indicator(excess, x).item<double>(), excess <= 0.0 ? sum_of(parts) : 0.0};
  neighbours.sum(sums);
  if (!(sums[0] <= 0.0)) {
    return sums[0];
  }
  // Where squares may have been lost, once more in other units.
  const at::Tensor images = parts.dim() > dims + 1 ? parts : parts.unsqueeze(1);
  const auto count = static_cast<double>(neighbours.numel(images)) / static_cast<double>(parts.size(0));
  if (scale_for(parts, sums[1] / count) != 1.0 || !(sums[1] > 0.0)) {
    const double scale = scale_for(parts, largest(neighbours.norms(images, 1)) / std::sqrt(count));
    if (scale != 1.0) {
      Reals again = {sum_of(parts * scale) / scale};
      neighbours.sum(again);
      return again[0];
    }
  }
  return sums[1];
}

at::Tensor TotalVariation::prox_impl(const at::Tensor& x, double gamma) const {
  refuse_gradients("TotalVariation::prox", x);
  const c10::NoGradGuard no_grad;
  return prox_among(x, gamma, dims_of(x), tv::Neighbours());
}

at::Tensor TotalVariation::prox_among(const at::Tensor& x, double gamma, std::int64_t dims,
                                      const tv::Neighbours& neighbours) const {
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
    const double size = largest(neighbours.norms(own, 1)) / std::sqrt(static_cast<double>(neighbours.numel(own)));
    const double scale = scale_for(own, size);
    at::Tensor dual = kept.dual[piece];
    at::Tensor place = result.narrow(1, together ? 0 : piece, shape[3]);
    at::Tensor solution = place.is_contiguous() ? place : at::empty_like(own);
    const Inner one =
        solve(solution, scale == 1.0 ? own : own * scale, dual, kept.extrapolated, gamma * scale, scale, neighbours);
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
                                            at::Tensor& extrapolated, double gamma, double scale,
                                            const tv::Neighbours& neighbours) const {
  constexpr int iterations_between_tests = 5;
  const std::int64_t dims = dual.size(0);
  const std::int64_t items = images.size(1);
  const tv::Bounds bounds{.lower = options_.lower * scale, .upper = options_.upper * scale};
  extrapolated.copy_(dual);
  // ‖D‖² ≤ 4 dims, so 1/(4 dims γ) is the step for the gradient of the dual, divided by γ.
  const double step = 1.0 / (4.0 * static_cast<double>(dims) * gamma);
  const Reals sizes = neighbours.norms(images, items);
  Inner inner;
  double t = 1.0;
  for (inner.iterations = 1;; ++inner.iterations) {
    tv::primal(result, images, extrapolated, gamma, bounds);
    const double next_t = 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * t * t));
    tv::dual_step(result, dual, extrapolated, step, (t - 1.0) / next_t);
    neighbours.fill(extrapolated);
    t = next_t;
    const bool last = inner.iterations == options_.max_iter;
    if (!last && inner.iterations % iterations_between_tests != 0) {
      continue;
    }
    neighbours.fill(dual);
    tv::primal(result, images, dual, gamma, bounds);
    Reals gaps = tv::gap(result, dual, dims, items, neighbours.own());
    neighbours.sum(gaps);
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

// ---- Sharded images ----------------------------------------------------------------------------------------------

namespace {

// Whether the images of a slab are cut into planes, or between them, of several dimensions that are not the first.
bool keeps_planes(const ImageSpace& space, std::int64_t dims) {
  const std::int64_t first = static_cast<std::int64_t>(space.sizes.size()) - dims;
  return space.axis && *space.axis <= first && (*space.axis > 0 || first == 0);
}

bool keeps_items(const ImageSpace& space, std::int64_t dims) {
  return space.axis && *space.axis == 0 && static_cast<std::int64_t>(space.sizes.size()) > dims;
}

// Runs `work` as a call of all ranks.
template <class Work>
auto with_neighbours(const char* what, const ShardedImage& x, std::int64_t dims, const Work& work) {
  Exchange& exchange = *exchange_of(x);
  CallArguments arguments;
  arguments.add("x", described(x));
  return exchange.call(what, arguments, [&] {
    const tv::SlabNeighbours neighbours(exchange, *x.space, dims);
    return work(neighbours);
  });
}

}  // namespace

at::Tensor TotalVariation::fn_of_slab(const ShardedImage& x) const {
  const std::int64_t dims = dims_of(shape_of_image(x.sizes(), x.local.options()));
  if (exchange_of(x) == nullptr || !keeps_planes(*x.space, dims)) {
    return Prior::fn_of_slab(x);
  }
  return with_neighbours("TotalVariation::fn", x, dims, [&](const tv::SlabNeighbours& neighbours) {
    const double sum = value(neighbours.extended(x.local), dims, neighbours);
    return at::full({}, sum, x.local.options().dtype(at::kDouble));
  });
}

ShardedImage TotalVariation::prox_of_slab(const ShardedImage& x, double gamma) const {
  const std::int64_t dims = dims_of(shape_of_image(x.sizes(), x.local.options()));
  if (keeps_items(*x.space, dims)) {
    return {x.local.numel() == 0 ? x.local : prox_among(x.local, gamma, dims, tv::Neighbours()), x.space};
  }
  if (exchange_of(x) == nullptr || !keeps_planes(*x.space, dims)) {
    return Prior::prox_of_slab(x, gamma);
  }
  const auto on_planes = [&](const tv::SlabNeighbours& neighbours) {
    return neighbours.reduced(prox_among(neighbours.extended(x.local), gamma, dims, neighbours));
  };
  return {with_neighbours("TotalVariation::prox", x, dims, on_planes), x.space};
}

}  // namespace adjoin
