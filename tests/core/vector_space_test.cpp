// SPDX-License-Identifier: BSD-3-Clause
// Inner products and updates against plain tensor operations, for all dtypes and layouts.
#include "adjoin/core/vector_space.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <span>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

using Complex = c10::complex<double>;

at::Tensor randn(at::IntArrayRef shape, at::ScalarType dtype, std::uint64_t seed = 0) {
  return adjoin::randn_like(at::zeros(shape, dtype), seed);
}

constexpr std::array kernel_types = {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble};

double accuracy(at::ScalarType dtype) { return c10::toRealValueType(dtype) == at::kDouble ? 1e-13 : 1e-6; }

/// Σ conj(a) b by plain tensor operations.
Complex reference_dot(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor sum = (a.to(at::kComplexDouble).conj() * b.to(at::kComplexDouble)).sum();
  return sum.item<Complex>();
}

void expect_near(Complex actual, Complex expected, double tolerance) {
  EXPECT_LE(std::abs(actual - expected), tolerance * std::max(1.0, std::abs(expected)))
      << actual << " against " << expected;
}

void expect_close(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  ASSERT_EQ(actual.scalar_type(), expected.scalar_type());
  EXPECT_LE((actual - expected).abs().max().item<double>(),
            tolerance * std::max(1.0, expected.abs().max().item<double>()));
}

TEST(Dot, EqualsTheSumOfProductsForAllTypesAndLengths) {
  for (auto dtype : kernel_types) {
    for (std::int64_t n : {0, 1, 5, 16, 17, 100, 70001, 200003}) {
      const at::Tensor a = randn({n}, dtype, 1);
      const at::Tensor b = randn({n}, dtype, 2);
      const double tolerance = 1e-12 * std::sqrt(static_cast<double>(n) + 1.0);
      expect_near(adjoin::dot(a, b)[0], reference_dot(a, b), tolerance);
      expect_near(adjoin::squared_norm(a)[0], reference_dot(a, a), 1e-12);
      EXPECT_EQ(adjoin::squared_norm(a)[0].imag(), 0.0);
    }
  }
}

TEST(Dot, ConjugatesItsFirstArgument) {
  const at::Tensor i = at::full({1}, Complex(0.0, 1.0), at::kComplexDouble);
  const at::Tensor one = at::ones({1}, at::kComplexDouble);
  EXPECT_EQ(adjoin::dot(i, one)[0], Complex(0.0, -1.0));
}

TEST(Dot, AccumulatesInDoublePrecision) {
  at::Tensor a = at::full({1 << 20}, 1e-4F, at::kFloat);
  a[0] = 1e3F;
  EXPECT_NEAR(adjoin::squared_norm(a)[0].real(), 1e6 + ((1 << 20) - 1) * 1e-8, 1e-6);
}

TEST(Dot, KeepsItemsApart) {
  for (auto dtype : kernel_types) {
    const at::Tensor a = randn({3, 2, 7}, dtype, 1);
    const at::Tensor b = randn({3, 2, 7}, dtype, 2);
    const Scalars result = adjoin::dot(a, b, 3);
    ASSERT_EQ(result.size(), 3U);
    for (std::int64_t i = 0; i < 3; ++i) {
      expect_near(result[static_cast<std::size_t>(i)], reference_dot(a[i], b[i]), 1e-12);
    }
  }
}

TEST(Dot, TakesAnyLayoutAndMixedTypes) {
  const at::Tensor a = randn({4, 6}, at::kComplexFloat, 1);
  const at::Tensor b = randn({6, 4}, at::kComplexFloat, 2);
  expect_near(adjoin::dot(a.t(), b)[0], reference_dot(a.t(), b), 1e-6);
  expect_near(adjoin::dot(a.conj(), b.t(), 4)[2], reference_dot(a.conj()[2], b.t()[2]), 1e-6);
  const at::Tensor real = randn({4, 6}, at::kDouble, 3);
  expect_near(adjoin::dot(real, a)[0], reference_dot(real, a), 1e-6);
  expect_near(adjoin::dot(a, real)[0], reference_dot(a, real), 1e-6);
  const at::Tensor half = real.to(at::kHalf);
  expect_near(adjoin::dot(half, half)[0], reference_dot(half, half), 1e-12);
  const at::Tensor integers = at::arange(5);
  EXPECT_EQ(adjoin::squared_norm(integers)[0], Complex(30.0));
}

