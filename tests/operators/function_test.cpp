// SPDX-License-Identifier: BSD-3-Clause
// Operators of callables, with adjoints given and found by differentiation.
#include "adjoin/operators/function.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "adjoin/core/errors.hpp"
#include "physics/dense.hpp"

namespace adjoin {

using testing::all_types;
using testing::expect_close;
using testing::precision;
using testing::random;

TEST(Function, DifferentiatedAdjointEqualsTheGivenOne) {
  for (const auto type : all_types) {
    const at::Tensor matrix = random({5, 4}, type);
    const auto A = [=](const at::Tensor& x) { return at::matmul(x, matrix.t()); };
    const LinearPhysicsPtr differentiated = make_function(A, {}, {.image_shape = {-1, 4}});
    const LinearPhysicsPtr given = testing::rows_times(matrix);
    const at::Tensor x = random({3, 4}, type, 1);
    const at::Tensor y = random({3, 5}, type, 2);
    expect_close(differentiated->A_adjoint(y), given->A_adjoint(y), precision(type));
    expect_close(differentiated->A_vjp(x, y), given->A_adjoint(y), precision(type));
    expect_close(differentiated->A_adjoint_A(x), given->A_adjoint_A(x), precision(type));
    expect_close(differentiated->A_A_adjoint(y), given->A_A_adjoint(y), precision(type));
    EXPECT_LE(differentiated->adjointness_test(x), precision(type));
    EXPECT_LE(given->adjointness_test(x), precision(type));
  }
}

TEST(Function, WithoutShapeDifferentiatesWhereTheImageIsKnown) {
  const at::Tensor matrix = random({5, 4});
  const LinearPhysicsPtr physics =
      make_function([=](const at::Tensor& x) { return at::matmul(x, matrix.t()); }, {}, {.name = "Rows"});
  const at::Tensor x = random({3, 4});
  const at::Tensor y = random({3, 5});
  expect_close(physics->A_adjoint_A(x), at::matmul(at::matmul(x, matrix.t()), matrix), 1e-12);
  expect_close(physics->A_vjp(x, y), at::matmul(y, matrix), 1e-12);
  try {
    physics->A_adjoint(y);
    FAIL() << "A_adjoint must need the shape";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("Rows::A_adjoint: automatic differentiation needs the image's shape"),
              std::string::npos);
  }
}

TEST(Function, RealImagesOfComplexMeasurementsHaveARealAdjoint) {
  const LinearPhysicsPtr transform = make_function([](const at::Tensor& x) { return at::fft_fft(x, {}, -1, "ortho"); },
                                                   {}, {.image_shape = {2, 8}, .image_dtype = at::kDouble});
  const at::Tensor y = random({2, 8}, at::kComplexDouble);
  expect_close(transform->A_adjoint(y), at::real(at::fft_ifft(y, {}, -1, "ortho")).contiguous(), 1e-12);
  EXPECT_LE(transform->adjointness_test(random({2, 8})), 1e-12);
}

TEST(Function, AnAdjointThatIsComplexGivesRealImagesTheRealPart) {
  const LinearPhysicsPtr transform =
      make_function([](const at::Tensor& x) { return at::fft_fft(x, {}, -1, "ortho"); },
                    [](const at::Tensor& y) { return at::fft_ifft(y, {}, -1, "ortho"); });
  const at::Tensor y = random({2, 8}, at::kComplexDouble);
  EXPECT_TRUE(transform->A_adjoint(y).is_complex());
  expect_close(transform->A_vjp(random({2, 8}), y), at::real(transform->A_adjoint(y)), 1e-12);
}

TEST(Function, CallablesMayTakeTheParametersOfTheCall) {
  const LinearPhysicsPtr physics =
      make_function([](const at::Tensor& x, const Params& p) { return x * p.get_or("gain", 1.0); },
                    [](const at::Tensor& y, const Params& p) { return y * p.get_or("gain", 1.0); });
  const at::Tensor x = random({2, 3});
  EXPECT_TRUE(physics->A(x).equal(x));
  expect_close(physics->A_adjoint_A(x, {{"gain", 3.0}}), 9 * x, 1e-14);
}

TEST(Function, GradientsFlowThroughADifferentiatedAdjoint) {
  const at::Tensor matrix = random({5, 4});
  const LinearPhysicsPtr physics =
      make_function([=](const at::Tensor& x) { return at::matmul(x, matrix.t()); }, {}, {.image_shape = {-1, 4}});
  const at::Tensor y = random({3, 5}).requires_grad_();
  physics->A_adjoint(y).sum().backward();
  expect_close(y.grad(), at::matmul(at::ones({3, 4}, at::kDouble), matrix.t()), 1e-12);
}

TEST(Function, RefusesEmptyCallablesAndShapesThatAreNone) {
  EXPECT_THROW(make_function({}), InvalidArgument);
  EXPECT_THROW(make_nonlinear_function({}), InvalidArgument);
  const auto identity = [](const at::Tensor& x) { return x; };
  EXPECT_THROW(make_function(identity, {}, {.image_shape = {2, -1}}), InvalidArgument);
}

}  // namespace adjoin
