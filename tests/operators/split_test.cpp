// SPDX-License-Identifier: BSD-3-Clause
// Parts of operators whose stack is the whole.
#include "adjoin/operators/split.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "adjoin/physics/stacked.hpp"
#include "physics/dense.hpp"

namespace adjoin {
namespace {

using testing::expect_close;
using testing::random;

TEST(Split, AnglesAreDealtOutInTurn) {
  const Tomography whole(at::linspace(-70.0, 70.0, 11, at::kDouble), {20, 15}, {.detectors = 18, .spacing = 1.2});
  const at::Tensor x = random({1, 2, 20, 15});
  const at::Tensor y = whole.A(x);
  for (const std::int64_t n : {1, 3, 11}) {
    const StackedLinearPhysics stack(split(whole, n));
    ASSERT_EQ(stack.size(), static_cast<std::size_t>(n));
    const TensorList parts = stack.A(x);
    for (std::int64_t i = 0; i < n; ++i) {
      expect_close(parts[static_cast<std::size_t>(i)], y.slice(2, i, {}, n), 1e-12);
    }
    expect_close(stack.A_adjoint(parts), whole.A_adjoint(y), 1e-12);
  }
}

TEST(Split, CoilsKeepTheirOrder) {
  const at::Tensor mask = at::rand({9, 8}).lt(0.5);
  const MultiCoilMRI whole(mask, random({1, 7, 9, 8}, at::kComplexDouble));
  const at::Tensor x = random({2, 2, 9, 8});
  const at::Tensor y = whole.A(x);
  for (const std::int64_t n : {1, 3, 7}) {
    const StackedLinearPhysics stack(split(whole, n));
    ASSERT_EQ(stack.size(), static_cast<std::size_t>(n));
    const TensorList parts = stack.A(x);
    expect_close(at::cat(std::vector<at::Tensor>(parts.begin(), parts.end()), 2), y, 1e-12);
    expect_close(stack.A_adjoint(parts), whole.A_adjoint(y), 1e-12);
  }
}

TEST(Split, KeepsTheOptionsOfTheOperator) {
  const MultiCoilMRI volumes(at::Tensor(), random({1, 4, 3, 5, 6}, at::kComplexDouble), {.three_d = true});
  const StackedLinearPhysics stack(split(volumes, 2));
  const at::Tensor x = random({1, 1, 3, 5, 6}, at::kComplexDouble);
  expect_close(stack.A_adjoint_A(x), volumes.A_adjoint_A(x), 1e-12);
}

TEST(Split, RefusesMorePartsThanThereAre) {
  const Tomography tomography(at::zeros({3}), {4, 4});
  const MultiCoilMRI mri({}, random({1, 2, 4, 4}, at::kComplexDouble));
  EXPECT_THROW(split(tomography, 4), InvalidArgument);
  EXPECT_THROW(split(tomography, 0), InvalidArgument);
  EXPECT_THROW(split(mri, 3), InvalidArgument);
  EXPECT_THROW(split(mri, -1), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
