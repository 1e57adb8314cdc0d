// SPDX-License-Identifier: BSD-3-Clause
// Arithmetic of lists, and lists that do not fit.
#include "adjoin/core/tensor_list.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

TensorList two(double first, double second) {
  return {at::full({2, 3}, first, at::kDouble), at::full({4}, second, at::kFloat)};
}

void expect_equal(const TensorList& actual, const TensorList& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(at::equal(actual[i], expected[i])) << i;
  }
}

TEST(TensorList, ArithmeticIsEntrywise) {
  const TensorList a = two(6.0, 8.0);
  const TensorList b = two(2.0, 4.0);
  expect_equal(a + b, two(8.0, 12.0));
  expect_equal(a - b, two(4.0, 4.0));
  expect_equal(a * b, two(12.0, 32.0));
  expect_equal(a / b, two(3.0, 2.0));
  expect_equal(-a, two(-6.0, -8.0));
  expect_equal(a * 0.5, two(3.0, 4.0));
  expect_equal(0.5 * a, two(3.0, 4.0));
  expect_equal(a / 2.0, two(3.0, 4.0));
  expect_equal(a, two(6.0, 8.0));
}

TEST(TensorList, InPlaceArithmeticChangesTheSharedTensors) {
  TensorList a = two(6.0, 8.0);
  const TensorList same = a;
  a += two(1.0, 2.0);
  expect_equal(same, two(7.0, 10.0));
  a -= two(2.0, 2.0);
  a *= 2.0;
  expect_equal(same, two(10.0, 16.0));
}

TEST(TensorList, KeepsShapesAndTypesApart) {
  const TensorList sum = two(1.0, 2.0) + two(3.0, 4.0);
  EXPECT_EQ(sum[0].scalar_type(), at::kDouble);
  EXPECT_EQ(sum[1].scalar_type(), at::kFloat);
  EXPECT_EQ(sum.numel(), 10);
  EXPECT_EQ(TensorList().numel(), 0);
}

TEST(TensorList, ConvertsEntrywise) {
  const TensorList converted = two(1.0, 2.0).to(at::kComplexFloat);
  EXPECT_EQ(converted[0].scalar_type(), at::kComplexFloat);
  EXPECT_EQ(converted[1].scalar_type(), at::kComplexFloat);
  EXPECT_TRUE(two(1.0, 2.0).to(at::Device(at::kCPU))[1].is_cpu());
}

TEST(TensorList, CanBeFilledLater) {
  TensorList list(2);
  EXPECT_FALSE(list[1].defined());
  list[1] = at::ones({3});
  list.push_back(at::ones({1}));
  EXPECT_EQ(list.size(), 3U);
  std::int64_t seen = 0;
  for (const at::Tensor& entry : list) {
    seen += entry.defined() ? 1 : 0;
  }
  EXPECT_EQ(seen, 2);
}

TEST(TensorList, ListsOfDifferentLengthsAreAnErrorThatSaysSo) {
  TensorList a = two(1.0, 2.0);
  const TensorList b = {at::ones({2, 3}, at::kDouble)};
  EXPECT_THROW(a + b, InvalidArgument);
  EXPECT_THROW(a -= b, InvalidArgument);
  try {
    a += b;
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("got 2 and 1"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace adjoin
