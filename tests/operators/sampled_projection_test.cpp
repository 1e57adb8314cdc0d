// SPDX-License-Identifier: BSD-3-Clause
// Sums along lines against torch's grid_sample.
#include "adjoin/operators/tomography/sampled_projection.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/physics/stacked.hpp"
#include "physics/dense.hpp"

namespace adjoin::sampled_projection_test {
namespace {

using testing::all_types;
using testing::expect_close;
using testing::precision;
using testing::random;

/// The coordinates of a square of `lines` by `samples` points turned by each of the angles, (views, samples, lines, 2).
at::Tensor turned(const std::vector<double>& degrees, std::int64_t samples, std::int64_t lines) {
  const at::Tensor u = at::linspace(-1.0, 1.0, lines, at::kDouble).view({1, -1}).expand({samples, lines});
  const at::Tensor v = at::linspace(-1.0, 1.0, samples, at::kDouble).view({-1, 1}).expand({samples, lines});
  std::vector<at::Tensor> views;
  for (const double angle : degrees) {
    const double radians = angle * std::numbers::pi / 180.0;
    views.push_back(
        at::stack({std::cos(radians) * u + std::sin(radians) * v, std::cos(radians) * v - std::sin(radians) * u}, 2));
  }
  return at::stack(views);
}

/// The definition, by torch: the padded image sampled and summed.
at::Tensor by_grid_sample(const at::Tensor& grid, const at::Tensor& x, const SampledProjectionOptions& options = {}) {
  if (x.is_complex()) {
    return at::complex(by_grid_sample(grid, at::real(x), options), by_grid_sample(grid, at::imag(x), options));
  }
  at::Tensor image = options.weights.defined() ? x * options.weights.to(x.scalar_type()) : x;
  if (options.frame[0] != 0) {
    const auto [top, left] = options.before;
    image = at::constant_pad_nd(image,
                                {left, options.frame[1] - x.size(3) - left, top, options.frame[0] - x.size(2) - top});
  }
  std::vector<at::Tensor> sums;
  for (std::int64_t a = 0; a < grid.size(0); ++a) {
    const at::Tensor view = grid[a].to(x.scalar_type()).unsqueeze(0).expand({x.size(0), -1, -1, -1});
    sums.push_back(at::grid_sampler(image, view, /*bilinear*/ 0, /*zeros*/ 0, /*align_corners=*/true).sum(2));
  }
  return at::stack(sums, 3) * options.factor;
}

struct Case {
  at::Tensor grid;
  std::array<std::int64_t, 2> size;
  SampledProjectionOptions options = {};
};

std::vector<Case> cases() {
  return {
      {turned({0.0, 30.0, 45.0, 90.0, 180.0, 217.0}, 9, 9), {9, 9}},
      {turned({0.0, 12.0, 100.0}, 7, 12), {8, 6}, {.factor = 0.25}},
      {turned({5.0, 33.0}, 12, 11), {6, 7}, {.frame = {12, 11}, .before = {2, 3}}},
      {turned({5.0, 33.0}, 9, 9), {9, 9}, {.weights = random({9, 9}, at::kDouble, 7)}},
      {3.0 * random({3, 5, 4, 2}, at::kDouble, 8), {5, 6}},  // anywhere, also far outside
      {turned({10.0}, 1, 1), {1, 1}},
  };
}

TEST(SampledProjection, SumsWhatGridSampleInterpolates) {
  for (const auto& [grid, size, options] : cases()) {
    for (const auto dtype : all_types) {
      const SampledProjection projection(grid, size, options);
      const at::Tensor x = random({2, 3, size[0], size[1]}, dtype, 1);
      // Samples between pixels in one precision are on them in another: the grid is of the image's precision.
      expect_close(projection.A(x), by_grid_sample(grid, x, options), precision(dtype));
    }
  }
}

TEST(SampledProjection, HasItsExactAdjoint) {
  for (const auto& [grid, size, options] : cases()) {
    for (const auto dtype : all_types) {
      const SampledProjection projection(grid, size, options);
      const at::Tensor x = random({2, 1, size[0], size[1]}, dtype, 1);
      EXPECT_LE(projection.adjointness_test(x), precision(dtype));
      EXPECT_EQ(projection.image_like(projection.A(x)).sizes(), x.sizes());
    }
  }
}

TEST(SampledProjection, ComputesGridsOfAnyLayout) {
  const at::Tensor grid = turned({0.0, 30.0, 77.0}, 8, 8);
  const at::Tensor x = random({1, 1, 8, 8}, at::kDouble, 1);
  const at::Tensor expected = by_grid_sample(grid, x);
  const at::Tensor views_last = grid.permute({1, 2, 3, 0}).contiguous().permute({3, 0, 1, 2});
  const at::Tensor samples_first = grid.transpose(0, 1).contiguous().transpose(0, 1);
  for (const at::Tensor& other : {views_last, samples_first}) {
    expect_close(SampledProjection(other, {8, 8}).A(x), expected, 1e-12);
  }
  expect_close(SampledProjection(grid, {8, 8}).A(x.transpose(2, 3)), by_grid_sample(grid, x.transpose(2, 3)), 1e-12);
}

TEST(SampledProjection, FusesToTheSameAsOneByOne) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexDouble}) {
    const at::Tensor weights = random({9, 8}, at::kDouble, 3);
    std::vector<LinearPhysicsPtr> operators;
    for (int i = 0; i < 4; ++i) {
      operators.push_back(
          std::make_shared<SampledProjection>(turned({10.0 * i, 33.0 + i}, 9, 7 + i), std::array<std::int64_t, 2>{9, 8},
                                              SampledProjectionOptions{.weights = weights.clone(), .factor = 1.0 + i}));
    }
    const StackedLinearPhysics fused(operators);
    const StackedLinearPhysics plain(operators, {.fuse = false});
    const at::Tensor x = random({2, 2, 9, 8}, dtype, 1);
    const TensorList y = plain.A(x);
    expect_close(fused.A(x), y, precision(dtype));
    expect_close(fused.A_adjoint(y), plain.A_adjoint(y), precision(dtype));
    expect_close(fused.A_adjoint_A(x), plain.A_adjoint_A(x), precision(dtype));
  }
}

