// SPDX-License-Identifier: BSD-3-Clause
// ‖A‖² as the algorithms' default steps take it: within 10 % of the value, and not below it by more than round-off.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin::default_step_test {
namespace {

void expect_close(const std::vector<LinearPhysicsPtr>& operators, const at::Tensor& x) {
  const StackedLinearPhysics stack(operators);
  const double sqnorm = stack.compute_sqnorm(x, {.max_iter = 300, .tol = 1e-6});
  const double guess = stack.guess_sqnorm(x);
  EXPECT_GE(guess, 0.999 * sqnorm);
  EXPECT_LE(guess, 1.1 * sqnorm);
}

// Smooth maps with Σ |s|² = 1 where there is an object; every third line and the central ones are sampled.
TEST(DefaultStep, OfCoilsAsEspiritMakesThem) {
  constexpr std::int64_t size = 96;
  constexpr std::int64_t coils = 8;
  const at::Tensor axis = at::linspace(-1.0, 1.0, size, at::kDouble);
  const at::Tensor u = axis.view({1, size});
  const at::Tensor v = axis.view({size, 1});
  std::vector<at::Tensor> maps;
  for (std::int64_t i = 0; i < coils; ++i) {
    const double turn = 2.0 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(coils);
    const at::Tensor distance = (u - 1.2 * std::cos(turn)).square() + (v - 1.2 * std::sin(turn)).square();
    maps.push_back(at::polar((-distance).exp(), u * std::cos(turn) + v * std::sin(2.0 * turn)));
  }
  at::Tensor all = at::stack(maps).unsqueeze(0);
  all = all / at::linalg_vector_norm(all, 2, {1}, true) * ((u / 0.8).square() + (v / 0.9).square() < 1.0);
  at::Tensor mask = at::zeros({1, size}, at::kDouble);
  mask.slice(1, 0, size, 3).fill_(1.0);
  mask.slice(1, size / 2 - 6, size / 2 + 6).fill_(1.0);
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    std::vector<LinearPhysicsPtr> operators;
    for (std::int64_t i = 0; i < coils; ++i) {
      operators.push_back(
          std::make_shared<MultiCoilMRI>(mask.to(dtype), all.narrow(1, i, 1).to(c10::toComplexType(dtype))));
    }
    expect_close(operators, at::zeros({1, 2, size, size}, dtype));
  }
}

TEST(DefaultStep, OfAngles) {
  for (const std::int64_t count : {30, 77}) {
    std::vector<LinearPhysicsPtr> operators;
    for (std::int64_t i = 0; i < count; ++i) {
      const at::Tensor angle = at::full({1}, 180.0 * static_cast<double>(i) / static_cast<double>(count), at::kDouble);
      operators.push_back(std::make_shared<Tomography>(angle, std::array<std::int64_t, 2>{96, 96}));
    }
    expect_close(operators, at::zeros({1, 1, 96, 96}));
  }
}

}  // namespace
}  // namespace adjoin::default_step_test
