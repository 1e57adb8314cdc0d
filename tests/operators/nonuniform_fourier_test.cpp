// SPDX-License-Identifier: BSD-3-Clause
// Fourier sums against their definition, their normal operator, and stacks of them.
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numbers>
#include <numeric>
#include <random>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/operators/nufft/density_compensation.hpp"
#include "adjoin/operators/split.hpp"
#include "adjoin/physics/stacked.hpp"
#include "operators/specimens.hpp"

namespace adjoin {
namespace {

using specimens::drawn;
using Sizes = std::vector<std::int64_t>;

/// (samples, pixels): e^{−2πi k_j·(n − N / 2)} / √ΠN.
at::Tensor dense(const at::Tensor& trajectory, const Sizes& sizes) {
  const at::Tensor points = trajectory.flatten(0, -2).to(at::kDouble);
  at::Tensor matrix = at::ones({points.size(0), 1}, at::kComplexDouble);
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    const std::int64_t n = sizes[axis];
    const at::Tensor angles = at::outer(points.select(1, static_cast<std::int64_t>(axis)),
                                        at::arange(n, at::kDouble) - static_cast<double>(n / 2)) *
                              (-2.0 * std::numbers::pi);
    const at::Tensor factors = at::complex(angles.cos(), angles.sin()) / std::sqrt(static_cast<double>(n));
    matrix = (matrix.unsqueeze(2) * factors.unsqueeze(1)).flatten(1);
  }
  return matrix;
}

at::Tensor exact(const at::Tensor& trajectory, const Sizes& sizes, const at::Tensor& x) {
  const at::Tensor flat = x.to(at::kComplexDouble).flatten(2);
  at::Tensor y = at::matmul(flat, dense(trajectory, sizes).t());
  Sizes shape = {x.size(0), x.size(1)};
  const auto samples = trajectory.sizes().slice(0, trajectory.sizes().size() - 1);
  shape.insert(shape.end(), samples.begin(), samples.end());
  return y.view(shape);
}

double relative(const at::Tensor& got, const at::Tensor& expected) {
  return adjoin::norm(got.to(expected.scalar_type()) - expected) / adjoin::norm(expected);
}

at::Tensor frequencies(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::remainder(drawn(sizes, seed), 1.0) - 0.5;
}

/// A spiral of shots that covers the disc of radius ½, (shots, samples, 2).
at::Tensor spiral(std::int64_t shots, std::int64_t samples) {
  const at::Tensor radius = at::linspace(0.0, 0.5, samples, at::kDouble);
  const at::Tensor angle =
      radius * 40.0 + at::arange(shots, at::kDouble).unsqueeze(1) * (2 * std::numbers::pi / static_cast<double>(shots));
  return at::stack({radius * angle.cos(), radius * angle.sin()}, -1);
}

/// Skips where FINUFFT, which is optional, is not installed.
class WithFinufft : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_finufft()) {
      GTEST_SKIP() << "FINUFFT is not installed";
    }
  }
};
class NonuniformFourierTest : public WithFinufft {};
class DensityCompensationTest : public WithFinufft {};

TEST_F(NonuniformFourierTest, IsTheSumToTheAccuracyAskedFor) {
  std::mt19937 random(7);
  const auto between = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (int trial = 0; trial < 200; ++trial) {
    Sizes sizes;
    const std::int64_t axes = between(2, 3);
    for (std::int64_t axis = 0; axis < axes; ++axis) {
      sizes.push_back(between(1, axes == 2 ? 24 : 9));
    }
    at::Tensor trajectory = frequencies({trial % 7 == 0 ? 1 : between(1, 40), axes}, 1000 + trial);
    if (trial % 5 == 0) {
      trajectory[0].fill_(trial % 2 == 0 ? 0.5 : -0.5);
    }
    if (trial % 3 == 0) {
      trajectory = at::cat({trajectory, trajectory});
    }
    const double eps = std::pow(10.0, -static_cast<double>(between(2, 12)));
    const NonuniformFourier op(trajectory, sizes, {.eps = eps});
    Sizes shape = {between(1, 2), between(1, 2)};
    shape.insert(shape.end(), sizes.begin(), sizes.end());
    const at::Tensor x = drawn(shape, 2000 + trial, at::kComplexDouble);
    const at::Tensor y = op.A(x);
    const at::Tensor expected = exact(trajectory, sizes, x);
    // Of few pixels and samples the sum may be small by chance; the accuracy is relative to the image's size.
    const auto items = static_cast<double>(x.size(0) * x.size(1));
    const auto samples = static_cast<double>(trajectory.size(0));
    const double scale =
        std::max(adjoin::norm(expected), adjoin::norm(x) * std::sqrt(samples * items / static_cast<double>(x.numel())));
    EXPECT_LE(adjoin::norm(y - expected), 3.0 * eps * scale) << "trial " << trial << " of " << at::IntArrayRef(sizes);
    EXPECT_LE(op.adjointness_test(x, 5), 1e-12);
  }
}

