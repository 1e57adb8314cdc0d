// SPDX-License-Identifier: BSD-3-Clause
// Every data fidelity against automatic differentiation, against the variational property of a prox, and against
// numbers worked out by hand.
#include "adjoin/optim/data_fidelity.hpp"

#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "optim/support.hpp"

namespace adjoin::test::data_fidelity_test {
namespace {

struct Case {
  std::string name;
  DataFidelityPtr fidelity;
  bool positive = false;    // u and y are intensities
  bool gradient = true;     // has one
  bool complex_too = true;  // takes complex tensors
};

class Fidelity : public testing::TestWithParam<Case> {
 protected:
  const DataFidelity& d = *GetParam().fidelity;

  std::vector<at::ScalarType> types() const {
    return GetParam().complex_too ? std::vector<at::ScalarType>{at::kDouble, at::kComplexDouble}
                                  : std::vector<at::ScalarType>{at::kDouble};
  }
  at::Tensor draw(at::ScalarType type, std::uint64_t seed) const {
    const at::Tensor t = random_tensor({3, 5, 4}, type, seed);
    return GetParam().positive ? t.abs() + 0.1 : t;
  }
};

TEST_P(Fidelity, GradientEqualsAutomaticDifferentiation) {
  if (!GetParam().gradient) {
    EXPECT_THROW(d.grad(draw(at::kDouble, 1), draw(at::kDouble, 2)), InvalidArgument);
    return;
  }
  for (const at::ScalarType type : types()) {
    const at::Tensor u = draw(type, 1).requires_grad_();
    const at::Tensor y = draw(type, 2);
    const at::Tensor expected = torch::autograd::grad({d.fn(u, y)}, {u})[0];
    expect_near(d.grad(u.detach(), y), expected, 1e-12);
    const ValueAndGradient both = d.fn_and_grad(u.detach(), y);
    expect_near(both.grad, expected, 1e-12);
    EXPECT_NEAR(both.value, d.fn(u.detach(), y).item<double>(), 1e-12 * std::abs(both.value));
  }
}

TEST_P(Fidelity, LipschitzConstantBoundsTheGradientsSlope) {
  if (!std::isfinite(d.lipschitz())) {
    return;
  }
  for (const at::ScalarType type : types()) {
    const at::Tensor y = draw(type, 2);
    for (std::uint64_t seed = 10; seed < 20; ++seed) {
      const at::Tensor a = draw(type, seed);
      const at::Tensor b = draw(type, seed + 100);
      EXPECT_LE(adjoin::norm(d.grad(a, y) - d.grad(b, y)), d.lipschitz() * adjoin::norm(a - b) * (1 + 1e-12));
    }
  }
}

TEST_P(Fidelity, ProxMinimises) {
  for (const at::ScalarType type : types()) {
    const at::Tensor y = draw(type, 2);
    for (const double gamma : {0.05, 0.7, 8.0}) {
      const at::Tensor u = 2.0 * random_tensor(y.sizes(), type, 3);
      expect_is_prox([&](const at::Tensor& v) { return d.fn(v, y).item<double>(); }, u, gamma, d.prox(u, y, gamma));
    }
  }
}

TEST_P(Fidelity, ProxOfTheConjugateAndProxDecomposeEveryVector) {
  for (const at::ScalarType type : types()) {
    const at::Tensor y = draw(type, 2);
    const at::Tensor u = 2.0 * random_tensor(y.sizes(), type, 3);
    const double gamma = 0.6;
    // u = prox_{γ d*}(u) + γ prox_{d/γ}(u/γ) (Moreau).
    expect_near(d.prox_conjugate(u, y, gamma) + gamma * d.prox(u / gamma, y, 1.0 / gamma), u, 1e-12);
  }
}

TEST_P(Fidelity, ValuesAreSummedInDoubleAndZeroAtTheMeasurements) {
  const at::Tensor y = draw(at::kFloat, 2);
  EXPECT_EQ(d.fn(y, y).scalar_type(), at::kDouble);
  EXPECT_EQ(d.fn(y, y).dim(), 0);
  EXPECT_NEAR(d.fn(y, y).item<double>(), 0.0, 1e-5);
}

TEST_P(Fidelity, UnlikeShapesUndefinedTensorsAndBadStepsAreErrors) {
  const at::Tensor y = draw(at::kDouble, 2);
  EXPECT_THROW(d.fn(y.narrow(0, 0, 1), y), InvalidArgument);
  EXPECT_THROW(d.fn(y, {}), InvalidArgument);
  EXPECT_THROW(d.prox({}, y, 1.0), InvalidArgument);
  EXPECT_THROW(d.prox(y, y, 0.0), InvalidArgument);
  EXPECT_THROW(d.prox(y, y, std::numeric_limits<double>::infinity()), InvalidArgument);
  EXPECT_THROW(d.prox_conjugate(y, y, -1.0), InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    All, Fidelity,
    testing::Values(Case{"L2", std::make_shared<L2>()}, Case{"L2_sigma", std::make_shared<L2>(0.3)},
                    Case{"L2_sigma_of_each",
                         std::make_shared<L2>(random_tensor({3, 5, 4}, at::kDouble, 7).abs() + 0.3)},
                    Case{"L2_sigma_of_rows", std::make_shared<L2>(random_tensor({5, 1}, at::kFloat, 7).abs() + 0.3)},
                    Case{"L1", std::make_shared<L1>()},
                    Case{.name = "IndicatorLInf", .fidelity = std::make_shared<IndicatorLInf>(0.4), .gradient = false},
                    Case{"Huber", std::make_shared<Huber>(0.5)},
                    Case{.name = "Poisson",
                         .fidelity = std::make_shared<PoissonLikelihood>(),
                         .positive = true,
                         .complex_too = false},
                    Case{.name = "Amplitude",
                         .fidelity = std::make_shared<AmplitudeLoss>(),
                         .positive = true,
                         .complex_too = false}),
    [](const testing::TestParamInfo<Case>& test) { return test.param.name; });

at::Tensor row(std::initializer_list<double> values) {
  return at::tensor(at::ArrayRef<double>(values.begin(), values.size()), at::kDouble);
}

TEST(L2, IsHalfTheSquaredResidualOverTheVariance) {
  EXPECT_DOUBLE_EQ(L2(2.0).fn(row({1, 2, 3}), row({1, 0, 0})).item<double>(), 13.0 / 8.0);
}

TEST(L2, SigmaOfEachSampleWeighsItsResidual) {
  const at::Tensor sigma = row({1.0, 2.0, std::numeric_limits<double>::infinity()});
  const L2 d(sigma);
  EXPECT_DOUBLE_EQ(d.fn(row({1, 2, 3}), row({1, 0, 0})).item<double>(), 0.5 * 4.0 / 4.0);
  expect_near(d.grad(row({1, 2, 3}), row({0, 0, 0})), row({1.0, 0.5, 0.0}), 1e-15);
  expect_near(d.prox(row({1, 2, 3}), row({0, 0, 0}), 1.0), row({0.5, 1.6, 3.0}), 1e-15);
  EXPECT_EQ(d.lipschitz(), 1.0);
  EXPECT_TRUE(std::isnan(d.sigma()));
  // Its own copy, in the precision of what it is asked about.
  sigma.fill_(7.0);
  EXPECT_EQ(d.lipschitz(), 1.0);
  EXPECT_EQ(d.grad(row({1, 2, 3}).to(at::kFloat), row({0, 0, 0})).scalar_type(), at::kFloat);
  EXPECT_THROW(d.fn(row({1, 2}), row({1, 2})), InvalidArgument);
  EXPECT_THROW(L2(row({1.0, 0.0})), InvalidArgument);
  EXPECT_THROW(L2(row({1.0, -1.0})), InvalidArgument);
  EXPECT_THROW(L2(row({1.0, std::nan("")})), InvalidArgument);
  EXPECT_THROW(L2(at::Tensor{}), InvalidArgument);
  EXPECT_THROW(L2(at::ones({2}, at::kComplexDouble)), InvalidArgument);
}

TEST(Huber, IsQuadraticWithinDeltaAndLinearBeyond) {
  EXPECT_DOUBLE_EQ(Huber(0.5).fn(row({0.2, -2.0}), row({0, 0})).item<double>(), 0.02 + 0.5 * (2.0 - 0.25));
}

TEST(Poisson, GainAndBackgroundChangeVariables) {
  const PoissonLikelihood counts({.gain = 2.0, .background = 0.5});
  const at::Tensor u = row({1.0, 3.0});
  const at::Tensor y = row({2.0, 1.0});
  const double expected = (1.0 - 2.0 + 2.0 * std::log(2.0 / 1.0)) + (2.0 - 1.0 + std::log(1.0 / 2.0));
  EXPECT_NEAR(counts.fn(u, y).item<double>(), expected, 1e-14);
  expect_near(counts.grad(u, y), row({(1.0 - 2.0) / 2.0, (1.0 - 0.5) / 2.0}), 1e-14);
  const PoissonLikelihood scaled({.gain = 2.0, .background = 0.5, .denormalize = true});
  EXPECT_NEAR(scaled.fn(u, 2.0 * y).item<double>(), expected, 1e-14);
  expect_is_prox([&](const at::Tensor& v) { return counts.fn(v, y).item<double>(); }, row({-3.0, 0.4}), 0.3,
                 counts.prox(row({-3.0, 0.4}), y, 0.3));
}

TEST(Poisson, NoCountsAndNegativeExpectations) {
  const PoissonLikelihood d;
  EXPECT_EQ(d.fn(row({0.0}), row({0.0})).item<double>(), 0.0);
  EXPECT_EQ(d.fn(row({-0.1}), row({0.0})).item<double>(), std::numeric_limits<double>::infinity());
  expect_near(d.prox(row({-1.0, 0.3, 2.0}), row({0.0, 0.0, 0.0}), 0.3), row({0.0, 0.0, 1.7}), 1e-15);
}

TEST(Poisson, ProxKeepsItsDigitsFarOutside) {
  // t ≈ product / |m| for m very negative: the naive formula gives 0.
  const at::Tensor t = PoissonLikelihood().prox(row({-1e9}), row({1.0}), 1.0);
  expect_near(t, row({1e-9}), 1e-8);
}

TEST(Amplitude, ProxIsExactWithoutIntensity) {
  expect_near(AmplitudeLoss().prox(row({2.0, 0.5, -1.0}), row({0.0, 0.0, 0.0}), 1.0), row({1.0, 0.0, 0.0}), 1e-9);
}

TEST(Fidelities, BadParametersAreErrors) {
  EXPECT_THROW(L2(0.0), InvalidArgument);
  EXPECT_THROW(L2(-1.0), InvalidArgument);
  EXPECT_THROW(Huber(0.0), InvalidArgument);
  EXPECT_THROW(IndicatorLInf(-0.1), InvalidArgument);
  EXPECT_THROW(PoissonLikelihood({.gain = 0.0}), InvalidArgument);
  EXPECT_THROW(PoissonLikelihood({.background = -1.0}), InvalidArgument);
  EXPECT_THROW(PoissonLikelihood().fn(random_tensor({2}, at::kComplexDouble, 1), row({1, 2})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test::data_fidelity_test
