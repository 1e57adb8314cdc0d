// SPDX-License-Identifier: BSD-3-Clause
// Moments of the noise models, and streams that repeat with their seeds.
#include "adjoin/physics/noise.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "adjoin/core/errors.hpp"
#include "dense.hpp"

namespace adjoin::noise_test {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

double mean_of(const at::Tensor& t) { return t.mean().item<double>(); }
double variance_of(const at::Tensor& t) { return t.var().item<double>(); }

template <class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no InvalidArgument";
}

}  // namespace

TEST(GaussianNoise, HasTheGivenStandardDeviation) {
  const at::Tensor n = gaussian_noise(0.5, 1)(at::zeros({200000}, at::kDouble));
  EXPECT_NEAR(mean_of(n), 0.0, 0.01);
  EXPECT_NEAR(variance_of(n), 0.25, 0.01);
}

TEST(GaussianNoise, HasItInEachPartOfComplexMeasurements) {
  const at::Tensor n = gaussian_noise(0.5, 1)(at::zeros({200000}, at::kComplexDouble));
  EXPECT_NEAR(variance_of(at::real(n)), 0.25, 0.01);
  EXPECT_NEAR(variance_of(at::imag(n)), 0.25, 0.01);
  EXPECT_NEAR(mean_of(at::real(n) * at::imag(n)), 0.0, 0.01);
}

TEST(GaussianNoise, KeepsShapeAndDtypeAndGradients) {
  const at::Tensor y = at::ones({2, 3}, at::kFloat).requires_grad_();
  const at::Tensor noisy = gaussian_noise(0.1, 1)(y);
  EXPECT_EQ(noisy.sizes(), y.sizes());
  EXPECT_EQ(noisy.scalar_type(), at::kFloat);
  noisy.sum().backward();
  EXPECT_TRUE(y.grad().equal(at::ones({2, 3})));
}

TEST(GaussianNoise, EqualSeedsGiveEqualStreamsThatGoOn) {
  const at::Tensor y = at::zeros({100});
  const NoiseModel a = gaussian_noise(1.0, 7);
  const NoiseModel b = gaussian_noise(1.0, 7);
  const at::Tensor first = a(y);
  EXPECT_TRUE(first.equal(b(y)));
  const at::Tensor second = a(y);
  EXPECT_FALSE(second.equal(first));
  EXPECT_TRUE(second.equal(b(y)));
  EXPECT_FALSE(first.equal(gaussian_noise(1.0, 8)(y)));
}

TEST(GaussianNoise, ASeededStreamIgnoresOtherDrawsAndAnUnseededOneIsTheDefault) {
  const at::Tensor y = at::zeros({100});
  at::manual_seed(3);
  const at::Tensor seeded = gaussian_noise(1.0, 7)(y);
  const at::Tensor from_default = gaussian_noise(1.0)(y);
  at::manual_seed(3);
  EXPECT_TRUE(gaussian_noise(1.0)(y).equal(from_default));
  EXPECT_TRUE(gaussian_noise(1.0, 7)(y).equal(seeded));
}

TEST(GaussianNoise, RefusesWhatIsNotAStandardDeviation) {
  for (const double sigma : {nan, infinity, -0.1}) {
    const std::string message = message_of([&] { gaussian_noise(sigma); });
    EXPECT_NE(message.find("sigma must be finite and at least 0, got"), std::string::npos) << message;
  }
}

TEST(PoissonNoise, HasMeanAndVarianceOfScaledCounts) {
  const at::Tensor noisy = poisson_noise(0.1, 1)(at::full({200000}, 2.0, at::kDouble));
  EXPECT_NEAR(mean_of(noisy), 2.0, 0.01);
  EXPECT_NEAR(variance_of(noisy), 0.2, 0.01);
  testing::expect_close(noisy, at::round(noisy / 0.1) * 0.1, 1e-12);
}

TEST(PoissonNoise, EqualSeedsGiveEqualStreams) {
  const at::Tensor y = at::full({100}, 5.0);
  EXPECT_TRUE(poisson_noise(1.0, 7)(y).equal(poisson_noise(1.0, 7)(y)));
}

TEST(PoissonNoise, ClipsNegativeMeasurementsOrRefusesThem) {
  const at::Tensor y = at::full({4}, -1.0);
  EXPECT_TRUE(poisson_noise(1.0, 1)(y).equal(at::zeros({4})));
  EXPECT_THROW(poisson_noise(1.0, 1, false)(y), InvalidArgument);
  EXPECT_NO_THROW(poisson_noise(1.0, 1, false)(-y));
}

TEST(PoissonNoise, RefusesComplexMeasurementsAndBadGains) {
  EXPECT_THROW(poisson_noise(1.0)(at::ones({4}, at::kComplexFloat)), InvalidArgument);
  for (const double gain : {nan, infinity, -1.0, 0.0}) {
    const std::string message = message_of([&] { poisson_noise(gain); });
    EXPECT_NE(message.find("gain must be finite and above 0, got"), std::string::npos) << message;
  }
}

TEST(UniformNoise, FillsItsInterval) {
  const at::Tensor n = uniform_noise(0.5, 1)(at::zeros({200000}, at::kDouble));
  EXPECT_GE(n.min().item<double>(), -0.5);
  EXPECT_LE(n.max().item<double>(), 0.5);
  EXPECT_NEAR(mean_of(n), 0.0, 0.01);
  EXPECT_NEAR(variance_of(n), 0.25 / 3.0, 0.005);
}

TEST(UniformNoise, OfWidthZeroChangesNothingAndBadWidthsAreRefused) {
  const at::Tensor y = at::ones({4});
  EXPECT_TRUE(uniform_noise(0.0, 1)(y).equal(y));
  for (const double a : {nan, infinity, -1.0}) {
    const std::string message = message_of([&] { uniform_noise(a); });
    EXPECT_NE(message.find("a must be finite and at least 0, got"), std::string::npos) << message;
  }
}

TEST(RandomStream, GoesOnWhereAnotherOneIs) {
  const GaussianNoise noise = gaussian_noise(1.0, 5);
  const at::Tensor y = at::zeros({8}, at::kDouble);
  EXPECT_FALSE(noise.stream.state().has_value());
  (void)noise(y);
  GaussianNoise again = gaussian_noise(1.0, 5);
  again.stream.set_state(*noise.stream.state());
  const at::Tensor next = noise(y);
  EXPECT_TRUE(again(y).equal(next));
  EXPECT_FALSE(gaussian_noise(1.0, 5)(y).equal(next));
  EXPECT_FALSE(gaussian_noise(1.0).stream.state().has_value());
}

}  // namespace adjoin::noise_test
