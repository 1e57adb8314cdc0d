// SPDX-License-Identifier: BSD-3-Clause
// What operators derive from their tensors follows these, in whatever mode it was computed.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operators/specimens.hpp"

namespace adjoin::state_test {
namespace {

using specimens::everything;
using specimens::Specimen;
using specimens::Tensors;

Tensors copies(const Tensors& tensors) {
  Tensors result;
  for (const at::Tensor& t : tensors) {
    result.push_back(t.clone());
  }
  return result;
}

void expect_equal(const at::Tensor& a, const at::Tensor& b) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_TRUE(at::allclose(a, b, 1e-9, 1e-9)) << (a - b).abs().max().item<double>();
}

/// Changes the tensors in place: what was derived from them is wrong then.
void change(const Tensors& tensors) {
  for (at::Tensor t : tensors) {
    t.mul_(2.0).sub_(0.25 * t.roll(1, -1));
  }
}

/// Operators made of operators, two each of a specimen.
std::vector<LinearPhysicsPtr> combined(const Specimen& s, const Tensors& a, const Tensors& b) {
  const auto first = s.make(a);
  const auto second = s.make(b);
  return {first, first + second, 2.0 * first, std::make_shared<Diagonal>(3.0) * first, adjoint(adjoint(first))};
}

TEST(State, OperatorsFollowTheirTensors) {
  for (const Specimen& s : specimens::all()) {
    SCOPED_TRACE(s.name);
    const Tensors a = s.tensors(0);
    const Tensors b = s.tensors(1);
    const auto operators = combined(s, a, b);
    std::vector<std::int64_t> versions;
    for (const auto& op : operators) {
      everything(*op, s.images[0]);
      versions.push_back(op->version());
    }
    change(a);
    change(b);
    const auto fresh = combined(s, copies(a), copies(b));
    for (std::size_t i = 0; i < operators.size(); ++i) {
      EXPECT_GT(operators[i]->version(), versions[i]);
      for (const at::Tensor& x : s.images) {
        expect_equal(everything(*operators[i], x), everything(*fresh[i], x));
      }
    }
  }
}

TEST(State, StacksFollowTheTensorsOfTheirOperators) {
  for (const Specimen& s : specimens::all()) {
    for (const bool fuse : {true, false}) {
      SCOPED_TRACE(s.name + (fuse ? ", fused" : ", plain"));
      const Tensors a = s.tensors(0);
      const Tensors b = s.tensors(1);
      const StackedLinearPhysics stack({s.make(a), s.make(b)}, {.fuse = fuse});
      everything(stack, s.images[0]);
      for (const Tensors& changed : {a, b}) {
        change(changed);
        const StackedLinearPhysics fresh({s.make(copies(a)), s.make(copies(b))}, {.fuse = false});
        for (const at::Tensor& x : s.images) {
          expect_equal(everything(stack, x), everything(fresh, x));
        }
      }
    }
  }
}

TEST(State, ChangesUnderInferenceModeAreSeen) {
  for (const Specimen& s : specimens::all()) {
    SCOPED_TRACE(s.name);
    const Tensors a = s.tensors(0);
    const auto op = s.make(a);
    everything(*op, s.images[0]);
    {
      const c10::InferenceMode inference;
      change(a);
    }
    expect_equal(everything(*op, s.images[0]), everything(*s.make(copies(a)), s.images[0]));
  }
}

TEST(State, WhatInferenceModeComputedServesTraining) {
  for (const Specimen& s : specimens::all()) {
    SCOPED_TRACE(s.name);
    const Tensors a = s.tensors(0);
    const Tensors b = s.tensors(1);
    const auto op = s.make(a);
    const StackedLinearPhysics stack({s.make(a), s.make(b)});
    {
      const c10::InferenceMode inference;
      const at::Tensor y = op->A(s.images[0]);
      op->A_adjoint_for(y, s.images[0]);
      op->A_adjoint_A(s.images[0]);
      op->compute_sqnorm(s.images[0]);
      stack.A_adjoint_A(s.images[0]);
      stack.A_vjp(s.images[0], stack.A(s.images[0]));
    }
    expect_equal(everything(*op, s.images[0]), everything(*s.make(a), s.images[0]));
    expect_equal(everything(stack, s.images[0]), everything(StackedLinearPhysics({s.make(a), s.make(b)}), s.images[0]));
  }
}

TEST(State, OperatorsMadeOfInferenceTensorsKeepACopy) {
  for (const Specimen& s : specimens::all()) {
    SCOPED_TRACE(s.name);
    LinearPhysicsPtr op;
    Tensors a;
    {
      const c10::InferenceMode inference;
      a = copies(s.tensors(0));
      op = s.make(a);
      change(a);
    }
    expect_equal(everything(*op, s.images[0]), everything(*s.make(s.tensors(0)), s.images[0]));
  }
}

class Autocast {
 public:
  Autocast() { at::autocast::set_autocast_enabled(at::kCPU, true); }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
};

TEST(State, AutocastChangesNothing) {
  for (const Specimen& s : specimens::all()) {
    SCOPED_TRACE(s.name);
    const Tensors a = s.tensors(0);
    const Tensors b = s.tensors(1);
    const at::Tensor x = s.images[0].to(s.images[0].is_complex() ? at::kComplexFloat : at::kFloat);
    Tensors single;
    for (const at::Tensor& t : a) {
      single.push_back(t.to(t.is_complex() ? at::kComplexFloat : at::kFloat));
    }
    const auto op = s.make(single);
    const StackedLinearPhysics stack({op, s.make(single)});
    at::Tensor under;
    at::Tensor under_of_stack;
    const at::Tensor leaf = x.clone().requires_grad_();
    at::Tensor recorded;
    {
      const Autocast autocast;
      under = everything(*op, x, false);
      under_of_stack = everything(stack, x, false);
      recorded = op->A(leaf);
      EXPECT_EQ(op->A(x.to(at::kBFloat16)).scalar_type(), op->A(x).scalar_type());
      EXPECT_EQ(stack.A_adjoint_A(x.to(at::kBFloat16)).scalar_type(), x.scalar_type());
    }
    expect_equal(under, everything(*op, x, false));
    expect_equal(under_of_stack, everything(stack, x, false));
    const at::Tensor y = op->A(x);
    EXPECT_TRUE(at::allclose(recorded, y, 1e-4, 1e-4));  // with a graph, convolutions may go by transforms
    EXPECT_TRUE(at::allclose(torch::autograd::grad({recorded}, {leaf}, {y})[0], op->A_vjp(x, y), 1e-4, 1e-4));
  }
}

TEST(State, GradientsOfTheOwnTensorsAreThoseOfParameters) {
  const std::map<std::string, std::vector<std::string>> names = {
      {"Blur", {"filter"}},
      {"ChannelMixing", {"matrix"}},
      {"Diagonal", {"weights"}},
      {"Downsampling", {"filter"}},
      {"Inpainting", {"mask"}},
      {"Matrix", {"matrix"}},
      {"MultiCoilMRI", {"mask", "coil_maps"}},
      {"NonCartesianMRI", {"trajectory", "coil_maps", "weights"}},
      {"NonuniformFourier", {"trajectory"}}};
  for (const Specimen& s : specimens::all()) {
    SCOPED_TRACE(s.name);
    const at::Tensor& x = s.images[0];
    Tensors own = s.tensors(0);
    if (s.make(own)->parameter_names().names.empty()) {
      continue;  // it refuses tensors that require gradients
    }
    Params params;
    Tensors given = copies(own);
    const auto& parameters = names.at(s.make(own)->name());
    for (std::size_t i = 0; i < own.size(); ++i) {
      own[i].requires_grad_();
      given[i].requires_grad_();
      params.set(parameters[i], given[i]);
    }
    const auto op = s.make(own);
    const StackedLinearPhysics stack({op, op});
    {
      const at::NoGradGuard no_grad;
      stack.A_adjoint_A(x);  // plans made without gradients are not taken for those with
    }
    const auto value = [](const at::Tensor& y) { return y.abs().square().sum(); };
    const at::Tensor plain = value(op->A(x)) + value(op->A_adjoint_A(x));
    const at::Tensor fused = (value(stack.A(x)[1]) + value(stack.A_adjoint_A(x)) / 4.0);
    const at::Tensor expected = value(op->A(x, params)) + value(op->A_adjoint_A(x, params));
    const auto reference = torch::autograd::grad({expected}, given, {}, true, false, true);
    for (const at::Tensor& result : {plain, fused}) {
      const auto gradients = torch::autograd::grad({result}, own, {}, true, false, true);
      for (std::size_t i = 0; i < own.size(); ++i) {
        EXPECT_TRUE(at::allclose(gradients[i], reference[i], 1e-5, 1e-5));
      }
    }
  }
}

}  // namespace
}  // namespace adjoin::state_test
