// SPDX-License-Identifier: BSD-3-Clause
// Every solver at every scale of operator and data: the scaled solution, or an error, and nothing else.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/solvers/krylov.hpp"
#include "adjoin/solvers/lanczos.hpp"
#include "adjoin/solvers/least_squares.hpp"
#include "support.hpp"

namespace adjoin::testing::scaling_test {
namespace {

using Map = LinearMap<at::Tensor, at::Tensor>;

struct Solver {
  std::string name;
  bool normal_equations;
  std::function<SolverResult<at::Tensor>(const Map& A, const Map& A_adjoint, const at::Tensor& y, std::int64_t items,
                                         const std::optional<at::Tensor>& x0)>
      solve;
};

const std::vector<Solver>& solvers() {
  const auto normal = [](auto method) {
    return [method](const Map& A, const Map& A_adjoint, const at::Tensor& y, std::int64_t items,
                    const std::optional<at::Tensor>& x0) {
      const Map H = [&](const at::Tensor& x) { return A_adjoint(A(x)); };
      return method(H, A_adjoint(y), {.max_iter = 300, .tol = 1e-6, .items = items}, x0, Map());
    };
  };
  const auto rectangular = [](auto method) {
    return [method](const Map& A, const Map& A_adjoint, const at::Tensor& y, std::int64_t items,
                    const std::optional<at::Tensor>& x0) {
      LeastSquaresOptions options;
      options.max_iter = 300;
      options.tol = 1e-7;
      options.items = items;
      return method(A, A_adjoint, y, options, x0);
    };
  };
  static const std::vector<Solver> all = {{"CG", true, normal(&conjugate_gradient<at::Tensor>)},
                                          {"BiCGStab", true, normal(&bicgstab<at::Tensor>)},
                                          {"MINRES", true, normal(&minres<at::Tensor>)},
                                          {"LSQR", false, rectangular(&lsqr<at::Tensor>)},
                                          {"LSMR", false, rectangular(&lsmr<at::Tensor>)}};
  return all;
}

Map rows(const at::Tensor& matrix) {
  return [matrix](const at::Tensor& x) { return at::matmul(x, matrix.t()); };
}
Map columns(const at::Tensor& matrix) {
  return [matrix](const at::Tensor& v) { return at::matmul(v, matrix.conj()); };
}

struct Scales {
  double of_operator;
  double of_data;
};

// The solution is the plain one times data / operator; where that fits the dtype it must come out.
void expect_scaled(const Solver& solver, at::ScalarType dtype, const Scales& scales, double largest, bool from_x0) {
  SCOPED_TRACE(c10::str(solver.name, ", ", dtype, ", operator ", scales.of_operator, ", data ", scales.of_data));
  const at::Tensor A = with_singular_values(14, 9, geometric(1.0, 0.3, 9), dtype);
  const at::Tensor y = randn({1, 14}, dtype, 5);
  const at::Tensor expected = at::matmul(y, at::linalg_pinv(A).t());
  const double ratio = scales.of_data / scales.of_operator;
  const at::Tensor scaled_A = A * scales.of_operator;
  const at::Tensor scaled_y = y * scales.of_data;
  const bool fits = ratio < largest && ratio > 1.0 / largest;
  const bool may_fit = ratio < 1e4 * largest && ratio > 1e-4 / largest;
  const auto start = from_x0 ? std::optional<at::Tensor>(randn({1, 9}, dtype, 7) * ratio) : std::nullopt;
  try {
    const auto result = solver.solve(rows(scaled_A), columns(scaled_A), scaled_y, 1, start);
    // Where it does not fit, nothing may come out but an error.
    EXPECT_TRUE(may_fit) << result.x;
    EXPECT_LT(relative_error(result.x.to(c10::toComplexType(at::kDouble)) / ratio,
                             expected.to(c10::toComplexType(at::kDouble))),
              c10::toRealValueType(dtype) == at::kDouble ? 1e-5 : 1e-4);
  } catch (const Error& error) {
    EXPECT_FALSE(fits) << error.what();
  }
}

TEST(Scaling, SinglePrecision) {
  for (const Solver& solver : solvers()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kComplexFloat}) {
      for (const double a : {1e-30, 1e-20, 1e-15, 1e-8, 1.0, 1e8, 1e15, 1e20, 1e30}) {
        for (const double y : {1e-30, 1e-12, 1.0, 1e12, 1e30}) {
          // Aᵀy itself must be a number for what is given it.
          if (!solver.normal_equations || (a * y > 1e-35 && a * y < 1e35)) {
            expect_scaled(solver, dtype, {a, y}, 1e36, false);
          }
        }
      }
      expect_scaled(solver, dtype, {1e-20, 1e-10}, 1e36, true);
      expect_scaled(solver, dtype, {1e18, 1e10}, 1e36, true);
    }
  }
}

