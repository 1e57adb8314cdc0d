// SPDX-License-Identifier: BSD-3-Clause
// The ramp and its windows, and weights of angles that are uneven, repeated or missing.
#include "operators/tomography/sinogram_filter.hpp"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <utility>

namespace adjoin {

namespace {

/// Angles are as near to a direction as the nearest one when they are farther away by at most this part.
constexpr double near_tie = 0.125;
/// Gaps that exceed every other one by this factor, and are at most so many, are where no angle was measured …
constexpr double missing_gap = 4.0;
constexpr std::size_t most_missing_gaps = 3;
/// … unless the angles cover less than this part of the circle: then they are repetitions of a few directions.
constexpr double least_covered = 0.01;
/// Parts of a turn whose mean projections are looked at.
constexpr std::int64_t sectors = 12;

/// Angles in ascending order on a circle. Place k + n is place k, once round.
class Circle {
 public:
  Circle(std::span<const double> angles, double period)
      : period_(period), positions_(angles.size()), order_(angles.size()) {
    std::vector<double> turned(angles.size());
    std::ranges::transform(angles, turned.begin(), [&](double a) { return a - period * std::floor(a / period); });
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::stable_sort(order_, {}, [&](std::size_t i) { return turned[i]; });
    std::ranges::transform(order_, positions_.begin(), [&](std::size_t i) { return turned[i]; });
  }

  std::int64_t size() const { return static_cast<std::int64_t>(positions_.size()); }
  double period() const { return period_; }
  double position(std::int64_t place) const {
    const std::int64_t turns = place >= 0 ? place / size() : -((size() - 1 - place) / size());
    return positions_[static_cast<std::size_t>(place - turns * size())] + static_cast<double>(turns) * period_;
  }
  double gap(std::int64_t place) const { return position(place + 1) - position(place); }
  /// Which of the angles lies at a place.
  std::size_t angle(std::int64_t place) const {
    return order_[static_cast<std::size_t>(((place % size()) + size()) % size())];
  }

