// SPDX-License-Identifier: BSD-3-Clause
// Total variation: values by hand, the prox by its variational property and by a long run of another method.
#include "adjoin/optim/total_variation.hpp"

#include <limits>

#include "optim/support.hpp"

namespace adjoin::test {
namespace {

const TotalVariationOptions exact{.max_iter = 20000, .tol = 1e-7};

// The same by tensor code written for this test: Σ √(Σ_k |D_k x|²).
double total_variation(const at::Tensor& x, std::int64_t dims) {
  at::Tensor squares = at::zeros_like(at::abs(x));
  for (std::int64_t dim = x.dim() - dims; dim < x.dim(); ++dim) {
    const at::Tensor d = at::abs(at::diff(x, 1, dim)).square();
    squares.narrow(dim, 0, x.size(dim) - 1).add_(d);
  }
  return at::sqrt(squares).sum().item<double>();
}

TEST(TotalVariation, ValueIsTheSumOfTheGradientsLengths) {
  const at::Tensor x = at::tensor({0.0, 3.0, 4.0, 4.0}).view({1, 1, 2, 2});
  // (3, 4), (0, 1) along the far column, (0, 0) along the last row, 0.
  EXPECT_DOUBLE_EQ(TotalVariation().fn(x).item<double>(), 5.0 + 1.0);
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kComplexDouble}) {
    const at::Tensor image = random_tensor({2, 3, 17, 45}, type, 1);
    const at::Tensor volume = random_tensor({2, 1, 5, 7, 38}, type, 1);
    const double tol = type == at::kFloat ? 1e-6 : 1e-13;
    EXPECT_NEAR(TotalVariation().fn(image).item<double>() / total_variation(image, 2), 1.0, tol);
    EXPECT_NEAR(TotalVariation().fn(volume).item<double>() / total_variation(volume, 3), 1.0, tol);
    EXPECT_NEAR(TotalVariation({.dims = 2}).fn(volume).item<double>() / total_variation(volume, 2), 1.0, tol);
  }
}

TEST(TotalVariation, ProxMinimisesOverImagesVolumesAndComplexImages) {
  for (const auto& [shape, type] : {std::pair{std::vector<std::int64_t>{2, 2, 6, 7}, at::kDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 4, 5, 6}, at::kDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 6, 7}, at::kComplexDouble}}) {
    const at::Tensor x = random_tensor(shape, type, 1);
    for (const double gamma : {0.05, 0.5}) {
      const TotalVariation tv(exact);
      expect_is_prox([&](const at::Tensor& v) { return total_variation(v, v.dim() == 5 ? 3 : 2); }, x, gamma,
                     tv.prox(x, gamma));
      EXPECT_LE(tv.inner().error_bound, 1e-7 * adjoin::norm(x));
    }
  }
}

TEST(TotalVariation, ProxWithBoundsMinimisesOverTheBox) {
  const at::Tensor x = random_tensor({1, 1, 6, 7}, at::kDouble, 1);
  const TotalVariation tv({.lower = 0.0, .upper = 0.8, .max_iter = 20000, .tol = 1e-7});
  const at::Tensor p = tv.prox(x, 0.2);
  EXPECT_GE(p.min().item<double>(), 0.0);
  EXPECT_LE(p.max().item<double>(), 0.8);
  expect_is_prox([&](const at::Tensor& v) { return tv.fn(v).item<double>(); }, x, 0.2, p);
}

// Without momentum, without warm start, by tensor code of this test: Chambolle's projected gradient, run long.
TEST(TotalVariation, ProxEqualsALongRunOfProjectedGradients) {
  const at::Tensor b = random_tensor({1, 1, 12, 9}, at::kDouble, 4);
  const double gamma = 0.3;
  at::Tensor px = at::zeros_like(b);
  at::Tensor py = at::zeros_like(b);
  at::Tensor x;
  const auto adjoint = [](const at::Tensor& p, std::int64_t dim) {
    at::Tensor result = -p;
    result.narrow(dim, 1, p.size(dim) - 1).add_(p.narrow(dim, 0, p.size(dim) - 1));
    return result;
  };
  const auto forward = [](const at::Tensor& t, std::int64_t dim) {
    at::Tensor result = at::zeros_like(t);
    result.narrow(dim, 0, t.size(dim) - 1).copy_(at::diff(t, 1, dim));
    return result;
  };
  for (int k = 0; k < 20000; ++k) {
    x = b - gamma * (adjoint(px, 2) + adjoint(py, 3));
    px += forward(x, 2) / (8.0 * gamma);
    py += forward(x, 3) / (8.0 * gamma);
    const at::Tensor length = at::sqrt(px.square() + py.square()).clamp_min(1.0);
    px /= length;
    py /= length;
  }
  expect_near(TotalVariation(exact).prox(b, gamma), x, 1e-5);
  expect_near(TotalVariation({.max_iter = 2000, .tol = 1e-4}).prox(b.to(at::kFloat), gamma), x.to(at::kFloat), 2e-4);
}

