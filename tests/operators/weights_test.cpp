// SPDX-License-Identifier: BSD-3-Clause
// Weighted measurements: Σ A_iᵀ W_i A_i x fused and plain, and solutions in the weighted norm.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <memory>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "operators/specimens.hpp"

namespace adjoin::weights_test {
namespace {

using specimens::drawn;
using specimens::Specimen;

std::vector<Specimen> with_tomography() {
  std::vector<Specimen> result = specimens::all();
  result.push_back(
      {"Tomography",
       [](std::uint64_t i) { return specimens::Tensors{at::arange(5) * 30.0 + 10.0 * static_cast<double>(i)}; },
       [](const specimens::Tensors& t) {
         return std::make_shared<Tomography>(t[0], std::array<std::int64_t, 2>{12, 12});
       },
       {drawn({1, 1, 12, 12}, 1)}});
  return result;
}

/// For measurements y: numbers, one for each sample, one for each column, none for some samples.
std::vector<TensorList> kinds_of_weights(const TensorList& y) {
  std::vector<TensorList> kinds(4);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const at::Tensor each = at::rand(y[i].sizes(), at::kDouble) + 0.1;
    kinds[0].push_back(at::scalar_tensor(0.5 + static_cast<double>(i), at::kDouble));
    kinds[1].push_back(each);
    kinds[2].push_back(at::rand({y[i].size(-1)}, at::kFloat) + 0.1);
    kinds[3].push_back((each > 0.6).to(at::kDouble));
  }
  return kinds;
}

TEST(Weights, OfTheNormalOperatorFusedAndPlain) {
  for (const Specimen& s : with_tomography()) {
    SCOPED_TRACE(s.name);
    const std::vector<LinearPhysicsPtr> operators = {s.make(s.tensors(0)), s.make(s.tensors(1)), s.make(s.tensors(2))};
    for (const at::Tensor& x : s.images) {
      const TensorList y = StackedLinearPhysics(operators).A(x);
      for (const TensorList& weights : kinds_of_weights(y)) {
        at::Tensor expected = at::zeros_like(x);
        for (std::size_t i = 0; i < y.size(); ++i) {
          expected += operators[i]->A_adjoint_for(y[i] * weights[i], x);
        }
        for (const bool fuse : {true, false}) {
          const StackedLinearPhysics stack(operators, {.fuse = fuse});
          for (int call = 0; call < 2; ++call) {
            EXPECT_TRUE(at::allclose(stack.A_adjoint_W_A(x, weights), expected, 1e-6, 1e-6));
          }
          const StackedLinearPhysics mean(operators, {.reduction = Reduction::mean, .fuse = fuse});
          EXPECT_TRUE(at::allclose(mean.A_adjoint_W_A(x, weights), expected / 3.0, 1e-6, 1e-6));
        }
      }
    }
  }
}

TEST(Weights, OfResidualsFusedAndPlain) {
  for (const Specimen& s : with_tomography()) {
    SCOPED_TRACE(s.name);
    const std::vector<LinearPhysicsPtr> operators = {s.make(s.tensors(0)), s.make(s.tensors(1)), s.make(s.tensors(2))};
    for (const at::Tensor& x : s.images) {
      TensorList y = StackedLinearPhysics(operators).A(x);
      for (std::size_t i = 0; i < y.size(); ++i) {
        y[i] = y[i] + adjoin::randn_like(y[i], i);
      }
      for (const TensorList& weights : kinds_of_weights(y)) {
        at::Tensor expected = at::zeros_like(x);
        for (std::size_t i = 0; i < y.size(); ++i) {
          expected += operators[i]->A_vjp(x, (operators[i]->A(x) - y[i]) * weights[i]);
        }
        for (const bool fuse : {true, false}) {
          const StackedLinearPhysics stack(operators, {.fuse = fuse});
          EXPECT_TRUE(at::allclose(stack.A_adjoint_W_residual(x, y, weights), expected, 1e-6, 1e-6));
          const at::Tensor out = at::empty_like(x);
          EXPECT_TRUE(at::allclose(stack.A_adjoint_W_residual_sum(x, y, weights, out), expected, 1e-6, 1e-6));
        }
      }
    }
  }
}

TEST(Weights, AreFollowedWhenTheyChange) {
  for (const Specimen& s : with_tomography()) {
    SCOPED_TRACE(s.name);
    const StackedLinearPhysics stack({s.make(s.tensors(0)), s.make(s.tensors(1))});
    const at::Tensor& x = s.images[0];
    for (const TensorList& weights : kinds_of_weights(stack.A(x))) {
      const at::Tensor before = stack.A_adjoint_W_A(x, weights);
      for (at::Tensor w : weights) {
        w.mul_(2.0);
      }
      EXPECT_TRUE(at::allclose(stack.A_adjoint_W_A(x, weights), 2.0 * before, 1e-6, 1e-6));
    }
  }
}

TEST(Weights, KeepTheFusedForms) {
  for (const Specimen& s : with_tomography()) {
    const bool fuses = s.name == "Blur circular by transforms" || s.name.find("Diagonal") == 0 ||
                       s.name.find("Inpainting") == 0 || s.name.find("Matrix") == 0 ||
                       s.name.find("MultiCoilMRI") == 0 || s.name.find("Tomography") == 0;
    if (fuses) {
      SCOPED_TRACE(s.name);
      const StackedLinearPhysics stack({s.make(s.tensors(0)), s.make(s.tensors(1))});
      const TensorList y = stack.A(s.images[0]);
      for (const TensorList& weights : kinds_of_weights(y)) {
        stack.A_adjoint_W_A(s.images[0], weights);
        stack.A_adjoint_W_residual(s.images[0], y, weights);
      }
      EXPECT_EQ(stack[0].calls().A, 0);
      EXPECT_EQ(stack[0].calls().A_adjoint, 0);
    }
  }
}

// The norm of weighted measurements is that of measurements times the root of the weights.
TEST(Weights, OfSolutionsAreThoseOfTheirNorm) {
  for (const Specimen& s : with_tomography()) {
    SCOPED_TRACE(s.name);
    const std::vector<LinearPhysicsPtr> operators = {s.make(s.tensors(0)), s.make(s.tensors(1))};
    const StackedLinearPhysics stack(operators);
    const at::Tensor& x = s.images[0];
    const TensorList y = stack.A(x + 1.0);
    for (const TensorList& weights : kinds_of_weights(y)) {
      std::vector<LinearPhysicsPtr> scaled;
      TensorList scaled_y;
      for (std::size_t i = 0; i < y.size(); ++i) {
        scaled.push_back(std::make_shared<Diagonal>(weights[i].sqrt()) * operators[i]);
        scaled_y.push_back(y[i] * weights[i].sqrt());
      }
      const StackedLinearPhysics reference(scaled);
      for (const Solver solver : {Solver::CG, Solver::LSQR, Solver::LSMR, Solver::MINRES}) {
        // Few iterations, so that round-off does not grow.
        const DaggerOptions plain{.solver = solver, .max_iter = 4, .tol = 0.0, .init = at::zeros_like(x)};
        DaggerOptions weighted = plain;
        weighted.weights = weights;
        EXPECT_TRUE(at::allclose(stack.A_dagger(y, weighted), reference.A_dagger(scaled_y, plain), 1e-4, 1e-4));
        EXPECT_TRUE(
            at::allclose(stack.prox_l2(x, y, 2.0, weighted), reference.prox_l2(x, scaled_y, 2.0, plain), 1e-5, 1e-5));
        DaggerOptions one = plain;
        one.weights = {weights[0]};
        EXPECT_TRUE(at::allclose(operators[0]->prox_l2(x, y[0], 2.0, one),
                                 scaled[0]->prox_l2(x, scaled_y[0], 2.0, plain), 1e-5, 1e-5));
      }
    }
  }
}

TEST(Weights, AreDifferentiatedThrough) {
  const StackedLinearPhysics stack({std::make_shared<Diagonal>(2.0), std::make_shared<Diagonal>(3.0)});
  const at::Tensor x = drawn({2, 3}, 1).requires_grad_();
  const at::Tensor w = drawn({2, 3}, 2).requires_grad_();
  const auto gradients = torch::autograd::grad({stack.A_adjoint_W_A(x, {w, at::ones({}, at::kDouble)}).sum()}, {x, w});
  EXPECT_TRUE(at::allclose(gradients[0], 4.0 * w + 9.0));
  EXPECT_TRUE(at::allclose(gradients[1], 4.0 * x));
}

TEST(Weights, RefusesWhatDoesNotBelong) {
  const StackedLinearPhysics stack({std::make_shared<Diagonal>(2.0), std::make_shared<Diagonal>(3.0)});
  const at::Tensor x = at::ones({2, 3});
  const at::Tensor one = at::ones({});
  EXPECT_THROW(stack.A_adjoint_W_A(x, {one}), InvalidArgument);
  EXPECT_THROW(stack.A_adjoint_W_A(x, {one, at::Tensor()}), InvalidArgument);
  EXPECT_THROW(stack.A_adjoint_W_A(x, {one, at::ones({}, at::kComplexFloat)}), InvalidArgument);
  EXPECT_THROW(stack.A_adjoint_W_A(x, {at::ones({4}), one}), OperatorFailure);
  EXPECT_THROW(stack.A_adjoint_W_residual(x, {x}, {one, one}), InvalidArgument);
  EXPECT_THROW(stack.A_adjoint_W_residual(x, {x, at::ones({2})}, {one, one}), OperatorFailure);
  EXPECT_THROW(stack.A_dagger({x, x}, {.weights = {-one, one}}), InvalidArgument);
  EXPECT_THROW(stack.prox_l2(x, {x, x}, 1.0, {.weights = {one}}), InvalidArgument);
  EXPECT_THROW(stack[0].A_dagger(x, {.weights = {one, one}}), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::weights_test