TEST(Dot, NamesWhatDoesNotFit) {
  const at::Tensor a = at::zeros({3, 2});
  EXPECT_THROW(adjoin::dot(a, at::zeros({2, 3})), InvalidArgument);
  EXPECT_THROW(adjoin::dot(a, a, 2), InvalidArgument);
  EXPECT_THROW(adjoin::dot(a, a, 0), InvalidArgument);
  EXPECT_THROW(adjoin::dot(at::tensor(1.0), at::tensor(1.0), 2), InvalidArgument);
  EXPECT_THROW(adjoin::dot(TensorList{a}, TensorList{a, a}), InvalidArgument);
}

TEST(Norm, IsTheEuclideanOneOverAllEntries) {
  EXPECT_DOUBLE_EQ(adjoin::norm(at::tensor({3.0, 4.0}, at::kDouble)), 5.0);
  const TensorList list = {at::full({2}, 3.0, at::kFloat), at::full({1}, Complex(0.0, 4.0), at::kComplexDouble)};
  EXPECT_DOUBLE_EQ(adjoin::norm(list), std::sqrt(9.0 + 9.0 + 16.0));
  EXPECT_EQ(adjoin::norm(TensorList()), 0.0);
}

TEST(Dots, AreTheSingleProducts) {
  const at::Tensor a = randn({2, 5}, at::kComplexDouble, 1);
  const at::Tensor b = randn({2, 5}, at::kComplexDouble, 2);
  const auto products = adjoin::dots({{&a, &b}, {&b, &b}}, 2);
  ASSERT_EQ(products.size(), 2U);
  EXPECT_EQ(products[0], adjoin::dot(a, b, 2));
  EXPECT_EQ(products[1], adjoin::squared_norm(b, 2));
}

TEST(Axpby, EqualsTheFormulaForAllTypesAndLengths) {
  for (auto dtype : kernel_types) {
    for (std::int64_t n : {1, 5, 17, 70001, 200003}) {
      for (Complex alpha : {Complex(0.5), Complex(0.5, -2.0)}) {
        const at::Tensor x = randn({n}, dtype, 1);
        at::Tensor y = randn({n}, dtype, 2);
        const Complex beta(-1.5);
        const at::Tensor expected = c10::isComplexType(dtype) ? (alpha * x + beta * y).to(dtype)
                                                              : (alpha.real() * x + beta.real() * y).to(dtype);
        adjoin::axpby({alpha}, x, {beta}, y);
        expect_close(y, expected, accuracy(dtype));
      }
    }
  }
}

TEST(Axpby, HasItsOwnFactorsForEveryItem) {
  for (auto dtype : kernel_types) {
    const at::Tensor x = randn({3, 4, 2}, dtype, 1);
    at::Tensor y = randn({3, 4, 2}, dtype, 2);
    const at::Tensor before = y.clone();
    adjoin::axpby({2.0, 0.0, -1.0}, x, {1.0, 1.0, 0.5}, y);
    expect_close(y[0], before[0] + 2.0 * x[0], accuracy(dtype));
    EXPECT_TRUE(at::equal(y[1], before[1]));
    expect_close(y[2], 0.5 * before[2] - x[2], accuracy(dtype));
  }
}

