#include "adjoin/operators/downsampling.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/operators/blur/kernels.hpp"

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

TEST(Downsampling, ImageSizeIsGuessedFromMeasurements) {
  const at::Tensor filter = at::rand({1, 1, 3, 3}, at::kDouble);
  EXPECT_LT(Downsampling(filter, {.factor = 3}).adjointness_test(at::randn({1, 1, 9, 12}, at::kDouble)), 1e-12);
  const Downsampling valid(filter, {.factor = 2, .padding = Padding::Valid});
  EXPECT_LT(valid.adjointness_test(at::randn({1, 1, 10, 8}, at::kDouble)), 1e-12);
}

// Reference values: deepinv 0.4.1, Downsampling(filter="bicubic", factor=2).
TEST(Downsampling, AgreesWithDeepinv) {
  const Downsampling down(bicubic_kernel(2));
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
    const Downsampling reference(filter, {.padding = padding});
    Downsampling bare(at::Tensor(), {.padding = padding});
    Downsampling other(at::rand({1, 1, 2, 2}), {.padding = padding});
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
  const Downsampling down(bilinear_kernel(2, at::kDouble));
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
