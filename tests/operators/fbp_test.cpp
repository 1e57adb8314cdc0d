// SPDX-License-Identifier: BSD-3-Clause
// Filtered backprojection of scans as scanners make them: a disc of value 1, whose projections are chords, must come
// out as 1 to 1 %, or a warning must say why it does not.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <string>
#include <vector>

#include "adjoin/operators/tomography/tomography.hpp"
#include "operators/tomography/sinogram_filter.hpp"

namespace adjoin::fbp_test {
namespace {

constexpr double radius = 38.0;

/// `count` angles from `first` in steps of `step`.
at::Tensor steps(double first, double step, std::int64_t count) {
  return first + step * at::arange(count, at::kDouble);
}

/// Angles with errors of standard deviation `sigma`.
at::Tensor noisy(const at::Tensor& angles, double sigma, std::uint64_t seed = 0) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return angles + sigma * at::randn(angles.sizes(), generator, at::kDouble);
}

at::Tensor random_angles(std::int64_t count, double range, std::uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return range * at::rand({count}, generator, at::kDouble);
}

struct Scan {
  std::string name;
  at::Tensor angles;
  TomographyOptions options = {.detectors = 128};
  /// Where the disc is, in pixels from the centre of the image.
  double u = 6.0;
  double v = -9.0;
  FbpOptions fbp = {};
  /// What the warning says, where the image cannot be right.
  std::string warning = {};
  std::array<std::int64_t, 2> image = {128, 128};
  at::ScalarType dtype = at::kFloat;
};

std::vector<Scan> scans() {
  const at::Tensor half_turn = steps(0, 1, 180);
  const at::Tensor turn = steps(0, 1, 360);
  const at::Tensor golden = steps(0, 180.0 * (std::sqrt(5.0) - 1.0) / 2.0, 233);
  // One half of the detector sees the whole disc, the other one 12 or 5 cells.
  const TomographyOptions right_half = {.detectors = 76, .shift = -26.0};
  const TomographyOptions left_half = {.detectors = 76, .shift = 33.0};
  const TomographyOptions narrow = {.detectors = 60};
  const FbpOptions extrapolate = {.padding = FbpPadding::Extrapolate};
  return {
      {"half a turn", half_turn},
      {"half a turn in double precision", half_turn, {.detectors = 128}, 6, -9, {}, {}, {128, 128}, at::kDouble},
      {"half a turn and its first direction again", steps(0, 1, 181)},
      {"a turn", turn},
      {"a turn and its first view again", steps(0, 1, 361)},
      {"descending", turn.flip(0)},
      {"in random order", half_turn.index_select(0, random_angles(180, 1, 3).argsort())},
      {"from -90 to 90", steps(-90, 1.5, 120)},
      {"from a hundred thousand degrees on", steps(1e5, 1.5, 120)},
      {"200 degrees", steps(0, 1, 200)},
      {"270 degrees", steps(0, 0.75, 360)},
      {"integers", half_turn.to(at::kLong)},
      {"single precision", at::linspace(0, 180, 801, at::kFloat).narrow(0, 0, 800)},
      {"two turns in single precision", at::linspace(0, 720, 801, at::kFloat).narrow(0, 0, 800)},
      {"two turns", steps(0, 0.9, 800)},
      {"two turns with 0.01 degrees of noise", noisy(steps(0, 1, 720), 0.01)},
      {"ten turns with 0.05 degrees of noise", noisy(steps(0, 3, 1200), 0.05)},
      {"361 views of a turn with 0.01 degrees of noise", noisy(steps(0, 1, 361), 0.01)},
      {"half a turn with 0.1 degrees of noise", noisy(half_turn, 0.1)},
      {"half a turn with jitter of a third of a step", noisy(half_turn, 0.3)},
      {"there and back", at::cat({half_turn, half_turn.flip(0)})},
      {"there and back with 0.02 degrees of noise", noisy(at::cat({half_turn, half_turn.flip(0)}), 0.02)},
      {"every view three times", half_turn.repeat_interleave(3)},
      {"every view three times, 0.001 degrees of noise", noisy(half_turn.repeat_interleave(3), 1e-3)},
      {"every view five times, 0.1 degrees of noise", noisy(steps(0, 2, 90).repeat_interleave(5), 0.1)},
      {"one view a hundred times", at::cat({half_turn, at::full({99}, 30.0, at::kDouble)})},
      {"steps of 0.25 degrees to 60, then of 1.25", at::cat({steps(0, 0.25, 240), steps(60, 1.25, 96)})},
      {"steps of 0.1 degrees to 20, then of 2", at::cat({steps(0, 0.1, 200), steps(20, 2, 80)})},
      {"steps that grow from 0.1 to 3 degrees", at::linspace(0.1, 3, 116, at::kDouble).cumsum(0)},
      {"steps even in the tangent", at::atan(at::linspace(-4, 4, 91, at::kDouble)).mul(90 / std::atan(4.0))},
      {"golden angles", golden},
      {"60 random angles", random_angles(60, 180, 1)},
      {"200 random angles of a turn", random_angles(200, 360, 2)},
      {"a turn of which 40 degrees are lost", at::cat({steps(0, 1, 100), steps(140, 1, 220)})},
      {"45 views", steps(0, 4, 45)},
      {"cells of half a pixel", half_turn, {.detectors = 256, .spacing = 0.5}},
      {"cells of 1.7 pixels", half_turn, {.detectors = 80, .spacing = 1.7}},
      {"axis 5.3 cells off the middle", half_turn, {.detectors = 128, .shift = 5.3}},
      {"a quarter of a cell off, a turn", turn, {.detectors = 128, .shift = 0.25}},
      {"wide picture", half_turn, {.detectors = 200}, 30, 5, {}, {}, {90, 200}},
      {"as many cells as cover the diagonal", half_turn, {}, 20, 15},
      {"right half of the beam", turn, right_half},
      {"right half of the beam, centred", turn, right_half, 0, 0},
      {"left half of the beam", turn, left_half},
      {"left half of the beam, 361 views, 0.01 degrees of noise", noisy(steps(0, 1, 361), 0.01), left_half},
      {"left half of the beam, three turns, 0.02 degrees of noise", noisy(steps(0, 2, 540), 0.02), left_half},
      {"right half of the beam, 400 random angles", random_angles(400, 360, 5), right_half},
      {"right half of the beam, extrapolated", turn, right_half, 6, -9, extrapolate},
      {"right half of the beam, half a turn", half_turn, right_half, 0, 0, {}, "beyond the detector"},
      {"narrow detector, extrapolated", half_turn, narrow, 0, 0, extrapolate},
      {"narrow detector, off the middle, extrapolated", half_turn, {.detectors = 62, .shift = -2.0}, 0, 0, extrapolate},
      {"wide detector, extrapolated", half_turn, {.detectors = 128}, 6, -9, extrapolate},
      {"narrow detector", half_turn, narrow, 0, 0, {}, "beyond the detector"},
      {"narrow detector on one side", half_turn, {.detectors = 90, .shift = 15.0}, 0, 0, {}, "a full turn"},
      {"half of the beam, 196 degrees, off the middle",
       random_angles(336, 196, 3),
       right_half,
       6,
       -9,
       {},
       "beyond the"},
      {"odd sizes", steps(0, 0.7, 257), {.detectors = 131}, 5, -4, {}, {}, {129, 127}},
      {"from -60 to 60", steps(-60, 1, 121), {.detectors = 128}, 0, 0, {}, "leave out 59"},
      {"two missing wedges",
       at::cat({steps(0, 1, 60), steps(80, 1, 60)}),
       {.detectors = 128},
       0,
       0,
       {},
       "leave out 60"},
      {"ten degrees lost, with noise",
       noisy(at::cat({steps(0, 1, 70), steps(80, 1, 100)}), 0.02),
       {.detectors = 128},
       0,
       0,
       {},
       "leave out 9.9"},
      {"half of the beam, 300 degrees", steps(0, 1, 300), right_half, 0, 0, {}, "beyond the detector"},
  };
}

at::Tensor chords(const Tomography& physics, const Scan& scan) {
  const auto [detectors, spacing, shift] = physics.options();
  const at::Tensor cells =
      (at::arange(detectors, at::kDouble) - 0.5 * static_cast<double>(detectors - 1) - shift) * spacing;
  const at::Tensor radians = at::tensor(physics.angles(), at::kDouble).unsqueeze(1) * (std::numbers::pi / 180.0);
  const at::Tensor s = cells - (scan.u * radians.cos() - scan.v * radians.sin());
  return 2.0 * (radius * radius - s.square()).clamp_min(0.0).sqrt();
}

struct Kept : c10::WarningHandler {
  std::string text;
  void process(const c10::Warning& warning) override { text += warning.msg(); }
};

TEST(Fbp, ADiscIsOneOrAWarningSaysWhyNot) {
  for (const Scan& scan : scans()) {
    SCOPED_TRACE(scan.name);
    const Tomography physics(scan.angles, scan.image, scan.options);
    const at::Tensor y = chords(physics, scan).to(scan.dtype).expand({1, 1, -1, -1});
    Kept warnings;
    at::Tensor image;
    {
      const c10::WarningUtils::WarningHandlerGuard guard(&warnings);
      image = physics.fbp(y, scan.fbp)[0][0].to(at::kDouble);
    }
    const auto middle = [](std::int64_t size) { return 0.5 * static_cast<double>(size - 1); };
    const at::Tensor u = at::arange(scan.image[1], at::kDouble) - middle(scan.image[1]) - scan.u;
    const at::Tensor v = at::arange(scan.image[0], at::kDouble).unsqueeze(1) - middle(scan.image[0]) - scan.v;
    const at::Tensor distance = (u.square() + v.square()).sqrt();
    const double inner = image.masked_select(distance < 0.5 * radius).mean().item<double>();
    const double outer =
        image.masked_select((distance > 0.6 * radius).logical_and(distance < 0.9 * radius)).mean().item<double>();
    if (scan.warning.empty()) {
      EXPECT_EQ(warnings.text, "");
      EXPECT_NEAR(inner, 1.0, 0.01);
      const bool seen = scan.options.detectors != 60 && scan.options.detectors != 62;
      EXPECT_NEAR(seen ? outer : 1.0, 1.0, 0.01);
    } else {
      EXPECT_NE(warnings.text.find(scan.warning), std::string::npos) << warnings.text;
      EXPECT_GT(std::abs(inner - 1.0), 0.01) << "the warning is false";
    }
  }
}

double sum(const std::vector<double>& weights) { return std::accumulate(weights.begin(), weights.end(), 0.0); }

TEST(Fbp, WeightsOfAllDirectionsAreTheCircle) {
  for (const Scan& scan : scans()) {
    const Tomography physics(scan.angles, scan.image);
    const AngularWeights half = angular_weights(physics.angles(), 180.0);
    EXPECT_NEAR(sum(half.weights), (180.0 - half.missing) * std::numbers::pi / 180.0, 1e-9) << scan.name;
    const AngularWeights whole = angular_weights(physics.angles(), 360.0);
    EXPECT_NEAR(sum(whole.weights), (360.0 - whole.missing) * std::numbers::pi / 180.0, 1e-9) << scan.name;
  }
}

TEST(Fbp, EvenAnglesHaveEqualWeights) {
  for (const at::Tensor& angles :
       {steps(0, 1, 180), steps(0, 1, 360), steps(7, 0.9, 800), steps(0, 1, 180).repeat({5})}) {
    const Tomography physics(angles, {8, 8});
    const double each = std::numbers::pi / static_cast<double>(angles.numel());
    for (const double weight : angular_weights(physics.angles(), 180.0).weights) {
      EXPECT_NEAR(weight, each, 1e-12);
    }
  }
}

TEST(Fbp, ViewsThatAgreeToWithinNoiseShareOneWeight) {
  const at::Tensor angles = noisy(steps(0, 1, 180).repeat_interleave(4), 1e-4);
  for (const double weight : angular_weights(Tomography(angles, {8, 8}).angles(), 180.0).weights) {
    EXPECT_NEAR(weight, std::numbers::pi / 720.0, 0.01 * std::numbers::pi / 720.0);
  }
}

TEST(Fbp, AnglesOfSinglePrecisionAreThoseOfDouble) {
  const at::Tensor angles = at::linspace(0, 720, 801, at::kDouble).narrow(0, 0, 800);
  const std::vector<double> exact = angular_weights(Tomography(angles, {8, 8}).angles(), 180.0).weights;
  const std::vector<double> rounded =
      angular_weights(Tomography(angles.to(at::kFloat), {8, 8}).angles(), 180.0).weights;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_NEAR(rounded[i], exact[i], 0.005 * exact[i]);
  }
}

TEST(Fbp, ScansOfAFewViewsHaveWeights) {
  EXPECT_NEAR(sum(angular_weights(std::vector{12.0}, 180.0).weights), std::numbers::pi, 1e-12);
  EXPECT_NEAR(sum(angular_weights(std::vector{12.0, 12.0, 12.0}, 180.0).weights), std::numbers::pi, 1e-12);
  for (const double weight : angular_weights(std::vector{0.0, 90.0}, 180.0).weights) {
    EXPECT_NEAR(weight, std::numbers::pi / 2.0, 1e-12);
  }
}

TEST(Fbp, PaddingIsNamed) {
  EXPECT_EQ(fbp_padding_from_string("zeros"), FbpPadding::Zeros);
  EXPECT_EQ(fbp_padding_from_string("extrapolate"), FbpPadding::Extrapolate);
  EXPECT_THROW(fbp_padding_from_string("wrap"), std::exception);
}

}  // namespace
}  // namespace adjoin::fbp_test
