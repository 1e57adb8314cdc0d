// SPDX-License-Identifier: BSD-3-Clause
// Data fidelities where their formulas divide by zero, cancel, overflow or leave their domain: against long double
// arithmetic, and their prox against a search for the minimum, one number at a time.
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "adjoin/optim/data_fidelity.hpp"
#include "optim/support.hpp"

namespace adjoin::test::fidelity_edges_test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Edge {
  std::string name;
  DataFidelityPtr fidelity;
  // d(u, y) and its slope, as their definitions have them where they are defined; u below `lowest` is outside.
  std::function<long double(long double u, long double y)> value;
  std::function<long double(long double u, long double y)> slope;
  double lowest;
  bool positive;
};

const std::vector<Edge>& edges() {
  const auto poisson = [](double gain, double background) {
    return [=](long double u, long double y) {
      const long double t = u / gain + background;
      return t - y + (y > 0 ? y * (std::log(y) - std::log(t)) : 0.0L);
    };
  };
  const auto poisson_slope = [](double gain, double background) {
    return [=](long double u, long double y) { return (1 - (y > 0 ? y / (u / gain + background) : 0.0L)) / gain; };
  };
  static const std::vector<Edge> all = {
      {"L2", std::make_shared<L2>(0.5), [](long double u, long double y) { return 2 * (u - y) * (u - y); },
       [](long double u, long double y) { return 4 * (u - y); }, -infinity, false},
      {"L1", std::make_shared<L1>(), [](long double u, long double y) { return std::abs(u - y); },
       [](long double u, long double y) { return u > y   ? 1.0L
                                                 : u < y ? -1.0L
                                                         : 0.0L; }, -infinity, false},
      {"Huber", std::make_shared<Huber>(0.3),
       [](long double u, long double y) {
         const long double r = std::abs(u - y);
         return r <= 0.3 ? r * r / 2 : 0.3 * (r - 0.15L);
       },
       [](long double u, long double y) { return std::clamp(u - y, -0.3L, 0.3L); }, -infinity, false},
      {"Poisson", std::make_shared<PoissonLikelihood>(), poisson(1.0, 0.0), poisson_slope(1.0, 0.0), 0.0, true},
      {"Poisson with background", std::make_shared<PoissonLikelihood>(PoissonOptions{.gain = 2.0, .background = 0.25}),
       poisson(2.0, 0.25), poisson_slope(2.0, 0.25), -0.5, true},
      {"Amplitude", std::make_shared<AmplitudeLoss>(),
       [](long double u, long double y) { return std::pow(std::sqrt(u + 1e-12L) - std::sqrt(y), 2); },
       [](long double u, long double y) { return 1 - std::sqrt(y / (u + 1e-12L)); }, 0.0, true}};
  return all;
}

at::Tensor one(double value, at::ScalarType dtype) { return at::full({1, 1}, value, dtype); }

// What a dtype makes of a number, and how near results must be, of the largest number that takes part.
double rounded(double value, at::ScalarType dtype) { return one(value, dtype).item<double>(); }
double accuracy(at::ScalarType dtype) { return dtype == at::kFloat ? 2e-6 : 2e-14; }

const std::vector<double>& numbers(bool positive) {
  static const std::vector<double> any = {-1e30, -1e6, -2.0,  -1e-9, -1e-30, 0.0, 1e-30,    1e-12, 1e-3,
                                          0.5,   1.0,  1.001, 7.0,   1e3,    1e6, 1e6 + 50, 1e15,  1e30};
  static const std::vector<double> above(any.begin() + 5, any.end());
  return positive ? above : any;
}

class FidelityEdges : public testing::TestWithParam<at::ScalarType> {};

TEST_P(FidelityEdges, ValuesAndGradientsFollowTheirDefinitions) {
  const at::ScalarType dtype = GetParam();
  for (const Edge& edge : edges()) {
    for (const double u_wanted : numbers(edge.positive)) {
      for (const double y_wanted : numbers(edge.positive)) {
        const double u = rounded(u_wanted, dtype);
        const double y = rounded(y_wanted, dtype);
        SCOPED_TRACE(c10::str(edge.name, " at u = ", u, ", y = ", y));
        const auto expected = static_cast<double>(edge.value(u, y));
        const double value = edge.fidelity->fn(one(u, dtype), one(y, dtype)).item<double>();
        // u and y carry round-off of their own, which moves the value along its slope.
        const auto steepness = std::abs(static_cast<double>(edge.slope(u, y)));
        const double reach = accuracy(dtype) * (std::abs(expected) + (std::abs(u) + std::abs(y)) * steepness);
        if (std::isinf(expected)) {
          EXPECT_EQ(value, expected);
        } else {
          EXPECT_NEAR(value, expected, reach + 1e-300);
        }
        const double slope = edge.fidelity->grad(one(u, dtype), one(y, dtype)).item<double>();
        const auto true_slope = static_cast<double>(edge.slope(u, y));
        const double size = edge.positive ? 0.0 : std::abs(u) + std::abs(y);
        if (std::abs(true_slope) > 1e37) {
          EXPECT_GT(slope * (true_slope > 0 ? 1 : -1), 1e36);
        } else {
          EXPECT_NEAR(slope, true_slope, 4 * accuracy(dtype) * (1 + std::abs(true_slope) + size));
        }
      }
    }
  }
}

