// SPDX-License-Identifier: BSD-3-Clause
// Products with weights, by themselves and fused.
#include "adjoin/operators/diagonal.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/fused.hpp"
#include "adjoin/physics/stacked.hpp"
#include "physics/fused_support.hpp"

namespace adjoin {
namespace {

double tolerance_of(at::ScalarType dtype) { return at::toRealValueType(dtype) == at::kFloat ? 1e-6 : 1e-13; }

std::vector<LinearPhysicsPtr> operators(const std::vector<at::Tensor>& weights) {
  std::vector<LinearPhysicsPtr> result;
  for (const at::Tensor& w : weights) {
    result.push_back(std::make_shared<Diagonal>(w));
  }
  return result;
}

TEST(Diagonal, ScalesByANumber) {
  const at::Tensor x = at::randn({2, 3, 4, 5}, at::kComplexDouble);
  EXPECT_TRUE(at::equal(Diagonal(-2.0).A(x), -2.0 * x));
  EXPECT_DOUBLE_EQ(Diagonal(-2.0).compute_sqnorm(x), 4.0);
  EXPECT_TRUE(at::allclose(Diagonal(-2.0).A_dagger(-2.0 * x), x));
}

// Numbers, planes and whole images as weights, for images that need one block of the kernel and several.
TEST(Diagonal, FusedStackEqualsPlainStack) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    for (const std::int64_t side : {5, 67}) {
      const std::vector<at::Tensor> weights = {at::randn({}, dtype), at::randn({side, side}, dtype),
                                               at::randn({1, 1, side, side}, dtype),
                                               at::randn({2, 3, side, side}, dtype)};
      const StackedLinearPhysics fused(operators(weights));
      const StackedLinearPhysics plain(operators(weights), {.fuse = false});
      const at::Tensor x = at::randn({2, 3, side, side}, dtype);
      const TensorList y = fused.A(x);
      EXPECT_EQ(fused[0].calls().A, 0) << "not fused";
      const TensorList expected = plain.A(x);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        EXPECT_LT(relative_difference(y[i], expected[i]), tolerance_of(dtype));
      }
      EXPECT_LT(relative_difference(fused.A_adjoint(y), plain.A_adjoint(y)), tolerance_of(dtype));
      EXPECT_LT(relative_difference(fused.A_adjoint_A(x), plain.A_adjoint_A(x)), tolerance_of(dtype));
      const at::Tensor out = at::empty_like(x);
      EXPECT_EQ(fused.A_adjoint_sum(y, out).const_data_ptr(), out.const_data_ptr());
      EXPECT_LT(relative_difference(out, plain.A_adjoint(y)), tolerance_of(dtype));
    }
  }
}

TEST(Diagonal, FusedStackFollowsUpdatesShapesAndDtypes) {
  const StackedLinearPhysics stack(operators({at::ones({4}), at::ones({4})}));
  const at::Tensor x = at::rand({1, 2, 4});
  EXPECT_TRUE(at::allclose(stack.A_adjoint_A(x), 2.0 * x));
  stack[1].update({{"weights", at::scalar_tensor(3.0)}});
  EXPECT_TRUE(at::allclose(stack.A_adjoint_A(x), 10.0 * x));
  const at::Tensor larger = at::rand({3, 5, 4}, at::kDouble);
  EXPECT_TRUE(at::allclose(stack.A_adjoint_A(larger), 10.0 * larger));
  EXPECT_TRUE(at::allclose(stack.A_adjoint(stack.A(x)), 10.0 * x));
}

TEST(Diagonal, WeightsThatDoNotRepeatTakeThePlainPath) {
  const StackedLinearPhysics stack(operators({at::rand({3, 1}), at::rand({2, 1, 1})}));
  const at::Tensor x = at::rand({2, 3, 4});
  EXPECT_TRUE(at::allclose(stack.A_adjoint_A(x), stack.A_adjoint(stack.A(x))));
  EXPECT_EQ(stack[0].calls().A, 2);
}

TEST(Diagonal, RefusesWeightsThatEnlargeTheImage) {
  const StackedLinearPhysics stack(operators({at::rand({3, 4})}));
  EXPECT_THROW((void)stack.A(at::rand({4})), Error);
  EXPECT_THROW((void)Diagonal(at::rand({3, 4})).A(at::rand({4})), InvalidArgument);
  EXPECT_THROW(Diagonal{at::Tensor()}, InvalidArgument);
}

}  // namespace
}  // namespace adjoin
