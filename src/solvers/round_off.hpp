// SPDX-License-Identifier: BSD-3-Clause
// When round-off is all that is left of a residual, so that a step would add to the solution what is not in the data.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "solvers/batch_status.hpp"

namespace adjoin {

/// Of a singular H, as that of samples fewer than pixels, round-off leaves a little of the residual in the null space.
/// A solver that goes on divides it by what round-off makes of the eigenvalue 0: a null vector as large as the
/// solution, or far larger, comes in, which no residual shows. Both bounds leave a margin for operators that round more
/// than once.
class RoundOff {
 public:
  explicit RoundOff(double precision)
      : residual_(std::pow(precision, 5.0 / 6.0)), eigenvalue_(std::pow(precision, 3.0 / 4.0)) {}

  /// Whether a residual ‖r‖ / ‖b‖ may be round-off.
  bool may_be(double relative_residual) const { return relative_residual <= residual_; }
  /// Whether a step is to be left out: round-off may be all of the residual, and H makes `size` of the direction where
  /// it makes `largest` of others.
  bool leads_astray(const BatchStatus& status, std::size_t item, double size, double largest) const {
    return may_be(status.residual(item)) && size <= eigenvalue_ * largest;
  }

 private:
  double residual_;
  double eigenvalue_;
};

}  // namespace adjoin
