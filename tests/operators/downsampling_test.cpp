// SPDX-License-Identifier: BSD-3-Clause
// Downsampling against a blur at every factor-th pixel, with sizes that the factor does not divide.
#include "adjoin/operators/downsampling.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/operators/diagonal.hpp"
#include "adjoin/physics/algebra.hpp"

namespace adjoin::downsampling_test {
namespace {

constexpr std::array paddings = {Padding::Valid, Padding::Circular, Padding::Replicate, Padding::Reflect,
                                 Padding::Constant};

TEST(Downsampling, IsBlurAtEveryFactorthPixel) {
  const at::Tensor x = at::rand({2, 3, 13, 10}, at::kDouble);
  const at::Tensor filter = at::rand({1, 1, 4, 3}, at::kDouble);
  for (const Padding padding : paddings) {
    for (const std::int64_t factor : {1, 2, 3}) {
      const at::Tensor y = Downsampling(filter, {.factor = factor, .padding = padding}).A(x);
      const at::Tensor blurred = Blur(filter, {.padding = padding}).A(x);
      EXPECT_TRUE(at::equal(y, blurred.slice(2, 0, 100, factor).slice(3, 0, 100, factor)));
      EXPECT_TRUE(y.is_contiguous());
    }
  }
}

TEST(Downsampling, AdjointIsExactForSizesThatTheFactorDoesNotDivide) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    const double tolerance = at::toRealValueType(dtype) == at::kFloat ? 1e-5 : 1e-12;
    for (const Padding padding : paddings) {
      for (const std::int64_t factor : {1, 2, 3, 4}) {
        const at::Tensor x = at::randn({2, 2, 11, 14}, dtype);
        const Downsampling down(bicubic_kernel(2, at::kDouble),
                                {.factor = factor, .padding = padding, .image_size = {11, 14}});
        EXPECT_LT(down.adjointness_test(x), tolerance) << to_string(padding) << " " << factor;
        const Downsampling bare(at::Tensor(), {.factor = factor, .padding = padding, .image_size = {11, 14}});
        EXPECT_LT(bare.adjointness_test(x), tolerance);
        const at::Tensor volume = at::randn({1, 1, 5, 6, 7}, dtype);
        const Downsampling down3(at::rand({1, 1, 2, 3, 3}, at::kDouble),
                                 {.factor = factor, .padding = padding, .image_size = {5, 6, 7}});
        EXPECT_LT(down3.adjointness_test(volume), tolerance);
      }
    }
  }
}

TEST(Downsampling, WhatIsGivenAnImageKeepsItsSizeAndTheOthersNameImageSize) {
  const at::Tensor filter = at::rand({1, 1, 3, 3}, at::kDouble);
  for (const Padding padding : paddings) {
    for (const std::int64_t factor : {2, 3}) {
      for (const auto& size : std::vector<std::vector<std::int64_t>>{{12, 6}, {11, 14}}) {
        const at::Tensor x = at::randn({2, 1, size[0], size[1]}, at::kDouble);
        const Downsampling known(filter, {.factor = factor, .padding = padding, .image_size = size});
        const auto any =
            std::make_shared<Downsampling>(filter, DownsamplingOptions{.factor = factor, .padding = padding});
        const at::Tensor y = any->A(x);
        const at::Tensor adjoint = known.A_adjoint(y);
        EXPECT_TRUE(at::equal(any->A_adjoint_for(y, x), adjoint));
        EXPECT_TRUE(at::equal(any->A_vjp(x, y), adjoint));
        EXPECT_TRUE(at::equal(any->A_adjoint_A(x), known.A_adjoint_A(x)));
        EXPECT_DOUBLE_EQ(any->compute_sqnorm(x), known.compute_sqnorm(x));
        EXPECT_LT(any->adjointness_test(x), 1e-12);
        const at::Tensor start = at::zeros_like(x);
        EXPECT_TRUE(at::equal(any->A_dagger(y, {.max_iter = 5, .init = start}),
                              known.A_dagger(y, {.max_iter = 5, .init = start})));
        for (const Solver solver : {Solver::CG, Solver::LSQR}) {
          EXPECT_TRUE(
              at::equal(any->prox_l2(x, y, 2.0, {.solver = solver}), known.prox_l2(x, y, 2.0, {.solver = solver})));
        }
        // The same of what is made of it.
        const auto twice = 2.0 * any;
        const auto chain = std::make_shared<Diagonal>(3.0) * (any * std::make_shared<Diagonal>(0.5));
        EXPECT_TRUE(at::allclose(twice->A_vjp(x, y), 2.0 * adjoint));
        EXPECT_TRUE(at::allclose((any + any)->A_vjp(x, y), 2.0 * adjoint));
        EXPECT_TRUE(at::allclose(chain->A_vjp(x, y), 1.5 * adjoint));
        EXPECT_TRUE(at::allclose(chain->A_adjoint_A(x), 2.25 * known.A_adjoint_A(x)));
        const StackedLinearPhysics stack({any, any});
        EXPECT_TRUE(at::allclose(stack.A_adjoint_A(x), 2.0 * known.A_adjoint_A(x)));
        EXPECT_TRUE(at::allclose(stack.A_vjp(x, stack.A(x)), 2.0 * adjoint));
        EXPECT_LT(stack.adjointness_test(x), 1e-12);
        EXPECT_EQ(stack.prox_l2(x, stack.A(x), 2.0).sizes(), x.sizes());
        const StackedLinearPhysics with_one_that_knows({any, std::make_shared<Diagonal>(1.0)});
        EXPECT_EQ(with_one_that_knows.A_dagger(with_one_that_knows.A(x)).sizes(), x.sizes());

        EXPECT_FALSE(any->image_like(y).defined());
        for (const LinearPhysicsPtr& op : {LinearPhysicsPtr(any), twice, chain, any + any}) {
          for (const auto& call : std::vector<std::function<void()>>{
                   [&] { op->A_adjoint(y); }, [&] { op->A_A_adjoint(y); }, [&] { op->A_dagger(y); }}) {
            try {
              call();
              ADD_FAILURE() << op->name() << ": nothing thrown";
            } catch (const InvalidArgument& error) {
              EXPECT_NE(std::string(error.what()).find("image_size"), std::string::npos) << error.what();
            }
          }
        }
      }
    }
  }
  // Nothing is lost by taking every pixel.
  const Downsampling every(filter, {.factor = 1, .padding = Padding::Valid});
  EXPECT_EQ(every.A_adjoint(at::ones({1, 1, 5, 4}, at::kDouble)).sizes(), (std::vector<std::int64_t>{1, 1, 7, 6}));
}