TEST(Axpby, TakesAnyLayoutAndMixedTypes) {
  const at::Tensor x = randn({5, 3}, at::kFloat, 1).t();
  at::Tensor y = randn({3, 5}, at::kComplexDouble, 2);
  const at::Tensor expected = Complex(0.0, 2.0) * x.to(at::kComplexDouble) + 3.0 * y;
  adjoin::axpby({Complex(0.0, 2.0)}, x, {3.0}, y);
  expect_close(y, expected, 1e-12);

  at::Tensor items = randn({3, 5}, at::kDouble, 4);
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor rows = at::stack({wide[0], 2.0 * wide[1] + items[1], 3.0 * wide[2] + 2.0 * items[2]});
  adjoin::axpby({1.0, 2.0, 3.0}, x, {0.0, 1.0, 2.0}, items);
  expect_close(items, rows, 1e-12);

  at::Tensor half = at::ones({4}, at::kHalf);
  adjoin::axpby({2.0}, half.clone(), {1.0}, half);
  EXPECT_TRUE(at::equal(half, at::full({4}, 3.0, at::kHalf)));
}

TEST(Axpby, MayAliasItsArgument) {
  at::Tensor y = at::ones({1000}, at::kFloat);
  adjoin::axpby({2.0}, y, {-0.5}, y);
  EXPECT_TRUE(at::equal(y, at::full({1000}, 1.5F)));
}

TEST(Axpby, NamesWhatDoesNotFit) {
  at::Tensor y = at::zeros({3, 2});
  EXPECT_THROW(adjoin::axpby({1.0}, at::zeros({2, 3}), {1.0}, y), InvalidArgument);
  EXPECT_THROW(adjoin::axpby({1.0, 1.0}, y, {1.0, 1.0}, y), InvalidArgument);
  EXPECT_THROW(adjoin::axpby({1.0}, y, {1.0, 1.0, 1.0}, y), InvalidArgument);
  EXPECT_THROW(adjoin::axpby({1.0}, at::zeros({3, 2}, at::kComplexFloat), {1.0}, y), InvalidArgument);
}

TEST(Axpby, ShorthandsAgree) {
  const at::Tensor x = randn({2, 6}, at::kComplexDouble, 1);
  const at::Tensor y = randn({2, 6}, at::kComplexDouble, 2);
  const Scalars factors = {Complex(2.0, 1.0), Complex(-1.0)};
  const at::Tensor column = at::tensor({2.0, -1.0}, at::kDouble).view({2, 1}) +
                            Complex(0.0, 1.0) * at::tensor({1.0, 0.0}, at::kDouble).view({2, 1});
  at::Tensor z = y.clone();
  adjoin::axpy(factors, x, z);
  expect_close(z, y + column * x, 1e-13);
  z = y.clone();
  adjoin::xpby(x, factors, z);
  expect_close(z, x + column * y, 1e-13);
  z = y.clone();
  adjoin::scale(factors, z);
  expect_close(z, column * y, 1e-13);
  z = y.t().clone(at::MemoryFormat::Contiguous).t();
  adjoin::scale(factors, z);
  expect_close(z, column * y, 1e-13);
}

TEST(Vectors, ListsAreEntrywise) {
  const TensorList x = {randn({2, 3}, at::kFloat, 1), randn({2}, at::kComplexDouble, 2)};
  const TensorList y = {randn({2, 3}, at::kFloat, 3), randn({2}, at::kComplexDouble, 4)};
  TensorList z = adjoin::clone(y);
  adjoin::axpby({2.0, 3.0}, x, {1.0, 0.0}, z);
  expect_close(z[0], at::stack({2.0 * x[0][0] + y[0][0], 3.0 * x[0][1]}), 1e-6);
  expect_close(z[1], at::stack({2.0 * x[1][0] + y[1][0], 3.0 * x[1][1]}), 1e-13);
  const Scalars products = adjoin::dot(x, y, 2);
  expect_near(products[1], reference_dot(x[0][1], y[0][1]) + reference_dot(x[1][1], y[1][1]), 1e-12);
  adjoin::scale({0.0, 1.0}, z);
  EXPECT_EQ(z[0][0].abs().max().item<double>(), 0.0);
  EXPECT_THROW(adjoin::axpy({1.0}, TensorList{x[0]}, z), InvalidArgument);
}

