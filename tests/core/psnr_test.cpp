// SPDX-License-Identifier: BSD-3-Clause
// The formula of the peak signal-to-noise ratio.
#include "adjoin/core/psnr.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

TEST(Psnr, IsTenLogTenOfPeakSquaredOverMeanSquare) {
  const at::Tensor a = at::zeros({1, 3, 4, 4});
  EXPECT_NEAR(psnr(a, a + 0.1), 20.0, 1e-5);
  EXPECT_NEAR(psnr(a, a + 0.1, 10.0), 40.0, 1e-5);
  EXPECT_EQ(psnr(a, a), std::numeric_limits<double>::infinity());
  EXPECT_THROW(psnr(a, at::zeros({1, 3, 4, 5})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
