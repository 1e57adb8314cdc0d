// SPDX-License-Identifier: BSD-3-Clause
// Norms where squares do not fit into a double, against norms of scaled vectors.
#include "adjoin/core/norms.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "adjoin/core/vector_space.hpp"

namespace adjoin::test::norms_test {
namespace {

at::Tensor draw(at::ScalarType dtype) { return adjoin::randn_like(at::zeros({3, 50}, dtype), 1); }

TEST(Norms, AreRightAtAllScalesThatADoubleHolds) {
  for (const at::ScalarType dtype : {at::kDouble, at::kComplexDouble}) {
    const at::Tensor a = draw(dtype);
    const double norm = at::linalg_vector_norm(a).item().toDouble();
    for (const int exponent : {-1020, -900, -600, -500, -300, 0, 300, 500, 600, 900, 1000}) {
      const at::Tensor scaled = a * std::ldexp(1.0, exponent);
      const double accuracy = exponent < -1000 ? 1e-10 : 1e-14;  // some entries have lost digits there
      EXPECT_NEAR(adjoin::norm(scaled) / std::ldexp(norm, exponent), 1.0, accuracy) << exponent;
      EXPECT_NEAR(adjoin::norm(TensorList{scaled, scaled}) / std::ldexp(norm, exponent), std::sqrt(2.0), accuracy);
    }
  }
  const at::Tensor f = draw(at::kFloat);
  for (const double scale : {1e-37, 1e-30, 1.0, 1e30, 1e36}) {
    EXPECT_NEAR(adjoin::norm(f * scale) / (scale * adjoin::norm(f)), 1.0, 1e-6) << scale;
  }
}

TEST(Norms, AreThoseOfEachItemHoweverUnlike) {
  at::Tensor a = draw(at::kDouble);
  const Reals plain = norms(a, 3);
  a[0] *= 1e-200;
  a[2] *= 1e250;
  const Reals scaled = norms(a, 3);
  EXPECT_NEAR(scaled[0] / plain[0], 1e-200, 1e-213);
  EXPECT_EQ(scaled[1], plain[1]);
  EXPECT_NEAR(scaled[2] / plain[2] / 1e250, 1.0, 1e-13);
}

TEST(Norms, OfNothingZeroInfinityAndNaN) {
  EXPECT_EQ(adjoin::norm(at::zeros({4}, at::kDouble)), 0.0);
  EXPECT_EQ(adjoin::norm(at::empty({0}, at::kDouble)), 0.0);
  EXPECT_EQ(adjoin::norm(TensorList{}), 0.0);
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(adjoin::norm(at::full({2}, -infinity, at::kDouble)), infinity);
  EXPECT_EQ(adjoin::norm(at::full({2}, infinity, at::kFloat)), infinity);
  EXPECT_TRUE(std::isnan(adjoin::norm(at::full({2}, std::nan(""), at::kDouble))));
}

// As if another rank held one more tensor of the same norm.
class Twice : public ScalarSum {
 public:
  void sum(std::span<c10::complex<double>> values) override {
    ++calls;
    for (auto& value : values) {
      value *= 2.0;
    }
  }
  int calls = 0;
};

TEST(Norms, OfShardedVectorsAreGlobal) {
  const auto twice = std::make_shared<Twice>();
  ShardedTensorList a{.local = {draw(at::kDouble)},
                      .space = std::make_shared<MeasurementSpace>(
                          MeasurementSpace{.indices = {0}, .total = 2, .weight = 0.25, .reducer = twice})};
  const double plain = norms(a)[0];
  EXPECT_EQ(twice->calls, 1);
  EXPECT_NEAR(plain, std::sqrt(0.5) * adjoin::norm(a.local), 1e-13 * plain);
  a.local = {a.local[0] * 1e-200};
  EXPECT_NEAR(norms(a)[0] / plain, 1e-200, 1e-213);
  EXPECT_EQ(twice->calls, 3);
}

}  // namespace
}  // namespace adjoin::test::norms_test
