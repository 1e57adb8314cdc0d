// SPDX-License-Identifier: BSD-3-Clause
// Priors, networks and algorithms on the context's device, against the same in double precision on the CPU.
#include <functional>

#include "adjoin/models/dncnn.hpp"
#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distribute.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "distributed/support.hpp"

namespace adjoin::test {
namespace {

class OptimOnTheDevice : public testing::Test {
 protected:
  static std::vector<LinearPhysicsPtr> blurs(at::Device device, at::ScalarType dtype) {
    std::vector<LinearPhysicsPtr> operators;
    for (const double sigma : {0.6, 0.8, 1.0}) {
      const at::Tensor kernel = gaussian_kernel({sigma, sigma}, 0.0, {.dtype = at::kDouble}).to(device, dtype);
      operators.push_back(std::make_shared<Blur>(kernel, BlurOptions{.padding = Padding::Circular}));
    }
    return operators;
  }

  void expect(const at::Tensor& result, const at::Tensor& expected, double tol) const {
    EXPECT_EQ(result.device(), device);
    expect_near(result.to(at::kCPU, at::kDouble), expected, tol);
  }

  DistributedContext context;
  at::Device device = context.device();
  at::Tensor truth = random_tensor({1, 2, 24, 32}, at::kDouble, 1);
  at::Tensor x = truth.to(device, at::kFloat);
};

TEST_F(OptimOnTheDevice, PriorsHaveTheirValuesAndProxes) {
  const auto compare = [&](const Prior& prior, const Prior& reference) {
    const double value = reference.fn(truth).item<double>();
    EXPECT_NEAR(prior.fn(x).item<double>(), value, 1e-5 * value) << prior.name();
    expect(prior.prox(x, 0.2), reference.prox(truth, 0.2), 1e-4);
  };
  const TotalVariationOptions exact{.max_iter = 2000, .tol = 1e-5};
  compare(TotalVariation(exact), TotalVariation(exact));
  compare(WaveletPrior({.wavelet = "db4", .levels = 2}), WaveletPrior({.wavelet = "db4", .levels = 2}));
  compare(L1Prior(), L1Prior());
  compare(Tikhonov(), Tikhonov());
  expect(Box(-0.5, 0.5).prox(x, 1.0), truth.clamp(-0.5, 0.5), 1e-6);
}

TEST_F(OptimOnTheDevice, ADenoisingNetworkGivesTheSameImage) {
  Safetensors weights{.metadata = {{"padding", "circular"}}, .source = "random weights"};
  std::uint64_t seed = 0;
  for (const auto& [name, out, in] : {std::tuple{"in_conv", 4, 2}, {"conv_list.0", 4, 4}, {"out_conv", 2, 4}}) {
    weights.tensors[std::string(name) + ".weight"] = random_tensor({out, in, 3, 3}, at::kFloat, ++seed) * 0.2;
  }
  const at::Tensor expected = DnCNN(weights)(truth.to(at::kFloat), 0.1).to(at::kDouble);
  expect(DnCNN(weights, device)(x, 0.1), expected, 1e-4);
}

TEST_F(OptimOnTheDevice, AlgorithmsFollowTheSameIterates) {
  const StackedLinearPhysics twin(blurs(at::kCPU, at::kDouble));
  const TensorList y = twin.A(truth);
  const StackedDataFidelity alone(twin, std::make_shared<L2>());
  const auto reference = data_term(alone, y);

  const DistributedStackedLinearPhysics stack = distribute(blurs(device, at::kFloat), context);
  const DistributedDataFidelity fidelity = distribute(L2(), stack);
  const auto term = data_term(fidelity, stack.A(x));

  const OptimOptions options{.max_iter = 8, .tol = 0.0, .lambda = 0.01, .step = 0.3};
  const TotalVariationOptions exact{.max_iter = 2000, .tol = 1e-5};
  const at::Tensor x0 = at::zeros_like(x);
  const at::Tensor start = at::zeros_like(truth);
  expect(proximal_gradient(term, TotalVariation(exact), x0, options).x,
         proximal_gradient(reference, TotalVariation(exact), start, options).x, 1e-3);
  expect(fista(term, L1Prior(), x0, options).x, fista(reference, L1Prior(), start, options).x, 1e-4);
  expect(admm(term, L1Prior(), x0, 0.5, options).x, admm(reference, L1Prior(), start, 0.5, options).x, 1e-3);
  // Its steps come from an estimate of the norm, which starts from other random numbers in double precision.
  const StackedLinearPhysics single(blurs(at::kCPU, at::kFloat));
  const StackedDataFidelity of_single(single, std::make_shared<L2>());
  const at::Tensor truth_in_single = truth.to(at::kFloat);
  expect(primal_dual(term, L1Prior(), x0, {.max_iter = 8, .tol = 0.0, .lambda = 0.01}).x,
         primal_dual(data_term(of_single, single.A(truth_in_single)), L1Prior(), at::zeros_like(truth_in_single),
                     {.max_iter = 8, .tol = 0.0, .lambda = 0.01})
             .x.to(at::kDouble),
         1e-3);
}

}  // namespace
}  // namespace adjoin::test
