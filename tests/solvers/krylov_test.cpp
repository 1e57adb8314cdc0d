#include "adjoin/solvers/krylov.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "adjoin/core/errors.hpp"
#include "support.hpp"

namespace adjoin {
namespace {

using testing::geometric;
using testing::map_of;
using testing::randn;
using testing::relative_error;
using testing::with_eigenvalues;

TEST(ConjugateGradient, EqualsTheInverse) {
  for (auto dtype : {at::kDouble, at::kComplexDouble}) {
    const at::Tensor H = with_eigenvalues(geometric(1.0, 1e-2, 30), dtype);
    const at::Tensor b = randn({30}, dtype, 3);
    const auto result = conjugate_gradient<at::Tensor>(map_of(H), b, {.tol = 1e-12});
    EXPECT_EQ(result.reason, StopReason::converged);
    EXPECT_LT(relative_error(result.x, at::linalg_solve(H, b)), 1e-8) << dtype;
  }
}

}  // namespace
}  // namespace adjoin
