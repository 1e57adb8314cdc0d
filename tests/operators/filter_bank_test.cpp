// SPDX-License-Identifier: BSD-3-Clause
// Banks against one blur a kernel, by themselves and fused.
#include "adjoin/operators/filter_bank.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/arithmetic.hpp"
#include "operators/specimens.hpp"

namespace adjoin::filter_bank_test {
namespace {

using specimens::drawn;

TEST(FilterBank, IsEveryKernelOnEveryChannel) {
  for (const Padding padding : {Padding::Valid, Padding::Circular, Padding::Reflect}) {
    const at::Tensor filters = drawn({6, 1, 2, 3, 3}, 1);
    const at::Tensor x = drawn({2, 2, 6, 7, 8}, 2);
    const FilterBank bank(filters, {.padding = padding});
    const at::Tensor y = bank.A(x);
    ASSERT_EQ(y.size(1), 12);
    for (std::int64_t k = 0; k < 6; ++k) {
      const at::Tensor one = Blur(filters.narrow(0, k, 1), {.padding = padding}).A(x);
      EXPECT_TRUE(at::allclose(y.narrow(1, 2 * k, 2), one));
    }
    EXPECT_EQ(bank.image_like(y).sizes(), x.sizes());
    EXPECT_LT(bank.adjointness_test(x), 1e-12);
    EXPECT_TRUE(at::allclose(bank.A_adjoint_A(x), bank.A_adjoint(y)));
    EXPECT_TRUE(at::allclose(bank.A_dagger(y, {.max_iter = 500, .tol = 1e-12}), x, 1e-5, 1e-5));
  }
}

TEST(FilterBank, FusedStackEqualsPlainStack) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexDouble}) {
    const auto make = [](std::int64_t kernels, std::uint64_t seed) {
      return std::make_shared<FilterBank>(drawn({kernels, 1, 3, 3, 3}, seed),
                                          BlurOptions{.padding = Padding::Circular, .method = ConvolutionMethod::Fft});
    };
    const std::vector<LinearPhysicsPtr> banks = {make(2, 1), make(1, 2), make(4, 3)};
    const StackedLinearPhysics fused(banks);
    const StackedLinearPhysics plain(banks, {.fuse = false});
    const double tolerance = dtype == at::kFloat ? 1e-4 : 1e-10;
    for (const std::int64_t items : {1, 2}) {
      const at::Tensor x = drawn({items, 2, 6, 8, 10}, 4, dtype);
      const std::int64_t calls = banks[0]->calls().A;
      const TensorList y = fused.A(x);
      const at::Tensor adjoint = fused.A_adjoint(y);
      const at::Tensor normal = fused.A_adjoint_A(x);
      EXPECT_EQ(banks[0]->calls().A, calls) << "not fused";
      const TensorList expected = plain.A(x);
      for (std::size_t i = 0; i < banks.size(); ++i) {
        EXPECT_TRUE(at::allclose(y[i], expected[i], tolerance, tolerance));
      }
      EXPECT_TRUE(at::allclose(adjoint, plain.A_adjoint(y), tolerance, tolerance));
      EXPECT_TRUE(at::allclose(normal, plain.A_adjoint_A(x), tolerance, tolerance));
      EXPECT_EQ(fused.normal_form(x).defined(), transform_library() != "ATen");  // where it would be no quicker
    }
  }
}

TEST(FilterBank, FollowsItsFilters) {
  const at::Tensor filters = drawn({2, 1, 3, 3}, 1);
  const at::Tensor x = drawn({1, 1, 8, 8}, 2);
  FilterBank bank(filters);
  const at::Tensor before = bank.A(x);
  filters.mul_(2.0);
  EXPECT_TRUE(at::allclose(bank.A(x), 2.0 * before));
  EXPECT_TRUE(at::allclose(bank.A(x, {{"filters", 3.0 * filters}}), 6.0 * before));
  bank.update({{"filters", filters * 5.0}});
  EXPECT_TRUE(at::allclose(bank.A(x), 10.0 * before));
  const at::Tensor leaf = filters.clone().requires_grad_();
  EXPECT_TRUE(torch::autograd::grad({FilterBank(leaf).A(x).sum()}, {leaf})[0].defined());
}

TEST(FilterBank, RefusesBadInput) {
  EXPECT_THROW(FilterBank(at::ones({2, 2, 3, 3})), InvalidArgument);
  EXPECT_THROW(FilterBank(at::ones({3, 3})), InvalidArgument);
  const FilterBank bank(at::ones({2, 1, 3, 3}));
  EXPECT_THROW(bank.A(at::ones({1, 8, 8})), InvalidArgument);
  EXPECT_THROW(bank.A(at::ones({1, 1, 2, 2})), InvalidArgument);
  EXPECT_THROW(bank.A_adjoint(at::ones({1, 3, 8, 8})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::filter_bank_test