TEST(Vectors, CopiesAreContiguousAndTheirOwn) {
  const at::Tensor a = randn({3, 4}, at::kComplexFloat).t().conj();
  at::Tensor copy = adjoin::clone(a);
  EXPECT_TRUE(copy.is_contiguous());
  EXPECT_FALSE(copy.is_conj());
  EXPECT_TRUE(at::equal(copy, a));
  EXPECT_FALSE(copy.is_alias_of(a));
  const at::Tensor zeros = adjoin::zeros_like(a);
  EXPECT_TRUE(zeros.is_contiguous());
  EXPECT_EQ(zeros.scalar_type(), at::kComplexFloat);
  EXPECT_EQ(zeros.abs().max().item<double>(), 0.0);

  const TensorList list = {a, at::ones({2})};
  EXPECT_FALSE(adjoin::clone(list)[1].is_alias_of(list[1]));
  EXPECT_EQ(adjoin::zeros_like(list)[0].sizes(), a.sizes());
}

TEST(Vectors, RandomOnesFollowTheirSeed) {
  const at::Tensor like = at::zeros({2000}, at::kComplexDouble);
  EXPECT_TRUE(at::equal(adjoin::randn_like(like, 7), adjoin::randn_like(like, 7)));
  EXPECT_FALSE(at::equal(adjoin::randn_like(like, 7), adjoin::randn_like(like, 8)));
  EXPECT_NEAR(adjoin::squared_norm(adjoin::randn_like(like, 7))[0].real() / 2000.0, 1.0, 0.15);
  EXPECT_FALSE(adjoin::randn_like(at::zeros({2}).requires_grad_(), 0).requires_grad());
}

// ---- Sharded vectors --------------------------------------------------------------------------------------------

/// As if `ranks` ranks held the same values as this one.
class TwinRanks : public ScalarSum {
 public:
  explicit TwinRanks(double ranks) : ranks_(ranks) {}
  void sum(std::span<Complex> values) override {
    ++calls;
    length = values.size();
    for (Complex& value : values) {
      value *= ranks_;
    }
  }
  int calls = 0;
  std::size_t length = 0;

 private:
  double ranks_;
};

ShardedTensorList sharded(TensorList local, std::shared_ptr<ScalarSum> reducer, double weight) {
  return {.local = std::move(local),
          .space = std::make_shared<MeasurementSpace>(std::vector<std::int64_t>{0, 3}, 4, weight, std::move(reducer))};
}

TEST(Sharded, InnerProductIsGlobalAndWeighted) {
  const TensorList local = {randn({2, 5}, at::kDouble, 1), randn({2, 3}, at::kComplexFloat, 2)};
  const auto ranks = std::make_shared<TwinRanks>(3.0);
  const ShardedTensorList a = sharded(local, ranks, 0.25);
  expect_near(adjoin::dot(a, a, 2)[1], 0.75 * adjoin::dot(local, local, 2)[1], 1e-13);
  EXPECT_NEAR(adjoin::norm(a), std::sqrt(0.75) * adjoin::norm(local), 1e-12);
  EXPECT_EQ(ranks->calls, 2);
}

TEST(Sharded, SeveralInnerProductsCostOneReduction) {
  const auto ranks = std::make_shared<TwinRanks>(2.0);
  const ShardedTensorList a = sharded({randn({2, 5}, at::kDouble, 1), randn({2, 3}, at::kDouble, 2)}, ranks, 1.0);
  const ShardedTensorList b = sharded({randn({2, 5}, at::kDouble, 3), randn({2, 3}, at::kDouble, 4)}, ranks, 1.0);
  const auto products = adjoin::dots({{&a, &b}, {&a, &a}, {&b, &b}}, 2);
  EXPECT_EQ(ranks->calls, 1);
  EXPECT_EQ(ranks->length, 6U);
  ASSERT_EQ(products.size(), 3U);
  expect_near(products[0][1], 2.0 * adjoin::dot(a.local, b.local, 2)[1], 1e-13);
  expect_near(products[2][0], 2.0 * adjoin::dot(b.local, b.local, 2)[0], 1e-13);
}

