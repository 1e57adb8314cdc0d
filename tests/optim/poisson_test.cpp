// SPDX-License-Identifier: BSD-3-Clause
// Photon counts, many of them zero: every algorithm that takes Poisson's likelihood comes as far as Richardson-Lucy
// does (Richardson, J. Opt. Soc. Am. 62, 1972; Lucy, Astron. J. 79, 1974), or says that it cannot.
#include <cmath>
#include <functional>
#include <map>
#include <string>

#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "optim/support.hpp"

namespace adjoin::test::poisson_test {
namespace {

struct Scene {
  std::string name;
  double counts;  // of the brightest square
  double gain;
  double background;
  at::ScalarType dtype = at::kDouble;
};

class Poisson : public testing::TestWithParam<Scene> {
 protected:
  static constexpr std::int64_t size = 24;

  Poisson() {
    at::manual_seed(0);
    for (const at::Tensor& u : single.A(truth)) {
      y.push_back(at::poisson((u / scene.gain + scene.background).clamp_min(0.0)));
    }
    EXPECT_GT((y[0] == 0.0).sum().item<std::int64_t>(), scene.background > 0.0 ? 50 : 200);
  }

  static PhysicsFactory blurs(at::ScalarType dtype) {
    return [dtype](std::int64_t index, at::Device, const Params&) {
      const double width = index == 0 ? 1.0 : 1.6;
      return std::make_shared<Blur>(gaussian_kernel({width, 1.0}, 0.0, {.dtype = dtype}),
                                    BlurOptions{.padding = Padding::Circular});
    };
  }

  double objective(const at::Tensor& x) const { return f_twin.fn(x, y).item<double>(); }

  at::Tensor richardson_lucy(int iterations) const {
    TensorList ones = y;
    for (at::Tensor& one : ones) {
      one = at::ones_like(one);
    }
    const at::Tensor sensitivity = single.A_adjoint(ones);
    at::Tensor x = at::ones_like(truth);
    for (int k = 0; k < iterations; ++k) {
      TensorList ratios = single.A(x);
      for (std::size_t i = 0; i < ratios.size(); ++i) {
        ratios[i] = y[i] / (ratios[i] / scene.gain + scene.background).clamp_min(1e-12);
      }
      x = x * single.A_adjoint(ratios) / sensitivity;
    }
    return x;
  }

  const Scene scene = GetParam();
  DistributedContext context;
  at::Tensor truth = [&] {
    at::Tensor image = at::zeros({1, 1, size, size}, scene.dtype);
    image.slice(2, 6, 10).slice(3, 6, 10).fill_(scene.counts * scene.gain);
    image.slice(2, 15, 16).slice(3, 15, 16).fill_(3.0 * scene.counts * scene.gain);
    return image;
  }();
  StackedLinearPhysics single{{std::static_pointer_cast<LinearPhysics>(blurs(scene.dtype)(0, at::kCPU, {})),
                               std::static_pointer_cast<LinearPhysics>(blurs(scene.dtype)(1, at::kCPU, {}))}};
  DistributedStackedLinearPhysics stack{context, 2, blurs(scene.dtype)};
  DataFidelityPtr likelihood =
      std::make_shared<PoissonLikelihood>(PoissonOptions{.gain = scene.gain, .background = scene.background});
  DistributedDataFidelity f{stack, likelihood};
  StackedDataFidelity f_twin{single, likelihood};
  TensorList y;
};

TEST_P(Poisson, IsMinimisedAsFarAsByRichardsonLucy) {
  const double best = objective(richardson_lucy(500));
  const Positivity g;
  const at::Tensor x0 = at::ones_like(truth);
  const DataTerm term = data_term(f, y);
  const OptimOptions backtracking{.max_iter = 8000, .tol = 1e-7, .backtracking = true};
  const std::map<std::string, std::function<OptimResult()>> runs = {
      {"proximal gradient",  // the slowest
       [&] { return proximal_gradient(term, g, x0, {.max_iter = 10000, .tol = 1e-7, .backtracking = true}); }},
      {"FISTA", [&] { return fista(term, g, x0, backtracking); }},
      {"monotone FISTA", [&] { return monotone_fista(term, g, x0, backtracking); }},
      {"primal-dual", [&] { return primal_dual(term, g, x0, {.max_iter = 4000, .tol = 1e-7}); }}};
  for (const auto& [name, run] : runs) {
    EXPECT_LE((objective(run().x) - best) / best, 1e-3) << name;
  }
}

// Without a prior that keeps them inside, images run into the edge of the domain.
TEST_P(Poisson, GradientDescentDoesNotCallTheEdgeOfTheDomainConvergence) {
  const double best = objective(richardson_lucy(500));
  const OptimOptions options{.max_iter = 4000, .backtracking = true};
  try {
    const OptimResult result = gradient_descent(data_term(f, y), ZeroPrior(), at::ones_like(truth), options);
    EXPECT_TRUE(result.reason == StopReason::max_iterations || (objective(result.x) - best) / best < 1e-3)
        << to_string(result.reason);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("Positivity"), std::string::npos) << error.what();
  }
}

TEST_P(Poisson, WhatHasNoProxOrNoStepSaysSo) {
  const at::Tensor x0 = at::ones_like(truth);
  const DataTerm term = data_term(f, y);
  EXPECT_THROW((void)hqs(term, Positivity(), x0, {1.0}), Error);
  EXPECT_THROW((void)admm(term, Positivity(), x0, 1.0), Error);
  EXPECT_THROW((void)ordered_subsets(term, Positivity(), x0), Error);
  EXPECT_THROW((void)fista(term, Positivity(), x0), Error);
}

INSTANTIATE_TEST_SUITE_P(Scenes, Poisson,
                         testing::Values(Scene{"Plain", 50.0, 1.0, 0.0}, Scene{"Background", 50.0, 2.0, 0.3},
                                         Scene{"Faint", 1.0, 1.0, 0.0},
                                         Scene{"SinglePrecision", 50.0, 1.0, 0.3, at::kFloat}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace adjoin::test::poisson_test
