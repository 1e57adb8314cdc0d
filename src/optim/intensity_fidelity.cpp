// SPDX-License-Identifier: BSD-3-Clause
// The fidelities of numbers that cannot be negative: counts and intensities. Round-off below zero counts as zero, and
// at zero, at infinity and where there are no counts the methods give the limits of their formulas.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/optim/data_fidelity.hpp"
#include "optim/elementwise.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void check_real(const DataFidelity& fidelity, const at::Tensor& u) {
  check(!u.is_complex(), fidelity.name(), ": u and y must be real, got ", u.scalar_type());
}

constexpr double ulps = 16.0;

// What round-off may leave below zero of numbers of each item (along dimension 0) where zero is meant: it grows with
// the largest of them, since operators add them up, but is at least `least`.
at::Tensor round_off(const at::Tensor& v, double least) {
  std::vector<std::int64_t> dims(static_cast<std::size_t>(v.dim()));
  std::iota(dims.begin(), dims.end(), 0);
  if (dims.size() > 1) {
    dims.erase(dims.begin());
  }
  const at::Tensor largest = v.numel() == 0 ? at::zeros({}, v.options()) : at::amax(v.detach(), dims, true);
  return (largest.clamp_max(std::numeric_limits<float>::max()) * (ulps * precision(v))).clamp_min(least);
}

// Data that must not be negative: round-off becomes zero, what is less than that NaN.
at::Tensor not_negative(const at::Tensor& y, double least) {
  return y.clamp_min(0.0).masked_fill(y < -round_off(y, least), nan);
}

// Of counts, whose unit is 1.
double count_round_off(const at::Tensor& v) { return ulps * precision(v); }

}  // namespace

// ---- PoissonLikelihood -------------------------------------------------------------------------------------------

PoissonLikelihood::PoissonLikelihood(const PoissonOptions& options) : options_(options) {
  check_step("PoissonLikelihood", "gain", options.gain);
  check(options.background >= 0.0 && std::isfinite(options.background),
        "PoissonLikelihood: background must be finite and at least 0, got ", options.background);
}

Recipe PoissonLikelihood::recipe() const {
  return {.maker = name(),
          .arguments = {
              {"gain", options_.gain}, {"background", options_.background}, {"denormalize", options_.denormalize}}};
}

at::Tensor PoissonLikelihood::expectation(const at::Tensor& u) const {
  return options_.gain == 1.0 ? u + options_.background : u / options_.gain + options_.background;
}

at::Tensor PoissonLikelihood::counts(const at::Tensor& y) const {
  return not_negative(options_.denormalize ? y / options_.gain : y, count_round_off(y));
}

// As t − c − c log(t/c), with log(1 + (t − c)/c) for the logarithm where t is near c, which keeps its digits. Branches
// that are not taken are computed from other numbers, so that no derivative is 0 · ∞.
at::Tensor PoissonLikelihood::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  check_real(*this, u);
  const at::Tensor t = expectation(u);
  const at::Tensor c = counts(y);
  const at::Tensor unseen = c == 0;
  const at::Tensor negative = t < 0;
  const at::Tensor excess = t - c;
  const at::Tensor near = excess.abs() <= 0.5 * c;
  const at::Tensor some = c.masked_fill(unseen, 1.0);
  const at::Tensor close = at::log1p(at::where(near, excess / some, 0.0));
  const at::Tensor far = at::log(t.masked_fill(near.logical_or(negative).logical_or(unseen), 1.0)) - at::log(some);
  const at::Tensor divergence = excess - at::where(unseen, 0.0, c * at::where(near, close, far));
  const at::Tensor outside = negative.logical_and(unseen.logical_not())
                                 .logical_or(t < -round_off(t, count_round_off(t)))
                                 .logical_or(t == infinity)
                                 .logical_or(c == infinity);
  return divergence.masked_fill(outside, infinity).sum(at::kDouble);
}

at::Tensor PoissonLikelihood::grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  check_real(*this, u);
  const at::Tensor c = counts(y);
  const at::Tensor ratio = (c / expectation(u).clamp_min(0.0)).masked_fill(c == 0, 0.0);
  return (1.0 - ratio) / options_.gain;
}

// With t = v/gain + background the optimum solves t² − m t − s²/4 = 0 with s² = 4 c γ/gain², of which t ≥ 0 is wanted;
// the form that does not cancel depends on the sign of m.
at::Tensor PoissonLikelihood::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  check_real(*this, u);
  const double g = options_.gain;
  const at::Tensor m = u / g + (options_.background - gamma / (g * g));
  const at::Tensor s = at::sqrt(counts(y)) * (2.0 * std::sqrt(gamma) / g);
  const at::Tensor root = at::hypot(m, s);
  const at::Tensor left = s * (0.5 * s / (root - m).clamp_min(smallest_normal(m)));
  const at::Tensor t = at::where(m > 0, 0.5 * m + 0.5 * root, left);
  return (t - options_.background) * g;
}

// ---- AmplitudeLoss -----------------------------------------------------------------------------------------------

namespace {
constexpr double amplitude_floor = 1e-12;
}

at::Tensor AmplitudeLoss::fn_impl(const at::Tensor& u, const at::Tensor& y) const {
  check_real(*this, u);
  const at::Tensor intensity = not_negative(y, amplitude_floor);
  const at::Tensor t = u.clamp_min(0.0) + amplitude_floor;
  // √t − √y by their squares, which keeps its digits where they are near each other.
  const at::Tensor difference = (t - intensity) / (at::sqrt(t) + at::sqrt(intensity));
  const at::Tensor outside = (u < -round_off(u, amplitude_floor)).logical_or(t == infinity).logical_or(y == infinity);
  return difference.square().masked_fill(outside, infinity).sum(at::kDouble);
}

at::Tensor AmplitudeLoss::grad_impl(const at::Tensor& u, const at::Tensor& y) const {
  check_real(*this, u);
  return 1.0 - at::sqrt(not_negative(y, amplitude_floor)) / at::sqrt(u.clamp_min(0.0) + amplitude_floor);
}

// With s = √v the optimum is the largest root of s³ + p s − q, p = γ − u, q = γ √y ≥ 0. Newton's method decreases to
// it from any point on its right, where the cubic is convex. In units of `scale` all numbers are of order 1.
at::Tensor AmplitudeLoss::prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const {
  check_real(*this, u);
  constexpr int iterations = 12;
  const double least = smallest_normal(u);
  const at::Tensor p = gamma - (u + amplitude_floor);
  const at::Tensor p_root = at::sqrt(p.abs());
  const at::Tensor q_root =
      at::pow(not_negative(y, amplitude_floor), 1.0 / 6.0) * std::cbrt(gamma);  // the cube root of q
  const at::Tensor above = p_root.masked_fill(p > 0, 0.0);
  const at::Tensor scale = at::maximum(above, q_root).clamp_min(least);
  const at::Tensor unit_p = (p_root / scale).square().copysign(p);
  const at::Tensor unit_q = (q_root / scale).pow(3);
  at::Tensor s = (above + q_root) / scale;
  for (int k = 0; k < iterations; ++k) {
    const at::Tensor square = s.square();
    s = (2.0 * square * s + unit_q) / (3.0 * square + unit_p).clamp_min(least);
  }
  const at::Tensor v = ((s * scale).square() - amplitude_floor).clamp_min(0.0);
  return at::where(u == infinity, u, v);
}

}  // namespace adjoin
