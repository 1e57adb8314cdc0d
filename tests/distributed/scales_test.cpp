// SPDX-License-Identifier: BSD-3-Clause
// Solutions of stacks at every scale of operators and data: the scaled one, or an error where the dtype does not hold
// it.
#include "distributed/support.hpp"

namespace adjoin::test::scales_test {
namespace {

constexpr std::int64_t n = 6;

// Beyond this, or below its inverse, a dtype does not hold the solution; near it, either may come out.
double largest(at::ScalarType dtype) { return dtype == at::kFloat ? 1e36 : 1e304; }

class Scales : public testing::TestWithParam<at::ScalarType> {
 protected:
  DistributedStackedLinearPhysics make(double scale) {
    return DistributedStackedLinearPhysics(
        context, n, [this, scale](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
          return std::make_shared<Matrix>((scale * dense.narrow(0, 6 * index, 6)).to(dtype), image_shape);
        });
  }
  TensorList measurements(double scale) const {
    TensorList y;
    for (std::int64_t i = 0; i < n; ++i) {
      y.push_back((scale * data.narrow(1, 6 * i, 6)).to(dtype));
    }
    return y;
  }
  std::vector<double> scales() const {
    return dtype == at::kFloat ? std::vector<double>{1e-30, 1e-22, 1e-15, 1.0, 1e15, 1e22, 1e30}
                               : std::vector<double>{1e-150, 1e-100, 1e-40, 1.0, 1e40, 1e100, 1e150};
  }
  template <class Solve>
  void expect_scaled(double ratio, const at::Tensor& expected, const Solve& solve) {
    try {
      const at::Tensor x = solve().to(at::kDouble) / ratio;
      EXPECT_TRUE(ratio < 1e3 * largest(dtype) && ratio > 1e-3 / largest(dtype)) << x;
      expect_near(x, expected, dtype == at::kFloat ? 1e-3 : 1e-6);
    } catch (const Error& error) {
      EXPECT_FALSE(ratio < largest(dtype) && ratio > 1.0 / largest(dtype)) << error.what();
    }
  }

  const at::ScalarType dtype = GetParam();
  DistributedContext context;
  at::Tensor dense = random_tensor({6 * n, image_size}, at::kDouble, 1) / 5.0;
  at::Tensor data = random_tensor({1, 6 * n}, at::kDouble, 2);
};

constexpr std::array solvers = {Solver::CG, Solver::BiCGStab, Solver::MINRES, Solver::LSQR, Solver::LSMR};

TEST_P(Scales, PseudoinverseByEverySolver) {
  const at::Tensor expected = at::matmul(data, at::linalg_pinv(dense).t()).view({1, 2, 3, 4});
  for (const double a : scales()) {
    const DistributedStackedLinearPhysics stack = make(a);
    for (const double y : scales()) {
      for (const Solver solver : solvers) {
        SCOPED_TRACE(c10::str(to_string(solver), ", operators ", a, ", data ", y));
        expect_scaled(y / a, expected, [&] {
          return stack.A_dagger(measurements(y), {.solver = solver, .max_iter = 300, .tol = 1e-9, .local_only = false});
        });
      }
    }
  }
}

// argmin γ/2 ‖A x − y‖² + 1/2 ‖x − z‖² with γ = 1 / scale².
TEST_P(Scales, ProximalPointByEverySolver) {
  const at::Tensor z = random_tensor({1, 2, 3, 4}, at::kDouble, 3);
  const at::Tensor H = at::matmul(dense.t(), dense) + at::eye(image_size, at::kDouble);
  const at::Tensor b = at::matmul(data, dense) + z.view({1, -1});
  const at::Tensor expected = at::linalg_solve(H, b.view({-1})).view(z.sizes());
  for (const double a : scales()) {
    const DistributedStackedLinearPhysics stack = make(a);
    for (const double y : scales()) {
      const double ratio = y / a;
      if (!(ratio < largest(dtype) && ratio > 1.0 / largest(dtype))) {
        continue;
      }
      for (const Solver solver : solvers) {
        SCOPED_TRACE(c10::str(to_string(solver), ", operators ", a, ", data ", y));
        expect_scaled(ratio, expected, [&] {
          return stack.prox_l2((ratio * z).to(dtype), measurements(y), 1.0 / a / a,
                               {.solver = solver, .max_iter = 300, .tol = 1e-9});
        });
      }
    }
  }
}

TEST_P(Scales, Norm) {
  const at::Tensor x = at::zeros({1, 2, 3, 4}, dtype);
  const double expected = std::pow(at::linalg_matrix_norm(dense, at::Scalar(2)).item<double>(), 2);
  for (const double a : scales()) {
    SCOPED_TRACE(a);
    EXPECT_NEAR(make(a).compute_sqnorm(x, {.max_iter = 200, .tol = 1e-7, .local_only = false}) / a / a, expected,
                1e-4 * expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, Scales, testing::Values(at::kFloat, at::kDouble),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

}  // namespace
}  // namespace adjoin::test::scales_test
