// SPDX-License-Identifier: BSD-3-Clause
// What every measurement model checks, counts and differentiates.
#include "adjoin/physics/physics.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/function.hpp"
#include "dense.hpp"

namespace adjoin::physics_test {

using testing::expect_close;
using testing::random;

namespace {

PhysicsPtr squares() {
  return make_nonlinear_function([](const at::Tensor& x) { return x * x; }, "Squares");
}

template <class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST(Physics, ForwardIsSensorOfNoiseOfA) {
  const PhysicsPtr physics = squares();
  const at::Tensor x = random({2, 3});
  EXPECT_TRUE(physics->forward(x).equal(physics->A(x)));
  physics->set_noise([](const at::Tensor& y) { return y + 1; });
  physics->set_sensor([](const at::Tensor& y) { return 2 * y; });
  expect_close(physics->forward(x), 2 * (x * x + 1), 1e-14);
  EXPECT_TRUE(physics->A(x).equal(x * x));
}

TEST(Physics, VjpIsTheTransposedJacobianTimesV) {
  const at::Tensor x = random({2, 3});
  const at::Tensor v = random({2, 3}, at::kDouble, 1);
  expect_close(squares()->A_vjp(x, v), 2 * x * v, 1e-14);
}

TEST(Physics, VjpConjugatesTheJacobianOfComplexMaps) {
  const at::Tensor x = random({2, 3}, at::kComplexDouble);
  const at::Tensor v = random({2, 3}, at::kComplexDouble, 1);
  expect_close(squares()->A_vjp(x, v), 2 * x.conj() * v, 1e-14);
}

TEST(Physics, VjpOfAMapThatDropsItsArgumentIsZero) {
  const at::Tensor offset = random({3}).requires_grad_();
  const PhysicsPtr physics = make_nonlinear_function([&](const at::Tensor&) { return offset * 2; });
  EXPECT_TRUE(physics->A_vjp(random({3}), random({3})).equal(at::zeros({3}, at::kDouble)));
}

TEST(Physics, VjpIsCutOffUnlessItsArgumentsRequireGradients) {
  const at::Tensor x = random({3});
  const at::Tensor v = random({3}, at::kDouble, 1);
  EXPECT_FALSE(squares()->A_vjp(x, v).requires_grad());
  const at::Tensor leaf = v.clone().requires_grad_();
  squares()->A_vjp(x, leaf).sum().backward();
  expect_close(leaf.grad(), 2 * x, 1e-14);
  const at::Tensor point = x.clone().requires_grad_();
  squares()->A_vjp(point, v).sum().backward();
  expect_close(point.grad(), 2 * v, 1e-14);
}

TEST(Physics, VjpWorksWithoutGradModeAndInInferenceMode) {
  const at::Tensor x = random({3});
  {
    const c10::NoGradGuard no_grad;
    expect_close(squares()->A_vjp(x, x), 2 * x * x, 1e-14);
  }
  const c10::InferenceMode inference;
  const at::Tensor inferred = x * 1;
  expect_close(squares()->A_vjp(inferred, inferred), 2 * x * x, 1e-14);
}

TEST(Physics, VjpExplainsWhatItCannotDo) {
  const PhysicsPtr opaque = make_nonlinear_function([](const at::Tensor& x) { return x.detach(); }, "Opaque");
  EXPECT_NE(message_of([&] { opaque->A_vjp(random({3}), random({3})); }).find("Opaque::A_vjp: A is not differentiable"),
            std::string::npos);
  const std::string message = message_of([&] { squares()->A_vjp(random({3}), random({4})); });
  EXPECT_EQ(message, "Squares::A_vjp: v must have the shape of A(x), [3], got [4]");
}

TEST(Physics, RefusesUndefinedAndIntegerTensors) {
  EXPECT_EQ(message_of([] { squares()->A({}); }), "Squares::A: x must be a tensor, got an undefined one");
  EXPECT_EQ(message_of([] { squares()->forward(at::ones({2}, at::kLong)); }),
            "Squares::forward: x must be floating or complex, got Long");
  EXPECT_THROW(squares()->A_vjp(random({3}), {}), InvalidArgument);
  EXPECT_THROW(squares()->A_vjp({}, random({3})), InvalidArgument);
}

TEST(Physics, CountsCallsAndVersions) {
  const PhysicsPtr physics = squares();
  const at::Tensor x = random({3});
  physics->A(x);
  physics->forward(x);
  physics->A_vjp(x, x);
  EXPECT_EQ(physics->calls().A, 2);
  EXPECT_EQ(physics->calls().A_adjoint, 1);
  EXPECT_EQ(physics->version(), 0);
  physics->update({});
  EXPECT_EQ(physics->version(), 1);
}

}  // namespace adjoin::physics_test
