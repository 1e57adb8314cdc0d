// SPDX-License-Identifier: BSD-3-Clause
// Linear problems in units in which their numbers are of order 1, so that operators of 10⁻³⁰ or data of 10³⁰ are solved
// as those of 1 are. Units are powers of two: nothing is rounded, and where none are needed nothing is done.
#pragma once

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/norms.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/solvers/solver.hpp"
#include "solvers/batch_status.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

/// Binary exponents of a precision: how far from 1 norms of vectors may be, and the ratios of a map's results to its
/// arguments, before they are scaled; the first unit tried where a map gives zero or infinity, and the largest of all.
struct ScaleLimits {
  int vector;
  int gain;
  int first;
  int most;
};

template <class V>
ScaleLimits scale_limits(const V& like) {
  return precision(like) > std::numeric_limits<double>::epsilon()
             ? ScaleLimits{.vector = 20, .gain = 70, .first = 100, .most = 240}
             : ScaleLimits{.vector = 64, .gain = 200, .first = 500, .most = 1022};
}

/// Whether a positive number lies within 2^±exponent.
inline bool within(double value, int exponent) {
  return value >= std::ldexp(1.0, -exponent) && value <= std::ldexp(1.0, exponent);
}

/// A power of two for each item: 2^e.
class Units {
 public:
  explicit Units(std::size_t items) : exponents_(items, 0) {}

  std::size_t size() const { return exponents_.size(); }
  int& operator[](std::size_t item) { return exponents_[item]; }
  int operator[](std::size_t item) const { return exponents_[item]; }
  bool trivial() const {
    return std::ranges::all_of(exponents_, [](int e) { return e == 0; });
  }
  /// The units that bring norms beyond the limit to 1.
  static Units normalising(const Reals& norms, int limit) {
    Units units(norms.size());
    for (std::size_t i = 0; i < norms.size(); ++i) {
      if (norms[i] > 0.0 && std::isfinite(norms[i]) && !within(norms[i], limit)) {
        units[i] = -std::ilogb(norms[i]);
      }
    }
    return units;
  }
  Units inverse() const {
    Units result = *this;
    std::ranges::transform(result.exponents_, result.exponents_.begin(), [](int e) { return -e; });
    return result;
  }
  Units operator*(const Units& other) const {
    Units result = *this;
    std::ranges::transform(exponents_, other.exponents_, result.exponents_.begin(), std::plus<>());
    return result;
  }
  /// One of two factors of these units, which are as near to each other as may be.
  Units half(bool first) const {
    Units result = *this;
    std::ranges::transform(exponents_, result.exponents_.begin(), [&](int e) { return first ? e / 2 : e - e / 2; });
    return result;
  }
  /// v ← 2^e v, in two steps: a factor may be out of the range of v's numbers where the result is not.
  template <class V>
  void scale(V& v) const {
    if (trivial()) {
      return;
    }
    for (const bool first : {true, false}) {
      const Units factor = half(first);
      Scalars factors(size(), 0.0);
      std::ranges::transform(factor.exponents_, factors.begin(), [](int e) { return std::ldexp(1.0, e); });
      adjoin::scale(factors, v);
    }
  }
  /// A copy of v, times 2^e; v itself where that is 1.
  template <class V>
  V scaled(const V& v) const {
    if (trivial()) {
      return v;
    }
    V result = adjoin::clone(v);
    scale(result);
    return result;
  }

 private:
  c10::SmallVector<int, 2> exponents_;
};

/// 2^e A, one half of the exponent on either side of A, which may be a product. Holds references.
template <class From, class To>
class ScaledMap {
 public:
  ScaledMap(const LinearMap<From, To>& map, const Units& units) : map_(map), units_(units) {}

  To operator()(const From& p) const {
    return units_.trivial() ? map_(p) : units_.half(false).scaled(map_(units_.half(true).scaled(p)));
  }

 private:
  const LinearMap<From, To>& map_;
  const Units& units_;
};

/// Whether the images of the running items, measured as their arguments are, need no units.
template <class Measures>
bool fit(const Measures& images, const Measures& arguments, const BatchStatus& status, int limit) {
  for (std::size_t i = 0; i < status.size(); ++i) {
    if (status.running(i) && !within(std::abs(images[i]) / std::abs(arguments[i]), limit)) {
      return false;
    }
  }
  return true;
}

/// Finds the units of a map from its first application, to p, which gave `image`, and applies it again until they fit.
/// A map that gives zero, or what is not a number, in all units keeps its own.
template <class From, class To>
To calibrate(Units& units, const ScaleLimits& limits, const BatchStatus& status, const ScaledMap<From, To>& map,
             const From& p, To image) {
  constexpr int attempts = 4;
  const auto items = static_cast<std::int64_t>(units.size());
  const Reals lengths = adjoin::norms(p, items);
  c10::SmallVector<bool, 2> given_up(units.size(), false);
  for (int left = attempts;; --left) {
    const Reals image_lengths = adjoin::norms(image, items);
    bool changed = false;
    for (std::size_t i = 0; i < units.size(); ++i) {
      const double gain = image_lengths[i] / lengths[i];
      if (!status.running(i) || given_up[i] || lengths[i] == 0.0 || within(gain, limits.gain)) {
        continue;
      }
      const int next = gain > 0.0 && std::isfinite(gain) ? units[i] - std::ilogb(gain)
                       : gain == 0.0                     ? units[i] + limits.first
                                                         : units[i] - limits.first;
      given_up[i] = left == 0 || std::abs(next) > limits.most;
      units[i] = given_up[i] ? 0 : next;
      changed = true;
    }
    if (!changed) {
      return image;
    }
    image = map(p);
  }
}

/// Brings a solution found in units to its own, and adds the point from which it counts, if any. Throws Error where its
/// dtype does not hold it.
template <class V>
void restore(std::string_view solver, const Units& units, V& x, const std::optional<V>& origin = {}) {
  if (!units.trivial()) [[unlikely]] {
    const auto items = static_cast<std::int64_t>(units.size());
    const Reals in_units = adjoin::norms(x, items);
    units.scale(x);
    const Reals own = adjoin::norms(x, items);
    for (std::size_t i = 0; i < own.size(); ++i) {
      const bool lost = !origin && in_units[i] > 0.0 && own[i] < smallest_normal(x);
      if (lost || !std::isfinite(own[i])) {
        throw Error(c10::str(solver, ": the solution is beyond the range of its dtype, about ", in_units[i], " · 2^",
                             units[i], ": scale the operator or the data"));
      }
    }
  }
  if (origin) {
    adjoin::axpy(Scalars(units.size(), 1.0), *origin, x);
  }
}

}  // namespace adjoin