TEST_F(NonuniformFourierTest, AgreesWithTheCentredTransformOnTheGrid) {
  for (const std::int64_t n : {6, 7}) {
    const at::Tensor steps = (at::arange(n, at::kDouble) - static_cast<double>(n / 2)) / static_cast<double>(n);
    const auto grid = at::meshgrid({steps, steps}, "ij");
    const NonuniformFourier op(at::stack(at::TensorList(grid), -1), {n, n}, {.eps = 1e-12});
    const at::Tensor x = drawn({1, 1, n, n}, 3, at::kComplexDouble);
    const MultiCoilMRI cartesian(at::Tensor(), at::ones({1, 1, n, n}, at::kComplexDouble));
    EXPECT_LT(relative(op.A(x), cartesian.A(x)), 1e-11);
    EXPECT_LT(relative(op.A_adjoint_A(x), x), 1e-11);
  }
}

TEST_F(NonuniformFourierTest, TakesOtherUnits) {
  const at::Tensor k = frequencies({9, 2}, 1);
  const at::Tensor x = drawn({1, 1, 10, 8}, 2);
  const at::Tensor y = NonuniformFourier(k, {10, 8}).A(x);
  const at::Tensor sizes = at::tensor({10.0, 8.0}, at::kDouble);
  EXPECT_LT(
      relative(
          NonuniformFourier(k * (2 * std::numbers::pi), {10, 8}, {.units = FrequencyUnits::radians_per_pixel}).A(x), y),
      1e-6);
  EXPECT_LT(relative(NonuniformFourier(k * sizes, {10, 8}, {.units = FrequencyUnits::cycles_per_fov}).A(x), y), 1e-6);
  EXPECT_EQ(frequency_units_from_string("cycles_per_fov"), FrequencyUnits::cycles_per_fov);
  EXPECT_THROW(frequency_units_from_string("hertz"), InvalidArgument);
}

TEST_F(NonuniformFourierTest, RefusesWhatDoesNotFit) {
  const at::Tensor k = frequencies({9, 2}, 1);
  EXPECT_THROW(NonuniformFourier(k, {8}), InvalidArgument);
  EXPECT_THROW(NonuniformFourier(k, {8, 0}), InvalidArgument);
  EXPECT_THROW(NonuniformFourier(k, {4, 8, 8}), InvalidArgument);
  EXPECT_THROW(NonuniformFourier(k * 10.0, {8, 8}), InvalidArgument);
  EXPECT_THROW(NonuniformFourier(k * NAN, {8, 8}), InvalidArgument);
  EXPECT_THROW(NonuniformFourier(at::Tensor(), {8, 8}), InvalidArgument);
  EXPECT_THROW(NonuniformFourier(k.to(at::kComplexDouble), {8, 8}), InvalidArgument);
  EXPECT_THROW(NonuniformFourier(k, {8, 8}, {.eps = 0.0}), InvalidArgument);
  const NonuniformFourier op(k, {8, 8});
  EXPECT_THROW(op.A(drawn({1, 1, 8, 9}, 1)), InvalidArgument);
  EXPECT_THROW(op.A(drawn({8, 8}, 1)), InvalidArgument);
  EXPECT_THROW(op.A(at::ones({1, 1, 8, 8}, at::kLong)), InvalidArgument);
  EXPECT_THROW(op.A_adjoint(drawn({1, 1, 8}, 1, at::kComplexDouble)), InvalidArgument);
  EXPECT_THROW(op.A_adjoint(drawn({1, 1, 9}, 1)), InvalidArgument);
}

