// SPDX-License-Identifier: BSD-3-Clause
// Priors with closed forms, and denoisers used as priors.
#include "adjoin/optim/prior.hpp"

#include <limits>

#include "optim/support.hpp"

namespace adjoin::test::prior_test {
namespace {

struct Case {
  std::string name;
  PriorPtr prior;
  bool gradient = true;
  bool complex_too = true;
};

class ExplicitPrior : public testing::TestWithParam<Case> {
 protected:
  const Prior& g = *GetParam().prior;
  std::vector<at::ScalarType> types() const {
    return GetParam().complex_too ? std::vector<at::ScalarType>{at::kDouble, at::kComplexDouble}
                                  : std::vector<at::ScalarType>{at::kDouble};
  }
};

TEST_P(ExplicitPrior, GradientEqualsAutomaticDifferentiation) {
  for (const at::ScalarType type : types()) {
    const at::Tensor x = random_tensor({2, 3, 4, 5}, type, 1).requires_grad_();
    if (!GetParam().gradient) {
      EXPECT_THROW(g.grad(x), InvalidArgument);
      continue;
    }
    const at::Tensor value = g.fn(x);
    const at::Tensor expected =
        value.requires_grad() ? torch::autograd::grad({value}, {x})[0] : at::zeros_like(x.detach());
    expect_near(g.grad(x.detach()), expected, 1e-12);
  }
}

TEST_P(ExplicitPrior, ProxMinimises) {
  for (const at::ScalarType type : types()) {
    const at::Tensor x = random_tensor({2, 1, 3, 4}, type, 3);
    for (const double gamma : {0.05, 0.7}) {
      expect_is_prox([&](const at::Tensor& v) { return g.fn(v).item<double>(); }, x, gamma, g.prox(x, gamma));
    }
  }
}

TEST_P(ExplicitPrior, ProxOfTheConjugateAndProxDecomposeEveryVector) {
  const at::Tensor x = random_tensor({2, 1, 3, 4}, at::kDouble, 3);
  const double gamma = 0.6;
  const double lambda = 1.7;
  expect_near(g.prox_conjugate(x, gamma, lambda) + gamma * g.prox(x / gamma, lambda / gamma), x, 1e-12);
}

TEST_P(ExplicitPrior, ValuesAreDoubles) {
  const at::Tensor value = g.fn(random_tensor({2, 1, 3, 4}, at::kFloat, 3));
  EXPECT_EQ(value.scalar_type(), at::kDouble);
  EXPECT_EQ(value.dim(), 0);
}

TEST_P(ExplicitPrior, BadStepsAndTensorsAreErrors) {
  const at::Tensor x = random_tensor({2, 1, 3, 4}, at::kDouble, 3);
  EXPECT_THROW(g.prox(x, 0.0), InvalidArgument);
  EXPECT_THROW(g.prox(x, std::numeric_limits<double>::quiet_NaN()), InvalidArgument);
  EXPECT_THROW(g.prox(at::Tensor(), 1.0), InvalidArgument);
  EXPECT_THROW(g.fn(x.to(at::kLong)), InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    All, ExplicitPrior,
    testing::Values(
        Case{"Zero", std::make_shared<ZeroPrior>()}, Case{"Tikhonov", std::make_shared<Tikhonov>()},
        Case{"L1", std::make_shared<L1Prior>()},
        Case{.name = "Box", .prior = std::make_shared<Box>(-0.5, 0.3), .gradient = false, .complex_too = false},
        Case{.name = "Positivity", .prior = std::make_shared<Positivity>(), .gradient = false, .complex_too = false}),
    [](const testing::TestParamInfo<Case>& test) { return test.param.name; });

TEST(Box, IsInfiniteOutside) {
  EXPECT_EQ(Positivity().fn(at::tensor({1.0, -1e-3})).item<double>(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(Positivity().fn(at::tensor({1.0, 0.0})).item<double>(), 0.0);
  EXPECT_EQ(Box(0.0, 1.0).fn(at::tensor({1.1})).item<double>(), std::numeric_limits<double>::infinity());
  EXPECT_THROW(Box(1.0, 0.0), InvalidArgument);
  EXPECT_THROW(Positivity().prox(random_tensor({2}, at::kComplexDouble, 1), 1.0), InvalidArgument);
}

TEST(PnP, TheDenoiserStandsForTheProx) {
  std::vector<double> strengths;
  const Denoiser halve = [&](const at::Tensor& x, double sigma) {
    strengths.push_back(sigma);
    return 0.5 * x;
  };
  const at::Tensor x = random_tensor({1, 1, 4, 4}, at::kFloat, 1);
  expect_near(PnP(halve, 0.1).prox(x, 4.0), 0.5 * x, 0.0);
  expect_near(PnP(halve).prox(x, 4.0), 0.5 * x, 0.0);
  EXPECT_EQ(strengths, (std::vector<double>{0.1, 2.0}));
  EXPECT_FALSE(PnP(halve).explicit_prior());
  EXPECT_THROW(PnP(halve).fn(x), InvalidArgument);
  EXPECT_THROW(PnP(halve).grad(x), InvalidArgument);
}

TEST(RED, GradientIsWhatTheDenoiserRemoves) {
  const RED prior([](const at::Tensor& x, double sigma) { return x * (1.0 - sigma); }, 0.25);
  const at::Tensor x = random_tensor({1, 1, 4, 4}, at::kDouble, 1);
  expect_near(prior.grad(x), 0.25 * x, 1e-15);
  EXPECT_THROW(prior.prox(x, 1.0), InvalidArgument);
}

TEST(PnP, ADenoiserThatChangesShapeOrDtypeIsAnError) {
  const at::Tensor x = random_tensor({1, 1, 4, 4}, at::kFloat, 1);
  EXPECT_THROW(PnP([](const at::Tensor& t, double) { return t.narrow(3, 0, 2); }).prox(x, 1.0), InvalidArgument);
  EXPECT_THROW(PnP([](const at::Tensor& t, double) { return t.to(at::kDouble); }).prox(x, 1.0), InvalidArgument);
  EXPECT_THROW(PnP([](const at::Tensor&, double) { return at::Tensor(); }).prox(x, 1.0), InvalidArgument);
  EXPECT_THROW(PnP(Denoiser{}), InvalidArgument);
  EXPECT_THROW(PnP([](const at::Tensor& t, double) { return t; }, -1.0), InvalidArgument);
  EXPECT_THROW(RED(Denoiser{}, 0.1), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test::prior_test