TEST(Scaling, DoublePrecision) {
  for (const Solver& solver : solvers()) {
    for (const double a : {1e-150, 1e-100, 1e-40, 1.0, 1e40, 1e100, 1e150}) {
      for (const double y : {1e-150, 1e-60, 1.0, 1e60, 1e150}) {
        expect_scaled(solver, at::kDouble, {a, y}, 1e305, false);
      }
    }
    expect_scaled(solver, at::kDouble, {1e-100, 1e-40}, 1e305, true);
  }
}

TEST(Scaling, NothingIsRoundedBySomePowerOfTwo) {
  const at::Tensor A = with_singular_values(14, 9, geometric(1.0, 0.3, 9));
  const at::Tensor y = randn({1, 14}, at::kDouble, 5);
  for (const Solver& solver : solvers()) {
    const at::Tensor plain = solver.solve(rows(A), columns(A), y, 1, {}).x;
    for (const int exponent : {-400, -90, 90, 400}) {
      const at::Tensor scaled = solver.solve(rows(A), columns(A), y * std::ldexp(1.0, exponent), 1, {}).x;
      EXPECT_TRUE(at::equal(scaled, plain * std::ldexp(1.0, exponent))) << solver.name << " " << exponent;
    }
  }
}

TEST(Scaling, ItemsHaveUnitsOfTheirOwn) {
  const at::Tensor A = with_singular_values(14, 9, geometric(1.0, 0.3, 9), at::kFloat);
  at::Tensor y = randn({3, 14}, at::kFloat, 5);
  const at::Tensor expected = at::matmul(y, at::linalg_pinv(A).t());
  y[0] *= 1e-25;
  y[2] *= 1e25;
  for (const Solver& solver : solvers()) {
    const at::Tensor x = solver.solve(rows(A), columns(A), y, 3, {}).x;
    EXPECT_LT(relative_error(x[0] * 1e25, expected[0]), 1e-4) << solver.name;
    EXPECT_LT(relative_error(x[1], expected[1]), 1e-4) << solver.name;
    EXPECT_LT(relative_error(x[2] * 1e-25, expected[2]), 1e-4) << solver.name;
  }
}

TEST(Scaling, DampingScalesWithTheOperator) {
  const at::Tensor A = with_singular_values(14, 9, geometric(1.0, 0.3, 9), at::kFloat);
  const at::Tensor y = randn({1, 14}, at::kFloat, 5);
  for (auto* method : {&lsqr<at::Tensor>, &lsmr<at::Tensor>}) {
    LeastSquaresOptions options;
    options.damping = 0.4;
    const at::Tensor plain = method(rows(A), columns(A), y, options, {}).x;
    options.damping = 0.4e-22;
    const at::Tensor x = method(rows(A * 1e-22), columns(A * 1e-22), y, options, {}).x;
    EXPECT_LT(relative_error(x * 1e-22, plain), 1e-4);
  }
}

TEST(Scaling, LargestEigenvalue) {
  const at::Tensor H = with_eigenvalues(geometric(1.0, 0.01, 40));
  for (const double scale : {1e-290, 1e-200, 1e-30, 1.0, 1e30, 1e200, 1e290, 1e305}) {
    const LanczosResult result =
        largest_eigenvalue(map_of(H * scale), at::zeros({40}, at::kDouble), {.max_iter = 60, .tol = 1e-10});
    EXPECT_NEAR(result.lower / scale, 1.0, 1e-8) << scale;
    EXPECT_GE(result.upper / scale, 1.0 - 1e-12) << scale;
  }
  // AᵀA of an operator whose square is no number in single precision.
  const at::Tensor A = with_singular_values(14, 9, geometric(1.0, 0.3, 9), at::kFloat);
  for (const double scale : {1e-30, 1e-22, 1e22, 1e30}) {
    const at::Tensor scaled = A * scale;
    const Map normal = [&](const at::Tensor& x) { return at::matmul(scaled.t(), at::matmul(scaled, x)); };
    const LanczosResult result = largest_eigenvalue(normal, at::zeros({9}, at::kFloat), {.tol = 1e-6});
    EXPECT_NEAR(result.lower / (scale * scale), 1.0, 1e-4) << scale;
  }
  EXPECT_THROW(largest_eigenvalue([](const at::Tensor& x) { return x * 1e-170 * 1e-150; }, at::zeros({4}, at::kDouble)),
               Error);
}

TEST(Scaling, AnOperatorOfZerosIsZeroAndOneOfNaNAnError) {
  const Map zeros = [](const at::Tensor& x) { return at::zeros_like(x); };
  const Map nan = [](const at::Tensor& x) { return at::full_like(x, std::nan("")); };
  const at::Tensor b = randn({1, 6}, at::kFloat, 1);
  EXPECT_EQ(largest_eigenvalue(zeros, b).upper, 0.0);
  for (const Solver& solver : solvers()) {
    const at::Tensor x = solver.solve(zeros, zeros, b, 1, {}).x;
    EXPECT_EQ(x.abs().max().item<double>(), 0.0) << solver.name;
    EXPECT_THROW((void)solver.solve(nan, nan, b, 1, {}), Error) << solver.name;
  }
}

}  // namespace
}  // namespace adjoin::testing::scaling_test