// Reference values: deepinv 0.4.1, Downsampling(filter="bicubic", factor=2).
TEST(Downsampling, AgreesWithDeepinv) {
  const Downsampling down(bicubic_kernel(2), {.image_size = {12, 12}});
  const at::Tensor x = at::arange(144, at::kFloat).sin().view({1, 1, 12, 12});
  const at::Tensor y = down.A(x);
  ASSERT_EQ(y.sizes(), (std::vector<std::int64_t>{1, 1, 6, 6}));
  EXPECT_NEAR(y[0][0][0][0].item<double>(), 0.1274181, 1e-6);
  EXPECT_NEAR(y[0][0][2][3].item<double>(), -0.6074492, 1e-6);
  EXPECT_NEAR(down.A_adjoint(y)[0][0][1][1].item<double>(), 0.0406086, 1e-6);
}

TEST(Downsampling, FilterOfACallAndUpdates) {
  const at::Tensor x = at::rand({1, 1, 8, 8}, at::kDouble);
  const at::Tensor filter = at::rand({1, 1, 3, 2}, at::kDouble);
  for (const Padding padding : paddings) {
    const Downsampling reference(filter, {.padding = padding, .image_size = {8, 8}});
    Downsampling bare(at::Tensor(), {.padding = padding, .image_size = {8, 8}});
    Downsampling other(at::rand({1, 1, 2, 2}), {.padding = padding, .image_size = {8, 8}});
    for (Downsampling* down : {&bare, &other}) {
      const at::Tensor y = reference.A(x);
      EXPECT_TRUE(at::allclose(down->A(x, {{"filter", filter}}), y));
      EXPECT_TRUE(at::allclose(down->A_adjoint(y, {{"filter", filter}}), reference.A_adjoint(y)));
      down->update({{"filter", filter}});
      EXPECT_TRUE(at::allclose(down->A(x), y));
    }
  }
}

TEST(Downsampling, IsDifferentiable) {
  const Downsampling down(bilinear_kernel(2, at::kDouble), {.image_size = {8, 8}});
  at::Tensor x = at::rand({1, 1, 8, 8}, at::kDouble).requires_grad_();
  const at::Tensor y = down.A(x);
  const at::Tensor v = at::rand_like(y);
  EXPECT_TRUE(at::allclose(torch::autograd::grad({y}, {x}, {v})[0], down.A_adjoint(v)));
  at::Tensor measured = at::rand({1, 1, 4, 4}, at::kDouble).requires_grad_();
  const at::Tensor z = down.A_adjoint(measured);
  EXPECT_TRUE(at::allclose(torch::autograd::grad({z}, {measured}, {x.detach()})[0], down.A(x.detach())));
}

TEST(Downsampling, ResultsDoNotShareTheArguments) {
  const Downsampling bare(at::Tensor(), {.factor = 1});
  const at::Tensor y = at::rand({1, 1, 4, 4});
  EXPECT_FALSE(bare.A_adjoint(y).is_alias_of(y));
  EXPECT_FALSE(bare.A(y).is_alias_of(y));
}

TEST(Downsampling, RefusesBadInput) {
  EXPECT_THROW(Downsampling(at::Tensor(), {.factor = 0}), InvalidArgument);
  EXPECT_THROW(Downsampling(at::Tensor(), {.image_size = {4, -1}}), InvalidArgument);
  EXPECT_THROW(Downsampling(at::rand({3, 3})), InvalidArgument);
  const Downsampling down(bilinear_kernel(2), {.image_size = {9, 9}});
  EXPECT_THROW(down.A(at::rand({1, 9, 9})), InvalidArgument);
  EXPECT_THROW(down.A(at::rand({1, 1, 8, 9})), InvalidArgument);
  EXPECT_THROW(down.A_adjoint(at::rand({1, 1, 4, 5})), InvalidArgument);
  EXPECT_THROW(down.A_adjoint(at::rand({1, 1, 5, 5, 5})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::downsampling_test
