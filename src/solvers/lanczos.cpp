// SPDX-License-Identifier: BSD-3-Clause
// The Lanczos process, and bounds from its tridiagonal matrix.
#include "adjoin/solvers/lanczos.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "solvers/batch_status.hpp"
#include "solvers/precision.hpp"
#include "solvers/scaling.hpp"

namespace adjoin {

namespace {

// The k × k tridiagonal matrix of the Lanczos process, with the β_k that couples it to the next vector.
class Tridiagonal {
 public:
  void append(double alpha, double beta) {
    // By Gershgorin's circles.
    high_ = std::max(high_, alpha + beta + (beta_.empty() ? 0.0 : beta_.back()));
    low_ = std::max(low_, alpha);
    alpha_.push_back(alpha);
    beta_.push_back(beta);
    pivots_.resize(alpha_.size());
  }

  // The size of the matrix, within a factor of 3.
  double scale() const { return std::max(std::abs(low_), std::abs(high_)); }

  // The largest eigenvalue: by Newton's method on the characteristic polynomial, which comes down monotonically from
  // the right, helped by bisection where eigenvalues cluster.
  double largest_eigenvalue() {
    double low = low_;
    double high = high_;
    const double smallest_step = std::numeric_limits<double>::epsilon() * scale();
    double step = newton_step(high);
    while (step > 0.0 && high - low > smallest_step) {
      const double middle = 0.5 * (low + high);
      if (const double next = high - step; next < middle) {
        high = next;
        step = newton_step(high);
      } else if (const double middle_step = newton_step(middle); middle_step > 0.0) {
        high = middle;
        step = middle_step;
      } else {
        low = middle;
      }
    }
    low_ = std::max(low_, low);  // appending only raises it
    return high;
  }

  // |last entry| of the unit eigenvector of the largest eigenvalue θ, by a twisted factorisation (Parlett and Dhillon,
  // Linear Algebra Appl. 267, 1997), which stays accurate when that entry is tiny.
  double last_entry(double theta) {
    const std::size_t k = alpha_.size();
    const auto safe = [](double q) { return q == 0.0 ? std::numeric_limits<double>::min() : q; };
    pivots_[0] = safe(theta - alpha_[0]);
    for (std::size_t i = 1; i < k; ++i) {
      pivots_[i] = safe(theta - alpha_[i] - beta_[i - 1] * beta_[i - 1] / pivots_[i - 1]);
    }
    double backward = safe(theta - alpha_[k - 1]);
    double best = std::abs(pivots_[k - 1]);
    double below_squared = 0.0;  // Σ of the squared entries below the twist, whose own entry is 1
    double last = 1.0;
    double best_below = 0.0;
    double best_last = 1.0;
    std::size_t twist = k - 1;
    for (std::size_t i = k - 1; i-- > 0;) {
      const double step = beta_[i] / backward;  // entry i + 1 over entry i
      last *= step;
      below_squared = step * step * (1.0 + below_squared);
      backward = safe(theta - alpha_[i] - beta_[i] * beta_[i] / backward);
      const double gamma = std::abs(pivots_[i] + backward - (theta - alpha_[i]));
      if (gamma < best) {
        best = gamma;
        twist = i;
        best_below = below_squared;
        best_last = last;
      }
    }
    double squared = 1.0 + best_below;
    double entry = 1.0;
    for (std::size_t i = twist; i-- > 0;) {
      entry *= beta_[i] / pivots_[i];
      squared += entry * entry;
    }
    return std::abs(best_last) / std::sqrt(squared);
  }

  // The λ above θ, the largest eigenvalue, where |p_k(λ)| / (β_1 … β_k) reaches `limit`.
  double where_polynomial_reaches(double limit, double theta) const {
    const double log_limit = std::log(limit);
    const auto exceeds = [&](double lambda) {
      double q = 1.0;
      double log_value = 0.0;
      for (std::size_t i = 0; i < alpha_.size(); ++i) {
        q = lambda - alpha_[i] - (i == 0 ? 0.0 : beta_[i - 1] * beta_[i - 1] / q);
        if (!(q > 0.0)) {
          return false;
        }
        log_value += std::log(q / beta_[i]);
      }
      return log_value >= log_limit;
    };
    constexpr double growth = 8.0;
    double gap = std::abs(theta) * std::numeric_limits<double>::epsilon() + std::numeric_limits<double>::min();
    while (std::isfinite(gap) && !exceeds(theta + gap)) {
      gap *= growth;
    }
    double low = gap / growth;
    for (int i = 0; i < 20; ++i) {
      const double middle = 0.5 * (low + gap);
      (exceeds(theta + middle) ? gap : low) = middle;
    }
    return theta + gap;
  }

 private:
  // p(x) / p'(x) of the characteristic polynomial where x exceeds all eigenvalues, 0 elsewhere.
  double newton_step(double x) const {
    // q_i = p_i / p_{i−1}, the ratios of the leading minors of x − T, are positive if and only if x is above; and
    // Σ q_i' / q_i = p' / p.
    double q = 1.0;
    double q_slope = 0.0;
    double log_slope = 0.0;
    for (std::size_t i = 0; i < alpha_.size(); ++i) {
      const double coupling = i == 0 ? 0.0 : beta_[i - 1] * beta_[i - 1] / q;
      q_slope = 1.0 + (i == 0 ? 0.0 : coupling * q_slope / q);
      q = x - alpha_[i] - coupling;
      if (!(q > 0.0)) {
        return 0.0;
      }
      log_slope += q_slope / q;
    }
    return 1.0 / log_slope;
  }

