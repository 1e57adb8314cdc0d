// SPDX-License-Identifier: BSD-3-Clause
// That what is computed together is what its parts compute.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "adjoin/physics/fused.hpp"
#include "adjoin/physics/stacked.hpp"
#include "physics/checks/trial.hpp"

namespace adjoin::checks {

namespace {

std::vector<LinearPhysicsPtr> stacked(const Trial& trial) {
  std::vector<LinearPhysicsPtr> operators = {trial.pointer()};
  operators.insert(operators.end(), trial.options().others.begin(), trial.options().others.end());
  if (operators.size() == 1) {
    operators.resize(3, trial.pointer());
  }
  return operators;
}

}  // namespace

double fused_form(Trial& trial, const Sample& sample) {
  const double allowed = trial.tol(sample.dtype);
  const at::Tensor& u = sample.u;
  double largest = 0.0;
  const auto expect_equal = [&](const char* what, const char* of, const at::Tensor& is, const at::Tensor& should_be) {
    const double apart = difference(is, should_be);
    expect(apart <= allowed, what, " is not ", of, ": they are ", apart, " of their norm apart, where ", allowed,
           " is allowed");
    largest = std::max(largest, apart);
  };
  expect_equal("A_adjoint_A(x)", "A_adjoint(A(x))", trial.op().A_adjoint_A(u, trial.options().params),
               trial.A_adjoint(sample.Au, u));
  if (const at::Tensor back = trial.A_adjoint_if_known(sample.v); back.defined()) {
    expect_equal("A_A_adjoint(y)", "A(A_adjoint(y))", trial.op().A_A_adjoint(sample.v, trial.options().params),
                 trial.A(back));
  }
  const std::vector<LinearPhysicsPtr> operators = stacked(trial);
  const StackedLinearPhysics fused(operators);
  const StackedLinearPhysics plain(operators, {.fuse = false});
  const auto& params = trial.options().params;
  const TensorList y = plain.A(u, params);
  TensorList v;
  TensorList weights;
  for (std::size_t i = 0; i < operators.size(); ++i) {
    v.push_back(trial.drawn(y[i]));
    weights.push_back(
        at::scalar_tensor(1.0 + 0.5 * static_cast<double>(i), u.options().dtype(at::toRealValueType(sample.dtype))));
  }
  // Wherever a result is written, nothing of what was there before is left.
  const auto used = [&](const at::Tensor& like) {
    return at::full(like.sizes(), std::numeric_limits<double>::quiet_NaN(), like.options());
  };
  const TensorList of_A = fused.A(u, params);
  for (std::size_t i = 0; i < operators.size(); ++i) {
    expect_equal("A of a stack", "A of its operators", of_A[i], y[i]);
  }
  const at::Tensor adjoint = plain.A_adjoint_for(v, u, params);
  expect_equal("A_adjoint of a stack", "the sum of its operators'", fused.A_adjoint_for(v, u, params), adjoint);
  expect_equal("A_adjoint of a stack, written into a given tensor,", "the sum of its operators'",
               fused.A_adjoint_for_sum(v, u, used(adjoint), params), adjoint);
  const at::Tensor normal = plain.A_adjoint_for(y, u, params);
  expect_equal("A_adjoint_A of a stack", "A_adjoint(A(x)) of its operators, summed", fused.A_adjoint_A(u, params),
               normal);
  expect_equal("A_adjoint_A of a stack, written into a given tensor,", "A_adjoint(A(x)) of its operators, summed",
               fused.A_adjoint_A_sum(u, used(normal), params), normal);
  expect_equal("A_adjoint_W_residual of a stack", "that of its operators, summed",
               fused.A_adjoint_W_residual(u, v, weights, params), plain.A_adjoint_W_residual(u, v, weights, params));
  expect_equal("A_adjoint_W_A of a stack", "that of its operators, summed", fused.A_adjoint_W_A(u, weights, params),
               plain.A_adjoint_W_A(u, weights, params));
  if (const at::Tensor form = fused.normal_form(u, params); form.defined()) {
    expect_equal("apply_normal_form", "A_adjoint(A(x)) of its operators, summed",
                 fused.apply_normal_form(form, u, 0, 1), normal);
  }
  return largest;
}

std::string forms_tried(const Trial& trial) {
  const auto operators = stacked(trial);
  const std::vector<std::shared_ptr<const LinearPhysics>> members(operators.begin(), operators.end());
  return trial.op().fuse(members) == nullptr ? " for A_adjoint_A and A_A_adjoint; stacks of it have no fused form"
                                             : c10::str(" for a stack of ", operators.size());
}

}  // namespace adjoin::checks
