// SPDX-License-Identifier: BSD-3-Clause
// Off-resonance and subspaces against the sums that define them.
#include "adjoin/operators/mri/modulated_mri.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numbers>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

at::Tensor complex_randn(at::IntArrayRef sizes) { return at::randn(sizes, at::kComplexDouble); }

/// e^{−2πi k·(p − N / 2)} / √ΠN for each sample and pixel: (samples, pixels).
at::Tensor fourier_matrix(const at::Tensor& trajectory, at::IntArrayRef size) {
  const at::Tensor k = trajectory.reshape({-1, 2});
  const at::Tensor rows = at::arange(size[0], at::kDouble) - static_cast<double>(size[0] / 2);
  const at::Tensor columns = at::arange(size[1], at::kDouble) - static_cast<double>(size[1] / 2);
  const at::Tensor turns =
      k.select(1, 0).view({-1, 1, 1}) * rows.view({1, -1, 1}) + k.select(1, 1).view({-1, 1, 1}) * columns;
  const at::Tensor angle = turns.flatten(1) * (-2.0 * std::numbers::pi);
  return at::polar(at::ones_like(angle), angle) / std::sqrt(static_cast<double>(size[0] * size[1]));
}

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

TEST(OffResonance, EqualsTheSumOverPixels) {
  at::manual_seed(1);
  const at::Tensor trajectory = at::rand({5, 24, 2}, at::kDouble) - 0.5;
  const at::Tensor maps = complex_randn({1, 3, 9, 8});
  const at::Tensor field = 80 * at::randn({9, 8}, at::kDouble) - 30;
  const at::Tensor times = at::linspace(0.002, 0.022, 24, at::kDouble);
  const at::Tensor x = complex_randn({2, 1, 9, 8});
  const at::Tensor angle = at::outer(times.expand({5, 24}).flatten(), field.flatten()) * (-2.0 * std::numbers::pi);
  const at::Tensor matrix = fourier_matrix(trajectory, {9, 8}) * at::polar(at::ones_like(angle), angle);
  const at::Tensor expected = at::matmul((maps * x).flatten(2), matrix.t()).view({2, 3, 5, 24});
  for (const double accuracy : {1e-2, 1e-4, 1e-6}) {
    const auto mri = off_resonance_mri(trajectory, maps, field, times, accuracy, {.eps = 1e-9});
    EXPECT_LE(relative_error(mri->A(x), expected), accuracy);
    EXPECT_LE(mri->adjointness_test(x), 1e-11);
  }
  // Without the map's phases it would be another one.
  EXPECT_GT(relative_error(NonCartesianMRI(trajectory, maps).A(x), expected), 0.5);
}

TEST(OffResonance, OfAConstantFieldIsOnePhaseASample) {
  at::manual_seed(1);
  const at::Tensor trajectory = at::rand({4, 6, 2}, at::kDouble) - 0.5;
  const at::Tensor maps = complex_randn({1, 2, 8, 8});
  const at::Tensor times = at::rand({4, 6}, at::kDouble) * 0.1;
  const at::Tensor x = complex_randn({1, 1, 8, 8});
  const at::Tensor angle = times * (-2.0 * std::numbers::pi * 40.0);
  const at::Tensor expected = NonCartesianMRI(trajectory, maps).A(x) * at::polar(at::ones_like(angle), angle);
  const auto mri = off_resonance_mri(trajectory, maps, at::full({8, 8}, 40.0, at::kDouble), times);
  EXPECT_LE(relative_error(mri->A(x), expected), 1e-5);
}

TEST(OffResonance, ChecksItsArguments) {
  const at::Tensor trajectory = at::rand({4, 6, 2}) - 0.5;
  const at::Tensor maps = at::ones({1, 2, 8, 8}, at::kComplexFloat);
  const at::Tensor field = at::zeros({8, 8});
  const at::Tensor times = at::linspace(0.0, 0.01, 6);
  EXPECT_NO_THROW(off_resonance_mri(trajectory, maps, field, times));
  EXPECT_THROW(off_resonance_mri(trajectory, maps, at::zeros({8, 7}), times), InvalidArgument);
  EXPECT_THROW(off_resonance_mri(trajectory, maps, field, at::zeros({5})), InvalidArgument);
  EXPECT_THROW(off_resonance_mri(trajectory, maps, field * NAN, times), InvalidArgument);
  EXPECT_THROW(off_resonance_mri(trajectory, maps, field, times, 0.0), InvalidArgument);
  EXPECT_THROW(off_resonance_mri(trajectory, maps, 1e7 * at::rand({8, 8}), times), InvalidArgument);
}

TEST(SubspaceMRI, EqualsOneOperatorAShot) {
  at::manual_seed(1);
  const at::Tensor trajectory = at::rand({6, 10, 2}, at::kDouble) - 0.5;
  const at::Tensor maps = complex_randn({1, 3, 9, 8});
  for (const at::Tensor& basis : {complex_randn({6, 2}), at::randn({6, 3}, at::kDouble)}) {
    const at::Tensor x = complex_randn({2, basis.size(1), 9, 8});
    const auto mri = subspace_mri(trajectory, maps, basis);
    const at::Tensor y = mri->A(x);
    for (std::int64_t shot = 0; shot < 6; ++shot) {
      const at::Tensor image = (x * basis[shot].view({1, -1, 1, 1})).sum(1, /*keepdim=*/true);
      const at::Tensor expected = NonCartesianMRI(trajectory[shot], maps).A(image);
      EXPECT_LE(relative_error(y.select(2, shot), expected), 1e-5);
    }
    EXPECT_LE(mri->adjointness_test(x), 1e-11);
  }
  EXPECT_THROW(subspace_mri(trajectory, maps, at::ones({5, 2})), InvalidArgument);
  EXPECT_THROW(subspace_mri(trajectory, maps, at::ones({6})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