  std::vector<double> alpha_;
  std::vector<double> beta_;
  // Bounds of the largest eigenvalue.
  double low_ = -std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  std::vector<double> pivots_;
};

void check_options(const LanczosOptions& options) {
  check(options.max_iter >= 1, "max_iter: must be at least 1, got ", options.max_iter);
  check(options.tol >= 0.0 && std::isfinite(options.tol), "tol: must be finite and at least 0, got ", options.tol);
  check(options.failure_probability > 0.0 && options.failure_probability < 1.0,
        "failure_probability: must lie between 0 and 1, got ", options.failure_probability);
}

}  // namespace

namespace {

template <class V>
LanczosResult largest(const LinearMap<V, V>& H, const V& like, const LanczosOptions& options) {
  const c10::NoGradGuard no_grad;
  check_options(options);
  LanczosResult result;
  if (like.numel() == 0) {
    result.reason = StopReason::converged;
    return result;
  }
  V v = adjoin::randn_like(like, options.seed);
  adjoin::scale({1.0 / adjoin::norm(v)}, v);
  V v_old = adjoin::zeros_like(v);
  const double epsilon = precision(v);
  const SolverOptions one_problem;
  const BatchStatus status("largest_eigenvalue", one_problem);
  const ScaleLimits limits = scale_limits(v);
  Units units(1);
  const ScaledMap<V, V> map(H, units);
  Tridiagonal T;
  double beta = 0.0;
  double& theta = result.lower;
  const auto update_leading_pair = [&] {
    theta = T.largest_eigenvalue();
    result.residual = beta * T.last_entry(theta);
    return theta == 0.0 ? 0.0 : result.residual / std::abs(theta);
  };
  const bool watched = options.tol > 0.0 || options.monitor;
  while (result.iterations < options.max_iter && result.reason == StopReason::max_iterations) {
    ++result.iterations;
    double alpha = 0.0;
    double next_beta = 0.0;
    // v_old becomes H v − β v_old − α v, the next vector before its normalisation.
    const auto step = [&](const V& Hv) {
      adjoin::axpby({1.0}, Hv, {-beta}, v_old);
      alpha = adjoin::dot(v, v_old)[0].real();
      adjoin::axpy({-alpha}, v, v_old);
      next_beta = adjoin::norm(v_old);
    };
    step(map(v));
    if (result.iterations == 1 && !within(std::hypot(alpha, next_beta), limits.gain)) [[unlikely]] {
      v_old = adjoin::zeros_like(v_old);
      step(calibrate(units, limits, status, map, v, map(v)));
    }
    if (!std::isfinite(alpha) || !std::isfinite(next_beta)) {
      throw Error(
          c10::str("largest_eigenvalue: the operator returned NaN or infinity at iteration ", result.iterations));
    }
    T.append(alpha, next_beta);
    beta = next_beta;
    const double relative = watched ? update_leading_pair() : 0.0;
    if (beta <= 10.0 * epsilon * T.scale() || (options.tol > 0.0 && relative <= options.tol)) {
      result.reason = StopReason::converged;
    } else {
      adjoin::scale({1.0 / beta}, v_old);
      std::swap(v, v_old);
    }
    if (options.monitor && !options.monitor({result.iterations, options.max_iter, relative}) &&
        result.reason != StopReason::converged) {
      result.reason = StopReason::stopped_by_monitor;
    }
  }
  if (!watched) {
    update_leading_pair();
  }
  // A coordinate of a random unit vector of dimension n is below t with a probability of at most t √(2n/π).
  const double dimension = static_cast<double>(like.numel()) * (like.is_complex() ? 2.0 : 1.0);
  const double overlap = options.failure_probability * std::sqrt(std::numbers::pi / (2.0 * dimension));
  const double bound = beta > 0.0 ? T.where_polynomial_reaches(1.0 / overlap, theta) : theta;
  result.upper = bound + 32.0 * epsilon * std::abs(bound);
  for (double* value : {&result.lower, &result.upper, &result.residual}) {
    *value = std::ldexp(*value, -units[0]);
  }
  if (!std::isfinite(result.upper) || (bound != 0.0 && !std::isnormal(result.upper))) {
    throw Error(c10::str("largest_eigenvalue: the value is about 2^", std::ilogb(bound) - units[0],
                         ", beyond what a double holds: scale the operator"));
  }
  return result;
}

}  // namespace

LanczosResult largest_eigenvalue(const LinearMap<at::Tensor, at::Tensor>& H, const at::Tensor& like,
                                 const LanczosOptions& options) {
  return largest(H, like, options);
}

LanczosResult largest_eigenvalue(const LinearMap<ShardedImage, ShardedImage>& H, const ShardedImage& like,
                                 const LanczosOptions& options) {
  return largest(H, like, options);
}

}  // namespace adjoin
