// SPDX-License-Identifier: BSD-3-Clause
// One view as its direction and steps along lines: Joseph's rays, or the interpolation of its transpose.
#include <algorithm>
#include <cmath>

#include "kernels/parallel_beam/parallel_beam.hpp"

namespace adjoin::parallel_beam {

View joseph_view(double angle, Size image, std::int64_t detectors, double spacing, double shift) {
  // With (u, v) to the right and downwards from the centre, cell d sees u cos − v sin = s(d).
  const double cosine = std::cos(angle);
  const double sine = std::sin(angle);
  const bool columns = std::abs(sine) > std::abs(cosine);
  const double along = static_cast<double>((columns ? image.width : image.height) - 1) / 2.0;
  const double across = static_cast<double>((columns ? image.height : image.width) - 1) / 2.0;
  View view{.columns = columns,
            .reversed = false,
            .offset = 0.0,
            .drift = columns ? cosine / sine : sine / cosine,
            .step = columns ? -spacing / sine : spacing / cosine,
            .weight = 1.0 / std::abs(columns ? sine : cosine),
            .width = 1.0,
            .detectors = detectors};
  const auto last = static_cast<double>(detectors - 1);
  view.offset = across - view.drift * along - view.step * (last / 2.0 + shift);
  if (view.step < 0.0) {
    view.reversed = true;
    view.offset += view.step * last;
    view.step = -view.step;
  }
  return view;
}

View interpolating(View view) {
  view.weight = 1.0;
  view.width = view.step;
  return view;
}

}  // namespace adjoin::parallel_beam
