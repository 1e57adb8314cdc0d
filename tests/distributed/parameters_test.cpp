// SPDX-License-Identifier: BSD-3-Clause
// Gradients of what operators and processors are made of.
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "adjoin/distributed/processing.hpp"
#include "adjoin/operators/function.hpp"
#include "distributed/support.hpp"

namespace adjoin::test::parameters_test {
namespace {

constexpr std::int64_t n = 4;

at::Tensor leaf(double value) { return at::full({}, value, at::kDouble).requires_grad_(); }

// x ↦ factor x.
LinearPhysicsPtr scaling(const at::Tensor& factor) {
  return make_function([factor](const at::Tensor& x) { return factor * x; },
                       [factor](const at::Tensor& y) { return factor * y; });
}

class ParameterGradients : public testing::Test {
 protected:
  ParameterGradients() {
    for (std::int64_t i = 0; i < n; ++i) {
      factors.push_back(leaf(0.5 + 0.25 * static_cast<double>(i)));
      y.push_back(x * static_cast<double>(i + 1));
    }
  }

  DistributedStackedLinearPhysics make_stack() {
    return {context, n, [this](std::int64_t index, at::Device, const Params&) {
              return scaling(factors[static_cast<std::size_t>(index)]);
            }};
  }

  void expect_gradients(const at::Tensor& ours, const at::Tensor& expected) {
    expect_near(ours, expected, 1e-12);
    const auto found = torch::autograd::grad({ours}, factors);
    const auto right = torch::autograd::grad({expected}, factors, {}, /*retain_graph=*/true);
    expect_near(TensorList(found), TensorList(right), 1e-12);
  }

  DistributedContext context;
  std::vector<at::Tensor> factors;
  at::Tensor x = random_image(at::kDouble, 3);
  TensorList y;
};

TEST_F(ParameterGradients, OfReplicatedParametersAreThoseOfOneProcess) {
  DistributedStackedLinearPhysics stack = make_stack();
  stack.set_parameters(factors);
  at::Tensor measured = at::zeros({}, at::kDouble);
  at::Tensor expected = at::zeros({}, at::kDouble);
  at::Tensor adjoint = at::zeros_like(x);
  at::Tensor normal = at::zeros_like(x);
  const TensorList Ax = stack.A(x);
  for (std::size_t i = 0; i < n; ++i) {
    measured = measured + (Ax[i] * Ax[i] * y[i]).sum();
    expected = expected + (factors[i] * x * factors[i] * x * y[i]).sum();
    adjoint = adjoint + factors[i] * y[i];
    normal = normal + factors[i] * factors[i] * x;
  }
  expect_gradients(measured, expected);
  expect_gradients(stack.A_adjoint(y).pow(3).sum(), adjoint.pow(3).sum());
  expect_gradients(stack.A_vjp(x, y).pow(3).sum(), adjoint.pow(3).sum());
  expect_gradients(stack.A_adjoint_A(x).pow(3).sum(), normal.pow(3).sum());
}

TEST_F(ParameterGradients, AreReducedOnceInABackwardPass) {
  DistributedStackedLinearPhysics stack = make_stack();
  stack.set_parameters(factors);
  const auto backward = [&] {
    const at::Tensor value = (stack.A_adjoint_A(x) + stack.A_adjoint(y) + stack.A_adjoint_A(2 * x)).sum();
    context.communicator().reset_counters();
    torch::autograd::grad({value}, factors);
  };
  backward();  // agrees on shapes
  backward();
  EXPECT_EQ(context.communicator().counters().collectives, context.size() > 1 ? 1 : 0);
}

TEST_F(ParameterGradients, OfOwnedParametersStayOnTheirRank) {
  DistributedStackedLinearPhysics stack = make_stack();
  std::vector<at::Tensor> own;
  for (const std::int64_t i : stack.local_indices()) {
    own.push_back(factors[static_cast<std::size_t>(i)]);
  }
  stack.set_parameters({}, own);
  const at::Tensor value = stack.A_adjoint(y).pow(2).sum();
  ASSERT_TRUE(value.requires_grad());
  context.communicator().reset_counters();
  value.backward();
  EXPECT_EQ(context.communicator().counters().collectives, 0);
  at::Tensor adjoint = at::zeros_like(x);
  for (std::size_t i = 0; i < n; ++i) {
    adjoint = adjoint + factors[i].detach() * y[i];
  }
  for (const std::int64_t i : stack.local_indices()) {
    const auto k = static_cast<std::size_t>(i);
    expect_near(factors[k].grad(), (2 * adjoint * y[k]).sum(), 1e-12);
  }
}

TEST_F(ParameterGradients, OfAProcessorAreSummedOverItsTiles) {
  const at::Tensor gain = leaf(1.5);
  DistributedProcessing processing(context, [gain](const at::Tensor& tiles) { return gain * tiles.sin(); },
                                   {.tiling_dims = {2, 3}, .patch_size = {2}, .overlap = {1}});
  processing.set_parameters({gain});
  const at::Tensor ours = processing(processing(x)).pow(2).sum();
  const at::Tensor expected = (gain * (gain * x.sin()).sin()).pow(2).sum();
  expect_near(torch::autograd::grad({ours}, {gain})[0], torch::autograd::grad({expected}, {gain})[0], 1e-12);
}

TEST_F(ParameterGradients, AreNotRecordedWhereNobodyAsks) {
  DistributedStackedLinearPhysics stack = make_stack();
  stack.set_parameters(factors);
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(stack.A_adjoint(y).requires_grad());
}

}  // namespace
}  // namespace adjoin::test::parameters_test