struct NormalCase {
  Sizes sizes;
  Sizes samples;
};

class NufftNormal : public WithFinufft, public ::testing::WithParamInterface<NormalCase> {};

TEST_P(NufftNormal, IsAAndThenItsAdjoint) {
  const auto& [sizes, samples] = GetParam();
  Sizes points = samples;
  points.push_back(static_cast<std::int64_t>(sizes.size()));
  const at::Tensor k = frequencies(points, 11);
  for (const auto dtype : {at::kComplexFloat, at::kComplexDouble, at::kDouble}) {
    const double eps = dtype == at::kComplexFloat ? 1e-6 : 1e-11;
    const NonuniformFourier op(k, sizes, {.eps = eps});
    Sizes shape = {2, 3};
    shape.insert(shape.end(), sizes.begin(), sizes.end());
    const at::Tensor x = drawn(shape, 12, dtype);
    const at::Tensor expected = op.A_adjoint(op.A(x));
    EXPECT_LT(relative(op.A_adjoint_A(x), expected), 10 * eps);
    const at::Tensor leaf = x.clone().requires_grad_();
    EXPECT_LT(relative(op.A_adjoint_A(leaf).detach(), expected), 10 * eps);
  }
}

TEST_P(NufftNormal, GoesThroughCoilMapsAndWeights) {
  const auto& [sizes, samples] = GetParam();
  Sizes points = samples;
  points.push_back(static_cast<std::int64_t>(sizes.size()));
  const at::Tensor k = frequencies(points, 21);
  for (const std::int64_t batch : {1, 2}) {
    Sizes shape = {batch, 3};
    shape.insert(shape.end(), sizes.begin(), sizes.end());
    const at::Tensor maps = drawn(shape, 22, at::kComplexDouble);
    const NonCartesianMRI op(k, maps, {.eps = 1e-11, .weights = drawn(samples, 23).abs() + 0.5});
    shape = {2, 1};
    shape.insert(shape.end(), sizes.begin(), sizes.end());
    const at::Tensor x = drawn(shape, 24, at::kComplexDouble);
    EXPECT_LT(op.adjointness_test(x), 1e-12);
    EXPECT_LT(relative(op.A_adjoint_A(x), op.A_adjoint(op.A(x))), 1e-10);
    const at::Tensor channels = at::cat({at::real(x), at::imag(x)}, 1);
    EXPECT_LT(op.adjointness_test(channels), 1e-12);
    const at::Tensor z = op.A_adjoint_A(channels);
    EXPECT_LT(relative(at::complex(z.select(1, 0), z.select(1, 1)).unsqueeze(1), op.A_adjoint_A(x)), 1e-12);
    const at::Tensor y = op.A(channels);
    EXPECT_LT(relative(at::complex(y.select(1, 0), y.select(1, 1)), op.A(x)), 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(OfAllKinds, NufftNormal,
                         ::testing::Values(NormalCase{{12, 10}, {50}}, NormalCase{{7, 13}, {4, 20}},
                                           NormalCase{{1, 9}, {30}}, NormalCase{{5, 6, 7}, {40}},
                                           NormalCase{{4, 3, 8}, {3, 2, 10}}, NormalCase{{32, 70}, {100}}));

/// Stacks whose operators fuse, and one whose operators have nothing in common.
std::vector<std::vector<LinearPhysicsPtr>> stacks() {
  std::vector<std::vector<LinearPhysicsPtr>> all(4);
  const at::Tensor k = frequencies({3, 8, 2}, 1);
  const at::Tensor maps = drawn({1, 2, 10, 9}, 2, at::kComplexDouble);
  for (std::uint64_t i = 0; i < 3; ++i) {
    const at::Tensor own = frequencies({static_cast<std::int64_t>(5 + i), 2}, 10 + i);
    const at::Tensor own_maps = drawn({1, 1 + static_cast<std::int64_t>(i), 10, 9}, 20 + i, at::kComplexDouble);
    all[0].push_back(std::make_shared<NonuniformFourier>(own, Sizes{10, 9}, NonuniformFourierOptions{.eps = 1e-11}));
    all[1].push_back(std::make_shared<NonCartesianMRI>(
        k, own_maps, NonCartesianMRIOptions{.eps = 1e-11, .weights = drawn({3, 1}, 4).abs()}));
    all[2].push_back(std::make_shared<NonCartesianMRI>(
        own, maps, NonCartesianMRIOptions{.eps = 1e-11, .weights = i == 1 ? drawn({6}, 5).abs() : at::Tensor()}));
    all[3].push_back(std::make_shared<NonCartesianMRI>(own, own_maps, NonCartesianMRIOptions{.eps = 1e-11}));
  }
  return all;
}

TEST_F(NonuniformFourierTest, StacksEqualTheirOperators) {
  for (const auto& operators : stacks()) {
    const StackedLinearPhysics stack(operators);
    const at::Tensor x = drawn({2, 1, 10, 9}, 30, at::kComplexDouble);
    const TensorList y = stack.A(x);
    at::Tensor adjoint = at::zeros_like(x);
    at::Tensor normal = at::zeros_like(x);
    for (std::size_t i = 0; i < operators.size(); ++i) {
      EXPECT_LT(relative(y[i], operators[i]->A(x)), 1e-10);
      adjoint += operators[i]->A_adjoint(y[i]);
      normal += operators[i]->A_adjoint_A(x);
    }
    EXPECT_LT(relative(stack.A_adjoint(y), adjoint), 1e-10);
    EXPECT_LT(relative(stack.A_adjoint_A(x), normal), 1e-10);
  }
}

TEST_F(NonuniformFourierTest, WeightsThatAreNumbersGoThroughTheConvolution) {
  const at::Tensor x = drawn({2, 1, 10, 9}, 30, at::kComplexDouble);
  for (const auto& operators : stacks()) {
    const StackedLinearPhysics stack(operators);
    for (const std::vector<double>& numbers : {std::vector<double>{0.5, 2.0, 0.0}, {1.0, 1.0, 1.0}, {1.0, -2.0, 3.0}}) {
      TensorList weights;
      at::Tensor expected = at::zeros_like(x);
      for (std::size_t i = 0; i < operators.size(); ++i) {
        weights.push_back(at::scalar_tensor(numbers[i], at::kDouble));
        expected += numbers[i] * operators[i]->A_adjoint_A(x);
      }
      EXPECT_LT(relative(stack.A_adjoint_W_A(x, weights), expected), 1e-10);
    }
  }
}

TEST_F(NonuniformFourierTest, TheNormalOperatorTakesASpectrumThatWasKept) {
  const at::Tensor k = frequencies({4, 15, 2}, 1);
  const at::Tensor maps = drawn({1, 3, 9, 10}, 2, at::kComplexDouble);
  const at::Tensor weights = drawn({4, 1}, 3).abs() + 0.1;
  const at::Tensor x = drawn({1, 1, 9, 10}, 4, at::kComplexDouble);
  const NonCartesianMRI op(k, maps, {.eps = 1e-11, .weights = weights});
  const at::Tensor spectrum = op.normal_spectrum();
  EXPECT_EQ(spectrum.sizes(), (Sizes{2, 2, 9, 10}));
  EXPECT_FALSE(op.given_spectrum().defined());
  // Of another operator's its own is computed no more.
  for (const double factor : {1.0, 2.0}) {
    NonCartesianMRI kept(k, maps, {.eps = 1e-11, .weights = weights, .normal_spectrum = factor * spectrum});
    EXPECT_LT(relative(kept.A_adjoint_A(x), factor * op.A_adjoint_A(x)), 1e-10);
    EXPECT_LT(relative(kept.A_adjoint_A(x.to(at::kComplexFloat)), factor * op.A_adjoint_A(x)), 1e-5);
    EXPECT_LT(relative(kept.A(x), op.A(x)), 1e-12);
    const StackedLinearPhysics coils(split(kept, 3));
    EXPECT_LT(relative(coils.A_adjoint_A(x), factor * op.A_adjoint_A(x)), 1e-10);
    kept.update({{"trajectory", 0.5 * k}});
    EXPECT_FALSE(kept.given_spectrum().defined());
    EXPECT_LT(relative(kept.A_adjoint_A(x), kept.A_adjoint(kept.A(x))), 1e-10);
  }
  for (const at::Tensor& wrong : {spectrum[0], spectrum.to(at::kFloat), spectrum.to(at::kComplexDouble)}) {
    EXPECT_THROW(NonCartesianMRI(k, maps, {.normal_spectrum = wrong}), InvalidArgument);
  }
}

TEST_F(NonuniformFourierTest, FindsTheSolutionOfMinimumNorm) {
  const at::Tensor k = frequencies({20, 2}, 1);
  const NonuniformFourier op(k, {8, 8});
  const at::Tensor y = drawn({1, 1, 20}, 2, at::kComplexDouble);
  const at::Tensor expected = at::matmul(at::linalg_pinv(dense(k, {8, 8})), y.view({20, 1})).view({1, 1, 8, 8});
  EXPECT_LT(relative(op.A_dagger(y, {.solver = Solver::LSQR, .max_iter = 200, .tol = 1e-12}), expected), 1e-4);
  EXPECT_LT(relative(op.A_dagger(y, {.max_iter = 200, .tol = 1e-5}), expected), 1e-2);
}

TEST_F(NonuniformFourierTest, SplitsIntoShotsAndCoils) {
  const at::Tensor k = frequencies({7, 5, 2}, 1);
  const at::Tensor maps = drawn({1, 3, 8, 8}, 2, at::kComplexDouble);
  const at::Tensor weights = drawn({7, 5}, 3).abs();
  const at::Tensor x = drawn({1, 1, 8, 8}, 4, at::kComplexDouble);
  const NonuniformFourier sums(k, {8, 8});
  const auto shots = split(sums, 3);
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_LT(relative(shots[i]->A(x), sums.A(x).slice(2, i, {}, 3)), 1e-6);
  }
  const NonCartesianMRI mri(k, maps, {.weights = weights});
  const at::Tensor y = mri.A(x);
  const auto coils = split(mri, 2, SplitBy::coil);
  EXPECT_LT(relative(coils[0]->A(x), y.slice(1, 0, 2)), 1e-6);
  EXPECT_LT(relative(coils[1]->A(x), y.slice(1, 2, 3)), 1e-6);
  const auto parts = split(mri, 4, SplitBy::shot);
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_LT(relative(parts[i]->A(x), y.slice(2, i, {}, 4)), 1e-6);
  }
  EXPECT_THROW(split(mri, 4, SplitBy::coil), InvalidArgument);
  EXPECT_THROW(split(mri, 8, SplitBy::shot), InvalidArgument);
  EXPECT_THROW(split(sums, 0), InvalidArgument);
}

TEST_F(DensityCompensationTest, IsOneOnTheGrid) {
  const at::Tensor steps = (at::arange(16, at::kDouble) - 8.0) / 16.0;
  const auto grid = at::meshgrid({steps, steps}, "ij");
  const at::Tensor weights = density_compensation(at::stack(at::TensorList(grid), -1), {16, 16});
  EXPECT_EQ(weights.sizes(), (Sizes{16, 16}));
  EXPECT_LT((weights - 1.0).abs().max().item<double>(), 1e-6);
}

TEST_F(DensityCompensationTest, BringsTheAdjointNearTheInverse) {
  const std::int64_t n = 32;
  const at::Tensor k = spiral(24, 400);
  const at::Tensor weights = density_compensation(k, {n, n});
  const NonuniformFourier op(k, {n, n});
  // A smooth image, which frequencies within the disc tell all about.
  const at::Tensor r = at::arange(n, at::kDouble) - n / 2.0;
  const at::Tensor bump = (r.square() / -32.0).exp();
  const at::Tensor x = at::outer(bump, bump).view({1, 1, n, n});
  const at::Tensor plain = at::real(op.A_adjoint(op.A(x)));
  const at::Tensor compensated = at::real(op.A_adjoint(op.A(x) * weights));
  EXPECT_LT(relative(compensated, x), 0.05);
  EXPECT_GT(relative(plain, x), 1.0);
}

}  // namespace
}  // namespace adjoin