TEST(Sharded, RankWithoutEntriesTakesPartInTheSum) {
  const auto ranks = std::make_shared<TwinRanks>(2.0);
  const ShardedTensorList empty = sharded({}, ranks, 1.0);
  EXPECT_EQ(adjoin::dot(empty, empty, 3), Scalars(3, 0.0));
  EXPECT_EQ(ranks->calls, 1);
  EXPECT_EQ(ranks->length, 3U);
}

TEST(Sharded, VectorsOfUnlikeSpacesAreRefused) {
  const auto ranks = std::make_shared<TwinRanks>(2.0);
  const TensorList local = {at::ones({2}), at::ones({3})};
  const ShardedTensorList a = sharded(local, ranks, 1.0);
  ShardedTensorList b = sharded(local, ranks, 0.25);
  EXPECT_THROW(adjoin::dot(a, b), InvalidArgument);
  EXPECT_THROW(adjoin::axpy({2.0}, a, b), InvalidArgument);
  EXPECT_THROW(adjoin::xpby(a, {2.0}, b), InvalidArgument);
  EXPECT_THROW(adjoin::axpby({1.0}, a, {2.0}, b), InvalidArgument);
  EXPECT_THROW(adjoin::dots({{&a, &a}, {&b, &b}}), InvalidArgument);
  ShardedTensorList elsewhere = {
      .local = local, .space = std::make_shared<MeasurementSpace>(std::vector<std::int64_t>{1, 3}, 4, 1.0, ranks)};
  EXPECT_THROW(adjoin::dot(a, elsewhere), InvalidArgument);
  EXPECT_THROW(adjoin::dot(a, ShardedTensorList{.local = local, .space = nullptr}), InvalidArgument);
  const ShardedTensorList alike = sharded(local, ranks, 1.0);
  expect_near(adjoin::dot(a, alike)[0], 10.0, 1e-13);
}

TEST(Sharded, ArithmeticIsLocalAndKeepsTheLayout) {
  const auto ranks = std::make_shared<TwinRanks>(2.0);
  const ShardedTensorList x = sharded({at::ones({2}), at::ones({3})}, ranks, 0.5);
  ShardedTensorList y = adjoin::zeros_like(x);
  adjoin::axpy({2.0}, x, y);
  adjoin::xpby(x, {3.0}, y);
  adjoin::scale({2.0}, y);
  EXPECT_TRUE(at::equal(y.local[1], at::full({3}, 14.0)));
  EXPECT_TRUE(at::equal(x.local[1], at::ones({3})));
  const ShardedTensorList copy = adjoin::clone(y);
  EXPECT_FALSE(copy.local[0].is_alias_of(y.local[0]));
  EXPECT_EQ(copy.space, x.space);
  EXPECT_EQ(ranks->calls, 0);
}

TEST(CommonItems, IsTheSharedLengthOfDimensionZero) {
  EXPECT_EQ(common_items(at::zeros({4, 3}), at::zeros({4, 7, 2})), 4);
  EXPECT_EQ(common_items(at::zeros({4, 3}), at::zeros({5, 7})), 1);
  EXPECT_EQ(common_items(at::zeros({4}), at::zeros({4})), 1);
  EXPECT_EQ(common_items(at::zeros({4, 3}), at::zeros({4})), 1);
  EXPECT_EQ(common_items(at::zeros({4, 3}), TensorList{at::zeros({4, 2}), at::zeros({4, 9})}), 4);
  EXPECT_EQ(common_items(at::zeros({4, 3}), TensorList{at::zeros({4, 2}), at::zeros({3, 9})}), 1);
  EXPECT_EQ(common_items(at::zeros({4}), TensorList{at::zeros({4, 2})}), 1);
}

}  // namespace
}  // namespace adjoin