// Fused forms share the weights of the first operator, also when those of one change afterwards.
TEST(SampledProjection, FusesOnlyWhereWeightsAreEqual) {
  std::vector<at::Tensor> weights = {at::ones({6, 6}, at::kDouble), at::ones({6, 6}, at::kDouble)};
  std::vector<LinearPhysicsPtr> operators;
  for (const at::Tensor& own : weights) {
    operators.push_back(std::make_shared<SampledProjection>(turned({20.0}, 6, 6), std::array<std::int64_t, 2>{6, 6},
                                                            SampledProjectionOptions{.weights = own}));
  }
  const StackedLinearPhysics stack(operators);
  const StackedLinearPhysics plain(operators, {.fuse = false});
  const at::Tensor x = random({1, 1, 6, 6}, at::kDouble, 1);
  expect_close(stack.A(x), plain.A(x), 1e-12);
  weights[1].mul_(2.0);
  expect_close(stack.A(x), plain.A(x), 1e-12);
  expect_close(stack.A(x)[1], stack.A(x)[0] * 2.0, 1e-12);
}

TEST(SampledProjection, DifferentiatesTwiceAndForwards) {
  const at::Tensor grid = turned({15.0, 70.0}, 6, 7);
  const SampledProjection projection(grid, {6, 5});
  const at::Tensor x = random({1, 2, 6, 5}, at::kDouble, 1).requires_grad_();
  const at::Tensor loss = projection.A(x).square().sum();
  const at::Tensor gradient = torch::autograd::grad({loss}, {x}, {}, true, /*create_graph=*/true)[0];
  expect_close(gradient.detach(), 2.0 * projection.A_adjoint_A(x.detach()), 1e-12);
  const at::Tensor v = random({1, 2, 6, 5}, at::kDouble, 2);
  expect_close(torch::autograd::grad({(gradient * v).sum()}, {x})[0], 2.0 * projection.A_adjoint_A(v), 1e-12);
}

TEST(SampledProjection, TellsWhatDoesNotFit) {
  const at::Tensor grid = turned({0.0}, 4, 4);
  EXPECT_THROW(SampledProjection(grid[0], {4, 4}), InvalidArgument);
  EXPECT_THROW(SampledProjection(grid, {0, 4}), InvalidArgument);
  EXPECT_THROW(SampledProjection(grid, {4, 4}, {.frame = {5, 5}, .before = {2, 0}}), InvalidArgument);
  EXPECT_THROW(SampledProjection(grid, {4, 4}, {.weights = at::ones({3, 4})}), InvalidArgument);
  EXPECT_THROW(SampledProjection(grid.clone().requires_grad_(), {4, 4}), InvalidArgument);
  const SampledProjection projection(grid, {4, 4});
  EXPECT_THROW(projection.A(at::ones({1, 1, 4, 5})), InvalidArgument);
  EXPECT_THROW(projection.A_adjoint(at::ones({1, 1, 4, 2})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::sampled_projection_test