 private:
  double period_;
  std::vector<double> positions_;
  std::vector<std::size_t> order_;
};

/// The shortest gap that is missing, or infinity; and the gap such that those up to it make up half of what is covered.
struct Gaps {
  double missing = std::numeric_limits<double>::infinity();
  double typical = 0.0;
};

Gaps examine_gaps(const Circle& circle) {
  std::vector<double> gaps(static_cast<std::size_t>(circle.size()));
  for (std::int64_t i = 0; i < circle.size(); ++i) {
    gaps[static_cast<std::size_t>(i)] = circle.gap(i);
  }
  std::ranges::sort(gaps, std::greater());
  std::size_t missing = 0;
  double covered = circle.period();
  for (std::size_t k = 1; k <= std::min(most_missing_gaps, gaps.size() - 1); ++k) {
    const double rest = std::accumulate(gaps.begin() + static_cast<std::ptrdiff_t>(k), gaps.end(), 0.0);
    if (gaps[k - 1] > missing_gap * gaps[k] && rest >= least_covered * circle.period()) {
      missing = k;
      covered = rest;
    }
  }
  Gaps result{.typical = gaps.back()};
  if (missing > 0) {
    result.missing = gaps[missing - 1];
  }
  double sum = 0.0;
  for (std::size_t k = gaps.size(); k-- > missing && sum < 0.5 * covered;) {
    sum += gaps[k];
    result.typical = gaps[k];
  }
  return result;
}

/// Shares the directions up to `reach` from the angle at `place` towards `side` (1 or −1), to which it is the nearest,
/// among all angles that are about as near. An angle joins where the distance from the nearest one is large enough.
void share(const Circle& circle, std::int64_t place, int side, double reach, std::vector<double>& weights) {
  std::vector<std::pair<double, std::int64_t>> joining = {{0.0, place}};
  for (std::int64_t k = 1; k < circle.size(); ++k) {
    const double from = std::abs(circle.position(place - side * k) - circle.position(place)) / near_tie;
    if (from >= reach) {
      break;
    }
    joining.emplace_back(from, place - side * k);
  }
  for (std::int64_t k = 1; k < circle.size(); ++k) {
    const double from = std::abs(circle.position(place + side * k) - circle.position(place)) / (2.0 + near_tie);
    if (from >= reach) {
      break;
    }
    joining.emplace_back(from, place + side * k);
  }
  std::ranges::sort(joining);
  double later = 0.0;  // what one of those who are there takes of the directions beyond
  for (std::size_t i = joining.size(); i-- > 0;) {
    const double until = i + 1 < joining.size() ? joining[i + 1].first : reach;
    later += (until - joining[i].first) / static_cast<double>(i + 1);
    weights[circle.angle(joining[i].second)] += later;
  }
}

/// The ramp filter |f| with a window, at the frequencies of a real transform of length n, for cells `spacing` apart.
/// The ramp is the transform of its band-limited kernel (Kak and Slaney, eq. 61), which gets the mean right.
at::Tensor ramp_filter(std::int64_t n, double spacing, FbpFilter filter) {
  at::Tensor kernel = at::zeros({n}, at::kDouble);
  auto* values = kernel.data_ptr<double>();
  values[0] = 0.25;
  for (std::int64_t k = 1; k <= n / 2; k += 2) {
    const double pi_k = std::numbers::pi * static_cast<double>(k);
    values[k] = values[n - k] = -1.0 / (pi_k * pi_k);
  }
  at::Tensor ramp = at::real(at::fft_rfft(kernel)) / spacing;
  const at::Tensor frequency = at::arange(n / 2 + 1, at::kDouble) / static_cast<double>(n);
  const at::Tensor turn = std::numbers::pi * frequency;
  switch (filter) {
    case FbpFilter::RamLak:
      return ramp;
    case FbpFilter::SheppLogan:
      return ramp * at::sinc(frequency);
    case FbpFilter::Cosine:
      return ramp * turn.cos();
    case FbpFilter::Hamming:
      return ramp * (0.54 + 0.46 * (2.0 * turn).cos());
    case FbpFilter::Hann:
      return ramp * (0.5 + 0.5 * (2.0 * turn).cos());
  }
  return ramp;
}

/// Weights of the rays at `u` (pixels from the axis, growing towards the side where the detector reaches farther) when
/// the other side reaches only to −`reach`: w(u) + w(−u) = 1 where two views see a ray, 1 where one does. The weights
/// of G. Wang, "X-ray micro-CT with a displaced detector array", Med. Phys. 29, 2002, for parallel rays, but changing
/// in the outer half of the overlap only, so that the inner half averages the noise of both views.
at::Tensor redundancy_weights(const at::Tensor& u, double reach) {
  if (reach <= 0.0) {
    return at::ones_like(u);
  }
  const at::Tensor into_band = ((u.abs() - 0.5 * reach) / (0.5 * reach)).clamp(0.0, 1.0);
  return 0.5 + 0.5 * u.sign() * (0.5 * std::numbers::pi * into_band).sin().square();
}

}  // namespace

AngularWeights angular_weights(std::span<const double> angles, double period) {
  const Circle circle(angles, period);
  const Gaps gaps = examine_gaps(circle);
  AngularWeights result{.weights = std::vector<double>(angles.size())};
  for (std::int64_t place = 0; place < circle.size(); ++place) {
    double gap = circle.gap(place);
    if (gap >= gaps.missing) {
      result.missing += gap - gaps.typical;
      gap = gaps.typical;
    }
    if (gap > 0.0) {
      share(circle, place, 1, gap / 2.0, result.weights);
      share(circle, place + 1, -1, gap / 2.0, result.weights);
    }
  }
  for (double& weight : result.weights) {
    weight *= std::numbers::pi / 180.0;
  }
  return result;
}

SinogramFilter::SinogramFilter(std::span<const double> angles, std::array<std::int64_t, 2> image_size,
                               const TomographyOptions& options)
    : angular_(angular_weights(angles, 180.0)),
      sectors_(at::empty({static_cast<std::int64_t>(angles.size())}, at::kLong)),
      scan_(options),
      detector_(options) {
  std::ranges::transform(angles, sectors_.data_ptr<std::int64_t>(), [](double angle) {
    const double turns = angle / 360.0;
    return std::min(sectors - 1, static_cast<std::int64_t>(static_cast<double>(sectors) * (turns - std::floor(turns))));
  });
  const double half = 0.5 * static_cast<double>(options.detectors);
  const double reach = (half - std::abs(options.shift)) * options.spacing;  // on the shorter side
  const double corner = 0.5 * std::hypot(image_size[0], image_size[1]);
  if (options.shift == 0.0 || reach >= corner) {
    return;
  }
  AngularWeights turn = angular_weights(angles, 360.0);
  if (turn.missing > 0.0) {
    return;
  }
  angular_ = std::move(turn);
  period_ = 360.0;
  const at::Tensor cells = at::arange(options.detectors, at::kDouble) - (half - 0.5) - options.shift;
  redundancy_ = redundancy_weights(cells * (options.shift > 0.0 ? -1.0 : 1.0) * options.spacing, reach);
  // The filtered views reach beyond the shorter side.
  const auto added = static_cast<std::int64_t>(std::ceil(2.0 * std::abs(options.shift)));
  added_before_ = options.shift < 0.0 ? added : 0;
  detector_.detectors += added;
  detector_.shift += (options.shift > 0.0 ? -0.5 : 0.5) * static_cast<double>(added);
}

SinogramFilter::Profiles SinogramFilter::mean_profiles(const at::Tensor& y) const {
  const at::Tensor views = y.detach().flatten(0, -3).mean(0).to(at::kCPU, at::kDouble);
  const at::Tensor counts = at::bincount(sectors_, {}, sectors).clamp_min(1).to(at::kDouble).unsqueeze(1);
  const auto mean_of = [&](const at::Tensor& values) {
    return at::zeros({sectors, views.size(1)}, views.options()).index_add(0, sectors_, values) / counts;
  };
  const at::Tensor means = mean_of(views);
  const at::Tensor variances = (mean_of(views.square()) - means.square()).clamp_min(0.0) / counts;
  return {.means = at::cat({views.mean(0, true), means}).abs().contiguous(),
          .noise = at::cat({at::zeros_like(means[0]).unsqueeze(0), variances.sqrt()}).contiguous()};
}

void SinogramFilter::warn_if_truncated(const at::Tensor& y) const {
  if (y.numel() == 0 || y.size(-1) < 4) {
    return;
  }
  const auto [means, noise] = mean_profiles(y);
  const auto cells = static_cast<std::size_t>(means.size(1));
  const double greatest = means[0].max().item<double>();
  double first = 0.0;
  double last = 0.0;
  for (std::int64_t k = 0; k < means.size(0); ++k) {
    const std::span profile(means.const_data_ptr<double>() + k * means.size(1), cells);
    const std::span error(noise.const_data_ptr<double>() + k * means.size(1), cells);
    // The square of a chord's length is nearly linear at the border of an object: extrapolated, it tells how far the
    // object goes on beyond the last cell. Up to two cells do not matter.
    const auto beyond = [&](std::size_t end, std::size_t two_before) {
      const double least = std::max((k == 0 ? 0.02 : 0.05) * greatest, 4.0 * error[end]);
      return profile[end] > least && 2.0 * profile[end] * profile[end] > profile[two_before] * profile[two_before]
                 ? profile[end]
                 : 0.0;
    };
    first = std::max(first, beyond(0, 2));
    last = std::max(last, beyond(cells - 1, cells - 3));
  }
  if (first > 0.0 || last > 0.0) {
    TORCH_WARN(
        "Tomography::fbp: the object reaches beyond the detector, where projections still have ",
        std::round(100.0 * std::max(first, last) / greatest),
        " % of their greatest value. The image is wrong, most of all towards the border; padding = "
        "extrapolate estimates what was not measured",
        (first > 0.0) != (last > 0.0) && !redundancy_.defined() ? ", and angles of a full turn would measure it" : "");
  }
}

/// The projections with as many cells again on both sides. With v the distance from the axis, p² is linear in v² for a
/// cylinder: the line through two groups of cells at the end of a projection, steep enough to end in the added cells.
at::Tensor SinogramFilter::extrapolated(const at::Tensor& y) const {
  const std::int64_t cells = y.size(-1);
  const std::int64_t group = std::clamp<std::int64_t>(cells / 2, 1, 4);
  const double middle = 0.5 * static_cast<double>(cells - 1);
  const auto side = [&](const at::Tensor& outward, double axis) {
    const at::Tensor squared_distance =
        (at::arange(2 * cells, at::TensorOptions().dtype(at::kDouble)) - axis).square().to(y.options());
    const auto mean_of = [&](const at::Tensor& t, std::int64_t groups_from_end) {
      return t.narrow(-1, cells - std::min(groups_from_end * group, cells), group).mean(-1, true);
    };
    const at::Tensor power = outward.square();
    const at::Tensor last = mean_of(power, 1);
    const at::Tensor distance = mean_of(squared_distance, 1);
    const at::Tensor slope = (mean_of(power, 2) - last) / (distance - mean_of(squared_distance, 2));
    const at::Tensor least_slope = last / (squared_distance.narrow(0, 2 * cells - 1, 1) - distance);
    const at::Tensor continued =
        last - at::maximum(slope, least_slope) * (squared_distance.narrow(0, cells, cells) - distance);
    const at::Tensor positive = continued > 0;
    return mean_of(outward, 1).sign() * at::where(positive, continued, 1.0).sqrt() * positive;
  };
  // Where the other half of the turn completes a side, nothing is to be added there.
  const auto before =
      redundancy_.defined() && scan_.shift < 0.0 ? at::zeros_like(y) : side(y.flip(-1), middle - scan_.shift).flip(-1);
  const auto after = redundancy_.defined() && scan_.shift > 0.0 ? at::zeros_like(y) : side(y, middle + scan_.shift);
  return at::cat({before, y, after}, -1);
}

at::Tensor SinogramFilter::operator()(const at::Tensor& y, const FbpOptions& options) const {
  if (angular_.missing > 0.0) {
    TORCH_WARN("Tomography::fbp: the angles leave out ", std::round(10.0 * angular_.missing) / 10.0, " of ", period_,
               " degrees. What only these directions show is missing from the image, and its values are too small; "
               "A_dagger, or a reconstruction with a prior, makes more of such a scan");
  }
  at::Tensor views = redundancy_.defined() ? y * redundancy_.to(y.options()) : y;
  std::int64_t first = 0;  // where the first cell of `detector_` is in the padded views
  std::int64_t farthest = detector_.detectors;
  if (options.padding == FbpPadding::Extrapolate) {
    views = extrapolated(views);
    first = scan_.detectors - added_before_;
    farthest += scan_.detectors;
  } else {
    warn_if_truncated(views);
    if (added_before_ > 0) {
      views = at::constant_pad_nd(views, {added_before_, 0});
    }
  }
  // Long enough that no cell sees another one both ways round.
  std::int64_t n = 64;
  while (n < 2 * farthest) {
    n *= 2;
  }
  const at::Tensor response =
      at::outer(at::tensor(angular_.weights, at::kDouble), ramp_filter(n, scan_.spacing, options.filter))
          .to(y.options());
  return at::fft_irfft(at::fft_rfft(views, n) * response, n).narrow(-1, first, detector_.detectors);
}

}  // namespace adjoin