// The minimum of γ d(v, y) + (v − u)²/2, which is convex, between two points around it.
long double search(const Edge& edge, long double u, long double y, long double gamma) {
  long double low = std::max<long double>(edge.lowest, std::min(u, y) - 4 * gamma - 2);
  long double high = std::max<long double>(low, std::max({u, y, 4 * y}) + 4);
  for (int k = 0; k < 400; ++k) {
    // By the slope, which tells the side even where values differ by less than their digits.
    const long double middle = (low + high) / 2;
    (gamma * edge.slope(middle, y) + middle - u > 0 ? high : low) = middle;
  }
  return (low + high) / 2;
}

TEST_P(FidelityEdges, ProxIsTheMinimum) {
  const at::ScalarType dtype = GetParam();
  for (const Edge& edge : edges()) {
    for (const double u_wanted : numbers(false)) {
      for (const double y_wanted : numbers(edge.positive)) {
        for (const double gamma : {1e-6, 0.1, 1.0, 30.0, 1e6}) {
          const double u = rounded(u_wanted, dtype);
          const double y = rounded(y_wanted, dtype);
          SCOPED_TRACE(c10::str(edge.name, " at u = ", u, ", y = ", y, ", gamma = ", gamma));
          const auto expected = static_cast<double>(search(edge, u, y, gamma));
          const double p = edge.fidelity->prox(one(u, dtype), one(y, dtype), gamma).item<double>();
          const double size = std::max({std::abs(u), std::abs(y), edge.lowest < 0 && edge.positive ? 1.0 : 0.0});
          const double step = std::min(gamma, std::abs(expected - u));
          EXPECT_NEAR(p, expected, accuracy(dtype) * (size + step) + 1e-11);
        }
      }
    }
  }
}

TEST_P(FidelityEdges, RoundOffBelowZeroCountsAsZeroAndLessIsOutside) {
  const at::ScalarType dtype = GetParam();
  const double ulp = dtype == at::kFloat ? 1e-7 : 2e-16;
  for (const Edge& edge : edges()) {
    if (!edge.positive || edge.lowest != 0.0) {
      continue;
    }
    const DataFidelity& d = *edge.fidelity;
    SCOPED_TRACE(edge.name);
    const auto pair = [&](double a, double b) { return at::tensor({a, b}, at::kDouble).to(dtype).view({1, 2}); };
    // Beside numbers of 1000, a few units of their last digit.
    const at::Tensor u = pair(-5 * 1000 * ulp, 1000.0);
    const at::Tensor zero = pair(0.0, 1000.0);
    const at::Tensor y = pair(0.0, 1000.0);
    EXPECT_NEAR(d.fn(u, y).item<double>(), d.fn(zero, y).item<double>(), 1e-3);
    EXPECT_EQ(d.grad(u, y)[0][0].item<double>(), d.grad(zero, y)[0][0].item<double>());
    EXPECT_NEAR(d.fn(zero, u.clamp_max(0.0) + y).item<double>(), d.fn(zero, y).item<double>(), 1e-3);
    EXPECT_EQ(d.fn(pair(-0.1, 1.0), y).item<double>(), infinity);
    EXPECT_TRUE(std::isnan(d.fn(y, pair(-0.1, 1000.0)).item<double>()));
    EXPECT_TRUE(d.grad(y, pair(-0.1, 1000.0))[0][0].isnan().item<bool>());
    EXPECT_TRUE(d.prox(y, pair(-0.1, 1000.0), 1.0)[0][0].isnan().item<bool>());
    // A bright item does not excuse a faint one.
    const at::Tensor batch = at::cat({pair(1e6, 1e6), pair(-0.01, 1.0)});
    EXPECT_EQ(d.fn(batch, batch.clamp_min(0.0)).item<double>(), infinity);
    EXPECT_TRUE(std::isfinite(d.fn(one(-1e-18, dtype), one(0.0, dtype)).item<double>()));
  }
}

