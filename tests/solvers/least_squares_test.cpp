#include "adjoin/solvers/least_squares.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "adjoin/core/errors.hpp"
#include "support.hpp"

namespace adjoin {
namespace {

using testing::geometric;
using testing::randn;
using testing::relative_error;
using testing::with_singular_values;

using Map = LinearMap<at::Tensor, at::Tensor>;
using LeastSquares = SolverResult<at::Tensor> (*)(const Map&, const Map&, const at::Tensor&, const LeastSquaresOptions&,
                                                  const std::optional<at::Tensor>&);

struct Method {
  const char* name;
  LeastSquares solve;
};

void PrintTo(const Method& method, std::ostream* out) { *out << method.name; }

class LeastSquaresTest : public ::testing::TestWithParam<Method> {
 protected:
  SolverResult<at::Tensor> solve(const at::Tensor& matrix, const at::Tensor& y, const LeastSquaresOptions& options = {},
                                 const std::optional<at::Tensor>& x0 = {}) const {
    return GetParam().solve(testing::map_of(matrix), testing::adjoint_of(matrix), y, options, x0);
  }
};

INSTANTIATE_TEST_SUITE_P(Methods, LeastSquaresTest,
                         ::testing::Values(Method{"LSQR", &lsqr<at::Tensor>}, Method{"LSMR", &lsmr<at::Tensor>}),
                         [](const auto& test) { return test.param.name; });

LeastSquaresOptions precise(int max_iter = 400) {
  LeastSquaresOptions options;
  options.max_iter = max_iter;
  options.tol = 1e-14;
  return options;
}

TEST_P(LeastSquaresTest, EqualsThePseudoinverse) {
  for (auto [m, n] : {std::pair{30, 20}, std::pair{20, 30}, std::pair{25, 25}}) {
    for (auto dtype : {at::kDouble, at::kComplexDouble}) {
      const at::Tensor A =
          with_singular_values(m, n, geometric(1.0, 0.1, static_cast<std::size_t>(std::min(m, n))), dtype);
      const at::Tensor y = randn({m}, dtype, 7);
      const auto result = solve(A, y, precise());
      EXPECT_LT(relative_error(result.x, at::matmul(at::linalg_pinv(A), y)), 1e-8) << m << "x" << n << " " << dtype;
    }
  }
}

}  // namespace
}  // namespace adjoin
