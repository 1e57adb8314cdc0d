// SPDX-License-Identifier: BSD-3-Clause
// Masks given and drawn, and what closed forms make of them.
#include "adjoin/operators/inpainting.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"

namespace adjoin {
namespace {

TEST(Inpainting, KeepsWhatTheMaskKeeps) {
  const at::Tensor mask = at::tensor({1.0, 0.0, 1.0, 1.0}, at::kFloat).view({1, 2, 2});
  const at::Tensor x = at::rand({2, 3, 2, 2}) + 1.0;
  const at::Tensor y = Inpainting(mask).A(x);
  EXPECT_TRUE(at::equal(y.select(3, 1).select(2, 0), at::zeros({2, 3})));
  EXPECT_TRUE(at::equal(y.select(3, 0), x.select(3, 0)));
  EXPECT_TRUE(at::equal(Inpainting(mask.to(at::kBool)).A(x), y));
  EXPECT_TRUE(at::equal(Inpainting(mask.to(at::kLong)).A(x), y));
}

TEST(Inpainting, AdjointIsExactForAllTypes) {
  const at::Tensor real = at::randn({3, 4, 5}, at::kDouble);
  const at::Tensor complex = at::randn({3, 4, 5}, at::kComplexDouble);
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    const at::Tensor x = at::randn({2, 3, 4, 5}, dtype);
    const double tolerance = at::toRealValueType(dtype) == at::kFloat ? 1e-5 : 1e-12;
    EXPECT_EQ(Inpainting(real).A(x).scalar_type(), dtype);
    EXPECT_LT(Inpainting(real).adjointness_test(x), tolerance);
    if (x.is_complex()) {
      EXPECT_LT(Inpainting(complex).adjointness_test(x), tolerance);
      const Inpainting inpainting(complex);
      EXPECT_TRUE(at::allclose(inpainting.A_adjoint_A(x), inpainting.A_adjoint(inpainting.A(x))));
      EXPECT_TRUE(at::allclose(inpainting.A_A_adjoint(x), inpainting.A(inpainting.A_adjoint(x))));
    }
  }
}

TEST(Inpainting, PseudoinverseDividesWhereThereIsSomething) {
  const Inpainting inpainting(at::tensor({2.0, 0.0, -0.5}, at::kDouble).view({1, 1, 3}));
  const at::Tensor y = at::tensor({1.0, 5.0, 1.0}, at::kDouble).view({1, 1, 3});
  EXPECT_TRUE(at::equal(inpainting.A_dagger(y), at::tensor({0.5, 0.0, -2.0}, at::kDouble).view({1, 1, 3})));
}

TEST(Inpainting, NormIsTheLargestWeight) {
  const Inpainting inpainting(at::tensor({2.0, 0.0, -3.0}, at::kFloat).view({1, 1, 3}));
  EXPECT_DOUBLE_EQ(inpainting.compute_sqnorm(at::zeros({1, 1, 3})), 9.0);
}

TEST(Inpainting, RandomMasksFollowTheSeed) {
  const Inpainting inpainting({3, 100, 100}, 0.3, 7);
  EXPECT_TRUE(at::equal(inpainting.mask(), Inpainting({3, 100, 100}, 0.3, 7).mask()));
  EXPECT_FALSE(at::equal(inpainting.mask(), Inpainting({3, 100, 100}, 0.3, 8).mask()));
  EXPECT_NEAR(inpainting.mask().mean().item<double>(), 0.3, 0.02);
  EXPECT_TRUE(at::equal(inpainting.mask()[0], inpainting.mask()[2]));
  const Inpainting channelwise({3, 100, 100}, 0.3, 7, false);
  EXPECT_FALSE(at::equal(channelwise.mask()[0], channelwise.mask()[2]));
  EXPECT_EQ(Inpainting({2, 2}, 1.0, 0).mask().sum().item<double>(), 4.0);
  EXPECT_EQ(Inpainting({2, 2}, 0.0, 0).mask().sum().item<double>(), 0.0);
}

TEST(Inpainting, NoiseSparesMissingPixels) {
  Inpainting inpainting(at::tensor({1.0, 0.0}, at::kFloat));
  inpainting.set_noise(gaussian_noise(1.0, 3));
  const at::Tensor y = inpainting.forward(at::ones({1, 1, 2}));
  EXPECT_EQ(y[0][0][1].item<double>(), 0.0);
  EXPECT_NE(y[0][0][0].item<double>(), 1.0);
}

TEST(Inpainting, MaskOfACallAndUpdates) {
  Inpainting inpainting(at::ones({4}));
  const at::Tensor x = at::rand({1, 1, 4});
  const at::Tensor mask = at::tensor({0.0, 1.0, 0.0, 2.0}, at::kFloat);
  EXPECT_TRUE(at::equal(inpainting.A(x, {{"mask", mask}}), x * mask));
  EXPECT_TRUE(at::equal(inpainting.A(x), x));
  inpainting.update({{"mask", mask}});
  EXPECT_TRUE(at::equal(inpainting.A(x), x * mask));
}

TEST(Inpainting, IsDifferentiable) {
  const at::Tensor mask = at::tensor({0.0, 3.0}, at::kFloat);
  at::Tensor x = at::ones({1, 1, 2}).requires_grad_();
  const at::Tensor y = Inpainting(mask).A(x);
  EXPECT_TRUE(at::equal(torch::autograd::grad({y}, {x}, {at::ones_like(y)})[0], mask.view({1, 1, 2})));
}

TEST(Inpainting, RefusesBadInput) {
  EXPECT_THROW(Inpainting{at::Tensor()}, InvalidArgument);
  EXPECT_THROW(Inpainting(at::ones({3})).A(at::ones({1, 1, 2})), InvalidArgument);
  EXPECT_THROW(Inpainting(at::ones({2, 1, 3})).A(at::ones({1, 1, 3})), InvalidArgument);
  EXPECT_THROW(Inpainting({2, 2}, 1.5, 0), InvalidArgument);
  EXPECT_THROW(Inpainting({2, 2}, std::numeric_limits<double>::quiet_NaN(), 0), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