TEST(TotalVariation, StopsWithinTheToleranceAsked) {
  const at::Tensor b = random_tensor({1, 1, 40, 40}, at::kDouble, 4);
  const at::Tensor best = TotalVariation({.max_iter = 50000, .tol = 1e-10}).prox(b, 0.2);
  for (const double tol : {1e-1, 1e-2, 1e-3}) {
    const TotalVariation tv({.max_iter = 50000, .tol = tol});
    const at::Tensor p = tv.prox(b, 0.2);
    EXPECT_LE(adjoin::norm(p - best), tv.inner().error_bound * (1 + 1e-6));
    EXPECT_LE(tv.inner().error_bound, tol * adjoin::norm(b));
  }
}

TEST(TotalVariation, WarmStartSavesIterations) {
  const at::Tensor b = random_tensor({1, 1, 40, 40}, at::kDouble, 4);
  const TotalVariation warm({.max_iter = 5000, .tol = 1e-4});
  const at::Tensor alone = warm.prox(b, 0.2);
  {
    const Prior::Iterating iterating(warm);
    (void)warm.prox(b, 0.2);
    const int first = warm.inner().iterations;
    (void)warm.prox(b * 1.001, 0.2);
    EXPECT_LT(warm.inner().iterations, first / 2);
  }
  expect_near(warm.prox(b, 0.2), alone, 0.0);
  const TotalVariation cold({.max_iter = 5000, .tol = 1e-4, .warm_start = false});
  const at::Tensor once = cold.prox(b, 0.2);
  expect_near(cold.prox(b, 0.2), once, 0.0);
}

TEST(TotalVariation, ShapesMayChangeBetweenCalls) {
  const TotalVariation tv(exact);
  const at::Tensor image = random_tensor({1, 1, 8, 9}, at::kDouble, 1);
  const at::Tensor expected = tv.prox(image, 0.1);
  (void)tv.prox(random_tensor({1, 1, 4, 8, 9}, at::kFloat, 2), 0.1);
  expect_near(tv.prox(image, 0.1), expected, 1e-8);
}

TEST(TotalVariation, ConstantImagesAndSinglePixelsStayAsTheyAre) {
  const at::Tensor constant = at::full({1, 1, 5, 6}, 0.7, at::kDouble);
  expect_near(TotalVariation().prox(constant, 3.0), constant, 1e-15);
  const at::Tensor pixel = at::full({1, 1, 1, 1}, 0.7, at::kDouble);
  expect_near(TotalVariation().prox(pixel, 3.0), pixel, 1e-15);
  EXPECT_EQ(TotalVariation().fn(pixel).item<double>(), 0.0);
}

TEST(TotalVariation, AStrongPriorLeavesTheMean) {
  const at::Tensor b = random_tensor({1, 1, 6, 6}, at::kDouble, 1);
  expect_near(TotalVariation(exact).prox(b, 100.0), at::full_like(b, b.mean().item<double>()), 1e-6);
}

TEST(TotalVariation, BadOptionsAndShapesAreErrors) {
  EXPECT_THROW(TotalVariation({.dims = 1}), InvalidArgument);
  EXPECT_THROW(TotalVariation({.lower = 1.0, .upper = 0.0}), InvalidArgument);
  EXPECT_THROW(TotalVariation({.max_iter = 0}), InvalidArgument);
  EXPECT_THROW(TotalVariation({.tol = -1.0}), InvalidArgument);
  EXPECT_THROW(TotalVariation().prox(at::ones({5}, at::kDouble), 1.0), InvalidArgument);
  EXPECT_THROW(TotalVariation().prox(at::ones({0, 1, 4, 4}, at::kDouble), 1.0), InvalidArgument);
  EXPECT_THROW(TotalVariation({.lower = 0.0}).prox(at::ones({1, 1, 4, 4}, at::kComplexDouble), 1.0), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test
