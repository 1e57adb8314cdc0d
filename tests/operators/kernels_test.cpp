// SPDX-License-Identifier: BSD-3-Clause
// Kernels against reference values and their symmetries.
#include "adjoin/operators/blur/kernels.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

double at_index(const at::Tensor& kernel, const std::vector<std::int64_t>& index) {
  at::Tensor entry = kernel[0][0];
  for (const std::int64_t i : index) {
    entry = entry[i];
  }
  return entry.item<double>();
}

// Reference values of this file: deepinv 0.4.1, gaussian_blur, bilinear_filter, bicubic_filter and sinc_filter.
TEST(Kernels, GaussianAgreesWithDeepinv) {
  const at::Tensor kernel = gaussian_kernel({1.5, 3.0}, 30.0);
  ASSERT_EQ(kernel.sizes(), (std::vector<std::int64_t>{1, 1, 23, 23}));
  EXPECT_EQ(kernel.scalar_type(), at::kFloat);
  EXPECT_NEAR(at_index(kernel, {11, 11}), 0.035368435, 1e-8);
  EXPECT_NEAR(at_index(kernel, {9, 14}), 0.017023981, 1e-8);
  EXPECT_NEAR(at_index(kernel, {14, 9}), 0.011222901, 1e-8);
  EXPECT_NEAR(at_index(kernel, {10, 13}), 0.026710331, 1e-8);
  EXPECT_NEAR(at_index(kernel, {20, 3}), 1.01883233e-6, 1e-11);
  const at::Tensor round = gaussian_kernel({1.0, 1.0});
  ASSERT_EQ(round.sizes(), (std::vector<std::int64_t>{1, 1, 9, 9}));
  EXPECT_NEAR(at_index(round, {4, 4}), 0.15915589, 1e-7);
  EXPECT_NEAR(at_index(round, {2, 3}), 0.01306431, 1e-8);
}

TEST(Kernels, VolumeGaussianAgreesWithDeepinv) {
  const at::Tensor kernel = gaussian_kernel_3d({0.8, 1.2, 0.5}, {20.0, -10.0, 35.0});
  ASSERT_EQ(kernel.sizes(), (std::vector<std::int64_t>{1, 1, 11, 11, 11}));
  EXPECT_NEAR(at_index(kernel, {5, 5, 5}), 0.13227184, 1e-7);
  EXPECT_NEAR(at_index(kernel, {4, 5, 6}), 0.02069229, 1e-7);
  EXPECT_NEAR(at_index(kernel, {6, 4, 5}), 0.02825978, 1e-7);
  EXPECT_NEAR(at_index(kernel, {3, 6, 5}), 0.00372272, 1e-7);
}

TEST(Kernels, GaussianTakesSizeAndType) {
  const at::Tensor kernel = gaussian_kernel({1.0, 2.0}, 0.0, {.size = {3, 4}, .dtype = at::kDouble});
  ASSERT_EQ(kernel.sizes(), (std::vector<std::int64_t>{1, 1, 3, 4}));
  EXPECT_NEAR(kernel.sum().item<double>(), 1.0, 1e-15);
  EXPECT_NEAR(at_index(kernel, {0, 1}) / at_index(kernel, {1, 1}), std::exp(-0.5), 1e-14);
  EXPECT_NEAR(at_index(kernel, {1, 0}) / at_index(kernel, {1, 1}), std::exp(-0.5 * (1.5 * 1.5 - 0.25) / 4.0), 1e-14);
}

TEST(Kernels, ResamplingFiltersAgreeWithDeepinv) {
  EXPECT_NEAR(at_index(bilinear_kernel(2), {0, 0}), 0.015625, 1e-8);
  EXPECT_NEAR(at_index(bilinear_kernel(2), {0, 1}), 0.046875, 1e-8);
  const std::array bicubic2 = {-0.005081177, -0.015243530, 0.049118042, 0.188003540};
  const std::array bicubic3 = {-0.000723392, -0.003906252, -0.003616901, 0.008246530, 0.035156265, 0.058593776};
  const std::array sinc2 = {-0.005405083, -0.019265028, 0.051723994, 0.192081854};
  const std::array sinc3 = {-0.001522609, -0.007753534, -0.007915275, 0.015024083, 0.060441636, 0.099228367};
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(at_index(bicubic_kernel(2), {3, i}), bicubic2[static_cast<std::size_t>(i)], 1e-7);
    EXPECT_NEAR(at_index(sinc_kernel(2), {3, i}), sinc2[static_cast<std::size_t>(i)], 1e-6);
  }
  for (std::int64_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(at_index(bicubic_kernel(3), {4, i}), bicubic3[static_cast<std::size_t>(i)], 1e-7);
    EXPECT_NEAR(at_index(sinc_kernel(3), {5, i}), sinc3[static_cast<std::size_t>(i)], 1e-6);
  }
}

TEST(Kernels, AllSumToOneAndKeepTheirType) {
  for (const at::Tensor& kernel :
       {gaussian_kernel({0.7, 2.0}, 12.0, {.dtype = at::kDouble}), motion_kernel(9.3, 25.0, at::kDouble),
        box_kernel(3, at::kDouble), bilinear_kernel(3, at::kDouble), bicubic_kernel(1, at::kDouble),
        sinc_kernel(1, 1, at::kDouble), sinc_kernel(4, 0, at::kDouble)}) {
    EXPECT_EQ(kernel.scalar_type(), at::kDouble);
    EXPECT_NEAR(kernel.sum().item<double>(), 1.0, 1e-14);
  }
}

TEST(Kernels, AlignedMotionIsABox) {
  EXPECT_TRUE(at::allclose(motion_kernel(5.0), at::full({1, 1, 1, 5}, 0.2)));
  EXPECT_TRUE(at::allclose(motion_kernel(5.0, 90.0), at::full({1, 1, 5, 1}, 0.2)));
  EXPECT_TRUE(at::allclose(motion_kernel(1.0, 33.0), at::ones({1, 1, 1, 1})));
}

TEST(Kernels, MotionTurnsCounterClockwise) {
  const at::Tensor kernel = motion_kernel(9.0, 45.0, at::kDouble)[0][0];
  ASSERT_EQ(kernel.size(0), 7);
  EXPECT_GT(kernel[1][5].item<double>(), 0.05);
  EXPECT_EQ(kernel[1][1].item<double>(), 0.0);
  EXPECT_TRUE(at::allclose(kernel, kernel.flip({0, 1})));
}

TEST(Kernels, RefuseBadParameters) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(gaussian_kernel({0.0, 1.0}), InvalidArgument);
  EXPECT_THROW(gaussian_kernel({1.0, nan}), InvalidArgument);
  EXPECT_THROW(gaussian_kernel({1.0, 1.0}, nan), InvalidArgument);
  EXPECT_THROW(gaussian_kernel({1.0, 1.0}, 0.0, {.size = {3}}), InvalidArgument);
  EXPECT_THROW(gaussian_kernel({1.0, 1.0}, 0.0, {.size = {3, 0}}), InvalidArgument);
  EXPECT_THROW(gaussian_kernel_3d({1.0, -1.0, 1.0}), InvalidArgument);
  EXPECT_THROW(motion_kernel(0.5), InvalidArgument);
  EXPECT_THROW(box_kernel(0), InvalidArgument);
  EXPECT_THROW(bilinear_kernel(0), InvalidArgument);
  EXPECT_THROW(bicubic_kernel(-1), InvalidArgument);
  EXPECT_THROW(sinc_kernel(0), InvalidArgument);
  EXPECT_THROW(sinc_kernel(2, -3), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
