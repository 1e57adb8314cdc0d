// SPDX-License-Identifier: BSD-3-Clause
// Maps of known coils, and matrices that whiten and compress.
#include "adjoin/operators/mri/coil_maps.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/operators/mri/coil_compression.hpp"
#include "operators/specimens.hpp"

namespace adjoin {
namespace {

using specimens::drawn;

/// Smooth maps (coils, H, W) or (coils, D, H, W) with Σ |s|² = 1 and the first coil's phase zero.
at::Tensor smooth_maps(std::int64_t coils, const std::vector<std::int64_t>& sizes) {
  std::vector<at::Tensor> steps;
  for (const std::int64_t n : sizes) {
    steps.push_back(at::linspace(-1.0, 1.0, n, at::kDouble));
  }
  const auto grid = at::meshgrid(steps, "ij");
  std::vector<at::Tensor> maps;
  for (std::int64_t c = 0; c < coils; ++c) {
    const double turn = 6.3 * static_cast<double>(c) / static_cast<double>(coils);
    at::Tensor distance = (grid[0] - std::cos(turn)).square() + (grid[1] - std::sin(turn)).square();
    if (grid.size() == 3) {
      distance = distance + (grid[2] - 0.3 * std::cos(2 * turn)).square();
    }
    maps.push_back(at::polar((-0.5 * distance).exp(), grid[0] * std::sin(turn) + grid[1] * 0.5 * std::cos(turn)));
  }
  const at::Tensor all = at::stack(maps);
  const at::Tensor unit = all / root_sum_of_squares(all);
  return unit * (unit[0].conj() / unit[0].abs());
}

/// An ellipse with holes, and where it is not zero.
at::Tensor phantom(const std::vector<std::int64_t>& sizes) {
  std::vector<at::Tensor> steps;
  for (const std::int64_t n : sizes) {
    steps.push_back(at::linspace(-1.0, 1.0, n, at::kDouble));
  }
  const auto grid = at::meshgrid(steps, "ij");
  at::Tensor radius = grid[0].square() + 1.5 * grid[1].square();
  if (grid.size() == 3) {
    radius = radius + 1.3 * grid[2].square();
  }
  return (radius < 0.6).to(at::kDouble) * (1.0 + 0.5 * (7.0 * grid[0]).sin() * (5.0 * grid[1]).cos());
}

at::Tensor kspace_of(const at::Tensor& coil_images) {
  std::vector<std::int64_t> axes;
  for (std::int64_t axis = 1; axis < coil_images.dim(); ++axis) {
    axes.push_back(axis);
  }
  return at::fft_fftshift(at::fft_fftn(at::fft_ifftshift(coil_images, axes), {}, axes, "ortho"), axes);
}

/// How much of the coil images is outside of what the maps (sets, N, image) can explain.
double projection_error(const at::Tensor& maps, const at::Tensor& coil_images) {
  // The sets are orthonormal at each pixel.
  const at::Tensor own = maps.to(coil_images.scalar_type());
  const at::Tensor parts = (own.conj() * coil_images).sum(1, true);
  return adjoin::norm(coil_images - (own * parts).sum(0)) / adjoin::norm(coil_images);
}

TEST(CoilMaps, EspiritFindsTheMapsThatMadeTheData) {
  for (const std::vector<std::int64_t>& sizes : {std::vector<std::int64_t>{64, 64}, {61, 48}, {24, 25, 26}}) {
    const bool volume = sizes.size() == 3;
    const at::Tensor truth = smooth_maps(volume ? 4 : 6, sizes);
    const at::Tensor image = phantom(sizes);
    const at::Tensor maps =
        espirit_maps(kspace_of(truth * image), {.calibration = volume ? 12 : 24, .kernel = volume ? 4 : 6});
    EXPECT_EQ(maps.size(0), 1);
    EXPECT_LT(projection_error(maps, truth * image), 0.01);
    const at::Tensor inside = image > 0.2;
    EXPECT_LT(((maps[0] - truth) * inside).abs().max().item<double>(), 0.1);
    EXPECT_LT(adjoin::norm((maps[0] - truth) * inside) / adjoin::norm(truth * inside), 0.02);
    const at::Tensor energy = maps[0].abs().square().sum(0);
    EXPECT_TRUE(((energy - 1.0).abs() < 1e-6).logical_or(energy == 0.0).all().item<bool>());
  }
}

TEST(CoilMaps, EspiritTakesNoiseAndSinglePrecision) {
  const at::Tensor truth = smooth_maps(8, {64, 64});
  const at::Tensor images = truth * phantom({64, 64});
  const at::Tensor noise = drawn({8, 64, 64}, 3, at::kComplexDouble);
  const at::Tensor kspace = kspace_of(images) + noise * (0.02 * adjoin::norm(images) / adjoin::norm(noise));
  const at::Tensor maps = espirit_maps(kspace.to(at::kComplexFloat));
  EXPECT_EQ(maps.scalar_type(), at::kComplexFloat);
  EXPECT_LT(projection_error(maps, images), 0.02);
}

TEST(CoilMaps, TwoSetsExplainWhatFolds) {
  // The field of view is half of the object's: two places, with unlike maps, on one pixel.
  const at::Tensor truth = smooth_maps(8, {128, 64});
  const at::Tensor images = truth * phantom({128, 64});
  const at::Tensor folded = images.slice(1, 0, 64) + images.slice(1, 64, 128);
  const at::Tensor kspace = kspace_of(folded);
  const double by_two = projection_error(espirit_maps(kspace, {.sets = 2}), folded);
  EXPECT_LT(by_two, 0.02);
  EXPECT_GT(projection_error(espirit_maps(kspace), folded), 2.5 * by_two);
}

TEST(CoilMaps, PowerIterationsComeToTheEigenvectors) {
  const at::Tensor images = smooth_maps(6, {48, 40}) * phantom({48, 40});
  const at::Tensor kspace = kspace_of(images);
  for (const std::int64_t sets : {1, 2}) {
    const at::Tensor exact = espirit_maps(kspace, {.sets = sets});
    const auto apart = [&](std::int64_t steps) {
      const at::Tensor inside = phantom({48, 40}) > 0.2;
      return adjoin::norm((espirit_maps(kspace, {.sets = sets, .power_iterations = steps}) - exact)[0] * inside);
    };
    EXPECT_LT(apart(2000), 1e-6 * adjoin::norm(exact));
    EXPECT_GT(apart(1), 1e-3 * adjoin::norm(exact));
  }
  EXPECT_THROW(espirit_maps(kspace, {.power_iterations = -1}), InvalidArgument);
}

TEST(CoilMaps, AdaptiveCombinationFindsTheMaps) {
  const at::Tensor truth = smooth_maps(6, {64, 64});
  const at::Tensor image = phantom({64, 64});
  const at::Tensor maps = adaptive_maps(truth * image, 5);
  const at::Tensor inside = image > 0.2;
  EXPECT_LT(adjoin::norm((maps - truth) * inside) / adjoin::norm(truth * inside), 0.05);
  EXPECT_LT(projection_error(maps.unsqueeze(0), truth * image), 0.03);
  const at::Tensor volume = smooth_maps(3, {12, 14, 16}) * phantom({12, 14, 16});
  EXPECT_LT(projection_error(adaptive_maps(volume, 3).unsqueeze(0), volume), 0.1);
}

TEST(CoilMaps, PrewhiteningMakesTheCovarianceTheIdentity) {
  const at::Tensor mixing = drawn({4, 4}, 1, at::kComplexDouble);
  const at::Tensor noise = mix_coils(mixing, drawn({4, 100, 50}, 2, at::kComplexDouble));
  const at::Tensor white = mix_coils(prewhitening_matrix(noise), noise).flatten(1);
  const at::Tensor covariance = at::mm(white, white.t().conj()) / 5000.0;
  EXPECT_LT(adjoin::norm(covariance - at::eye(4, at::kComplexDouble)), 1e-10);
  EXPECT_THROW(prewhitening_matrix(noise.slice(1, 0, 1).slice(2, 0, 3)), InvalidArgument);
}

TEST(CoilMaps, CompressionKeepsTheStrongestSingularVectors) {
  const at::Tensor data = mix_coils(drawn({6, 3}, 1, at::kComplexDouble), drawn({3, 40, 5}, 2, at::kComplexDouble));
  const at::Tensor three = compression_matrix(data, 3);
  EXPECT_LT(adjoin::norm(at::mm(three, three.t().conj()) - at::eye(3, at::kComplexDouble)), 1e-10);
  EXPECT_NEAR(adjoin::norm(mix_coils(three, data)), adjoin::norm(data), 1e-8 * adjoin::norm(data));
  const at::Tensor values = at::linalg_svdvals(data.flatten(1));
  EXPECT_NEAR(adjoin::norm(mix_coils(compression_matrix(data, 1), data)), values[0].item<double>(), 1e-8);
}

TEST(CoilCompression, KeepsTheMostAtEachPlace) {
  const at::Tensor maps = smooth_maps(6, {20, 24});
  const at::Tensor images = maps * phantom({20, 24});
  const at::Tensor kspace = kspace_of(images);
  for (const std::int64_t axis : {-1, 0}) {
    const at::Tensor matrices = geometric_compression(kspace, 3, axis);
    const std::int64_t places = axis == 0 ? 20 : 24;
    EXPECT_EQ(matrices.sizes(), (std::vector<std::int64_t>{places, 3, 6}));
    const at::Tensor products = at::matmul(matrices, matrices.mH());
    EXPECT_TRUE(at::allclose(products, at::eye(3, products.options()).expand_as(products), 1e-9, 1e-9));
    // The energy at a place is that of the largest singular values there, and all of it without compression.
    const at::Tensor few = mix_coils_along(matrices, images, axis);
    const at::Tensor all = mix_coils_along(geometric_compression(kspace, 6, axis), images, axis);
    for (std::int64_t i = 0; i < places; ++i) {
      const at::Tensor values = at::linalg_svdvals(images.select(axis == 0 ? 1 : 2, i)).square();
      EXPECT_NEAR(few.select(axis == 0 ? 1 : 2, i).abs().square().sum().item<double>(),
                  values.slice(0, 0, 3).sum().item<double>(), 1e-9);
    }
    EXPECT_TRUE(at::allclose(root_sum_of_squares(all), root_sum_of_squares(images), 1e-9, 1e-9));
    EXPECT_GT(adjoin::norm(few), adjoin::norm(mix_coils(compression_matrix(kspace, 3), images)));
    // k-space of the virtual coils' images, and images of maps of virtual coils.
    EXPECT_TRUE(at::allclose(mix_coils_along(matrices, kspace, axis, true), kspace_of(few), 1e-9, 1e-9));
    EXPECT_TRUE(at::allclose(mix_coils_along(matrices, maps, axis) * phantom({20, 24}), few, 1e-9, 1e-9));
    // Neighbours are alike where there is an object: as smooth as the maps.
    const at::Tensor steps = (matrices.slice(0, 1) - matrices.slice(0, 0, -1)).flatten(1).norm(2, 1);
    EXPECT_LT(steps.slice(0, places / 2 - 4, places / 2 + 4).max().item<double>(), 0.5);
  }
  EXPECT_THROW(geometric_compression(kspace, 7), InvalidArgument);
  EXPECT_THROW(geometric_compression(kspace, 3, 2), InvalidArgument);
  EXPECT_THROW(geometric_compression(at::real(kspace), 3), InvalidArgument);
  EXPECT_THROW(mix_coils_along(geometric_compression(kspace, 3, 0), images, -1), InvalidArgument);
}

TEST(CoilMaps, RefuseWhatDoesNotFit) {
  const at::Tensor kspace = drawn({2, 16, 16}, 1, at::kComplexDouble);
  EXPECT_THROW(espirit_maps(at::real(kspace)), InvalidArgument);
  EXPECT_THROW(espirit_maps(kspace[0]), InvalidArgument);
  EXPECT_THROW(espirit_maps(at::zeros_like(kspace)), InvalidArgument);
  EXPECT_THROW(espirit_maps(kspace * NAN), InvalidArgument);
  EXPECT_THROW(espirit_maps(kspace, {.calibration = 4}), InvalidArgument);
  EXPECT_THROW(espirit_maps(kspace, {.threshold = 0.0}), InvalidArgument);
  EXPECT_THROW(espirit_maps(kspace, {.sets = 3}), InvalidArgument);
  EXPECT_THROW(espirit_maps(kspace.slice(1, 0, 8)), InvalidArgument);
  EXPECT_THROW(adaptive_maps(kspace, 4), InvalidArgument);
  EXPECT_THROW(compression_matrix(kspace, 3), InvalidArgument);
  EXPECT_THROW(mix_coils(drawn({2, 3}, 1), kspace), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