TEST_P(FidelityEdges, InfinityAndNaN) {
  const at::ScalarType dtype = GetParam();
  for (const Edge& edge : edges()) {
    const DataFidelity& d = *edge.fidelity;
    SCOPED_TRACE(edge.name);
    const at::Tensor y = one(2.0, dtype);
    const at::Tensor far = one(infinity, dtype);
    const at::Tensor nan = one(std::nan(""), dtype);
    EXPECT_EQ(d.fn(far, y).item<double>(), infinity);
    EXPECT_EQ(d.fn(y, far).item<double>(), infinity);
    EXPECT_EQ(d.prox(far, y, 0.7).item<double>(), infinity);
    for (const auto& [u, data] : {std::pair{nan, y}, std::pair{y, nan}}) {
      EXPECT_TRUE(std::isnan(d.fn(u, data).item<double>()));
      EXPECT_TRUE(d.grad(u, data).isnan().item<bool>());
      EXPECT_TRUE(d.prox(u, data, 0.7).isnan().item<bool>());
    }
  }
  const IndicatorLInf ball(0.5);
  EXPECT_TRUE(std::isnan(ball.fn(one(std::nan(""), dtype), one(1.0, dtype)).item<double>()));
  EXPECT_EQ(ball.fn(one(infinity, dtype), one(1.0, dtype)).item<double>(), infinity);
}

TEST_P(FidelityEdges, DerivativesOfValuesAreNumbersWhereGradientsAre) {
  const at::ScalarType dtype = GetParam();
  for (const Edge& edge : edges()) {
    for (const double y : {0.0, 3.0}) {
      const at::Tensor u = at::tensor({0.0, 1.0, 3.0}, at::kDouble).to(dtype).view({1, 3}).requires_grad_();
      const at::Tensor data = at::full_like(u.detach(), y);
      const at::Tensor gradient = edge.fidelity->grad(u.detach(), data);
      const at::Tensor automatic = torch::autograd::grad({edge.fidelity->fn(u, data)}, {u})[0];
      const at::Tensor finite = gradient.isfinite();
      EXPECT_TRUE(at::allclose(automatic.masked_select(finite), gradient.masked_select(finite), 1e-5, 1e-5))
          << edge.name << ", y = " << y << ": " << automatic << gradient;
    }
  }
}

TEST_P(FidelityEdges, DataAreTakenInTheDtypeOfTheImage) {
  const at::ScalarType dtype = GetParam();
  const at::ScalarType other = dtype == at::kFloat ? at::kDouble : at::kFloat;
  const at::Tensor u = at::tensor({0.5, 2.0}, at::kDouble).to(dtype);
  const at::Tensor y = at::tensor({3.0, 1.0}, at::kDouble).to(dtype);
  for (const Edge& edge : edges()) {
    const DataFidelity& d = *edge.fidelity;
    for (const at::ScalarType of_data : {other, at::kLong}) {
      const at::Tensor data = y.to(of_data);
      EXPECT_EQ(d.fn(u, data).item<double>(), d.fn(u, y).item<double>()) << edge.name;
      expect_near(d.grad(u, data), d.grad(u, y), 0.0, edge.name);
      expect_near(d.prox(u, data, 0.3), d.prox(u, y, 0.3), 0.0, edge.name);
    }
    EXPECT_THROW(d.fn(u, y.to(at::kComplexDouble)), InvalidArgument) << edge.name;
    EXPECT_THROW(d.fn(y.to(at::kLong), y), InvalidArgument) << edge.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, FidelityEdges, testing::Values(at::kFloat, at::kDouble),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

TEST(FidelityEdges, ComplexNumbersOfAllSizes) {
  for (const double size : {1e-150, 1e-60, 1.0, 1e60, 1e150}) {
    const at::Tensor u = random_tensor({1, 20}, at::kComplexDouble, 1);
    const at::Tensor y = random_tensor({1, 20}, at::kComplexDouble, 2);
    const Huber plain(0.7);
    const Huber scaled(0.7 * size);
    expect_near(scaled.grad(u * size, y * size) / size, plain.grad(u, y), 1e-13);
    expect_near(scaled.prox(u * size, y * size, 0.4) / size, plain.prox(u, y, 0.4), 1e-13);
    expect_near(L1().prox(u * size, y * size, 0.4 * size) / size, L1().prox(u, y, 0.4), 1e-13);
    expect_near(L1().grad(u * size, y * size), L1().grad(u, y), 1e-13);
  }
}

TEST(FidelityEdges, AWeightThatADoubleDoesNotHoldIsAnError) {
  EXPECT_THROW(L2(1e-200), InvalidArgument);
  EXPECT_THROW(L2(1e200), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test::fidelity_edges_test
