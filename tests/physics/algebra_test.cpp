// SPDX-License-Identifier: BSD-3-Clause
// Sums, products and multiples of operators against those of matrices.
#include "adjoin/physics/algebra.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/matrix.hpp"
#include "dense.hpp"

namespace adjoin {

using testing::all_types;
using testing::expect_close;
using testing::precision;
using testing::random;

namespace {

std::shared_ptr<Matrix> matrix(const at::Tensor& m) { return std::make_shared<Matrix>(m); }

// Every method of `physics` equals that of the dense matrix `expected`.
void expect_equals(const LinearPhysicsPtr& physics, const at::Tensor& expected) {
  const auto type = expected.scalar_type();
  const Matrix reference(expected);
  const at::Tensor x = random({2, expected.size(1)}, type, 20);
  const at::Tensor y = random({2, expected.size(0)}, type, 21);
  const double tolerance = 4 * precision(type);
  expect_close(physics->A(x), reference.A(x), tolerance);
  expect_close(physics->A_adjoint(y), reference.A_adjoint(y), tolerance);
  expect_close(physics->A_adjoint_A(x), reference.A_adjoint_A(x), tolerance);
  expect_close(physics->A_A_adjoint(y), reference.A_A_adjoint(y), tolerance);
  expect_close(physics->A_vjp(x, y), reference.A_vjp(x, y), tolerance);
  EXPECT_LE(physics->adjointness_test(x), tolerance);
}

}  // namespace

TEST(Algebra, OperatorsAreThoseOfMatrices) {
  for (const auto type : all_types) {
    const at::Tensor a = random({5, 4}, type, 1);
    const at::Tensor b = random({5, 4}, type, 2);
    const at::Tensor c = random({4, 3}, type, 3);
    expect_equals(matrix(a) + matrix(b), a + b);
    expect_equals(matrix(a) - matrix(b), a - b);
    expect_equals(-matrix(a), -a);
    expect_equals(matrix(a) * matrix(c), at::matmul(a, c));
    expect_equals(2.5 * matrix(a), 2.5 * a);
    expect_equals(matrix(a) * 2.5, 2.5 * a);
    expect_equals(adjoint(matrix(a)), a.t().conj().resolve_conj());
    expect_equals(adjoint(matrix(a) * matrix(c)) * (matrix(a) + matrix(b)),
                  at::matmul(at::matmul(a, c).t().conj(), a + b));
  }
}

TEST(Algebra, AComplexFactorIsConjugatedInTheAdjoint) {
  const at::Tensor a = random({5, 4}, at::kComplexDouble);
  const at::Scalar factor = c10::complex<double>(1.0, 2.0);
  expect_equals(factor * matrix(a), a * factor);
}

TEST(Algebra, ScaledOperatorsKeepTheClosedForms) {
  const at::Tensor a = random({5, 4}, at::kComplexDouble);
  const at::Scalar factor = c10::complex<double>(1.0, 2.0);
  const LinearPhysicsPtr scaled = factor * matrix(a);
  const Matrix reference(a * factor);
  const at::Tensor x = random({2, 4}, at::kComplexDouble, 1);
  const at::Tensor y = random({2, 5}, at::kComplexDouble, 2);
  expect_close(scaled->A_dagger(y, {.max_iter = 0}), reference.A_dagger(y), 1e-12);
  EXPECT_NEAR(scaled->compute_sqnorm(x), reference.compute_sqnorm(x), 1e-10);
  expect_close((0.0 * matrix(a))->A_dagger(y), at::zeros({2, 4}, at::kComplexDouble), 0.0);
}

TEST(Algebra, PseudoinversesOfCompositesAreSolvedFor) {
  const at::Tensor a = random({8, 4}, at::kDouble, 1);
  const at::Tensor b = random({8, 4}, at::kDouble, 2);
  const at::Tensor y = random({2, 8}, at::kDouble, 3);
  expect_close((matrix(a) + matrix(b))->A_dagger(y, {.tol = 1e-13}), Matrix(a + b).A_dagger(y), 1e-8);
}

TEST(Algebra, ParametersAndUpdatesReachTheOperands) {
  const at::Tensor a = random({4, 4}, at::kDouble, 1);
  const at::Tensor b = random({4, 4}, at::kDouble, 2);
  const at::Tensor c = random({4, 4}, at::kDouble, 3);
  const at::Tensor x = random({2, 4});
  const std::vector<std::pair<LinearPhysicsPtr, at::Tensor>> cases = {{matrix(a) + matrix(b), c + c},
                                                                      {matrix(a) * matrix(b), at::matmul(c, c)},
                                                                      {3.0 * matrix(a), 3.0 * c},
                                                                      {adjoint(matrix(a)), c.t()}};
  for (const auto& [physics, expected] : cases) {
    const Params params = {{"matrix", c}};
    expect_close(physics->A(x, params), Matrix(expected).A(x), 1e-12);
    physics->update(params);
    expect_close(physics->A(x), Matrix(expected).A(x), 1e-12);
    EXPECT_EQ(physics->version(), 1);
  }
}

TEST(Algebra, StackIsTheListOfOperators) {
  const at::Tensor a = random({5, 4}, at::kDouble, 1);
  const at::Tensor b = random({3, 4}, at::kDouble, 2);
  const StackedLinearPhysics physics = stack({matrix(a), matrix(b)}, {.reduction = Reduction::mean});
  const at::Tensor x = random({2, 4});
  expect_close(physics.A(x)[1], Matrix(b).A(x), 1e-12);
  expect_close(physics.A_adjoint_A(x), at::matmul(x, (at::matmul(a.t(), a) + at::matmul(b.t(), b)) / 2), 1e-12);
}

TEST(Algebra, RefusesNullOperandsAndSumsOfDifferentShapes) {
  const LinearPhysicsPtr a = matrix(random({5, 4}));
  const LinearPhysicsPtr null;
  EXPECT_THROW(a + null, InvalidArgument);
  EXPECT_THROW(null * a, InvalidArgument);
  EXPECT_THROW(2.0 * null, InvalidArgument);
  EXPECT_THROW(adjoint(null), InvalidArgument);
  EXPECT_THROW((a + matrix(random({1, 4})))->A(random({2, 4})), InvalidArgument);
}

// x ↦ gain · x, which takes the parameter "gain" alone.
class Gain final : public LinearPhysics {
 public:
  std::string name() const override { return "Gain"; }
  ParameterNames parameter_names() const override { return {.names = {"gain"}}; }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override {
    EXPECT_LE(params.size(), 1U);
    return x * params.get_or("gain", 1.0);
  }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override { return A_impl(y, params); }
};

TEST(Algebra, ParametersReachTheOperandsThatTakeThem) {
  const at::Tensor a = random({4, 4}, at::kDouble, 1);
  const at::Tensor c = random({4, 4}, at::kDouble, 2);
  const auto gain = std::make_shared<Gain>();
  const at::Tensor x = random({2, 4});
  const Params both = {{"gain", 3.0}, {"matrix", c}};
  expect_close((matrix(a) * gain)->A(x, both), 3.0 * Matrix(c).A(x), 1e-12);
  expect_close((matrix(a) * gain)->A_adjoint_A(x, both), 9.0 * Matrix(c).A_adjoint_A(x), 1e-12);
  expect_close((2.0 * (gain + matrix(a)))->A_adjoint(x, both), 6.0 * x + 2.0 * Matrix(c).A_adjoint(x), 1e-12);
  expect_close(adjoint(gain * matrix(a))->A(x, both), 3.0 * Matrix(c).A_adjoint(x), 1e-12);
  EXPECT_THROW((matrix(a) * gain)->A(x, {{"gian", 3.0}}), InvalidArgument);
  EXPECT_THROW((matrix(a) + gain)->A_dagger(x, {.params = {{"gian", 3.0}}}), InvalidArgument);
  EXPECT_THROW(matrix(a)->update({{"matirx", c}}), InvalidArgument);
}

TEST(Algebra, SaysHowItWasMade) {
  const LinearPhysicsPtr a = matrix(random({4, 4}));
  const LinearPhysicsPtr whole = 2.0 * (a + adjoint(a));
  EXPECT_EQ(whole->recipe().maker, "scale");
  EXPECT_EQ(whole->recipe().arguments.get<at::Tensor>("factor").item<double>(), 2.0);
  const PhysicsPtr sum = whole->operands().at(0);
  EXPECT_EQ(sum->recipe().maker, "sum");
  EXPECT_EQ(sum->operands().at(0), a);
  EXPECT_EQ(sum->operands().at(1)->recipe().maker, "adjoint");
  EXPECT_EQ((a * a)->recipe().maker, "compose");
}

}  // namespace adjoin
