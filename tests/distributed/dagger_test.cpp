// SPDX-License-Identifier: BSD-3-Clause
// The exact pseudoinverse of a distributed stack against the dense one.
#include "distributed/support.hpp"

namespace adjoin::test::dagger_test {
namespace {

constexpr std::int64_t n = 6;

class ExactDagger : public testing::TestWithParam<std::tuple<Solver, at::ScalarType>> {
 protected:
  // Six operators of six rows over 24 unknowns, with given singular values.
  DistributedStackedLinearPhysics make(const at::Tensor& dense, Reduction reduction = Reduction::sum) {
    return DistributedStackedLinearPhysics(context, n,
                                           [dense](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
                                             return std::make_shared<Matrix>(dense.narrow(0, 6 * index, 6).clone(),
                                                                             image_shape);
                                           },
                                           {.reduction = reduction});
  }

  at::Tensor matrix_with(const std::vector<double>& singular_values) const {
    const auto k = static_cast<std::int64_t>(singular_values.size());
    const at::Tensor u = std::get<0>(at::linalg_qr(random_tensor({6 * n, k}, dtype, 1)));
    const at::Tensor v = std::get<0>(at::linalg_qr(random_tensor({image_size, k}, dtype, 2)));
    const at::Tensor s = at::tensor(singular_values, at::kDouble).to(dtype);
    return at::matmul(u * s, v.conj().t());
  }

  TensorList measurements() const {
    TensorList y;
    for (std::uint64_t i = 0; i < n; ++i) {
      y.push_back(random_tensor({2, 6}, dtype, 20 + i));
    }
    return y;
  }

  at::Tensor dense_solution(const at::Tensor& dense, const TensorList& y) const {
    return at::matmul(at::cat(y.tensors(), 1), at::linalg_pinv(dense, 1e-10).t()).reshape({2, 2, 3, 4});
  }

  DistributedDaggerOptions options(int max_iter, double tol) const {
    return {.solver = solver, .max_iter = max_iter, .tol = tol, .local_only = false};
  }

  Solver solver = std::get<0>(GetParam());
  at::ScalarType dtype = std::get<1>(GetParam());
  DistributedContext context;
};

std::vector<double> spread(std::int64_t count, double smallest) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(std::pow(smallest, static_cast<double>(i) / static_cast<double>(count - 1)));
  }
  return values;
}

TEST_P(ExactDagger, OfAFullRankStackIsTheLeastSquaresSolution) {
  const at::Tensor dense = matrix_with(spread(image_size, 0.2));
  const TensorList y = measurements();
  expect_near(make(dense).A_dagger(y, options(200, 1e-12)), dense_solution(dense, y), 1e-8);
}

TEST_P(ExactDagger, UnderMeanReductionHasTheSameMinimiser) {
  const at::Tensor dense = matrix_with(spread(image_size, 0.2));
  const TensorList y = measurements();
  expect_near(make(dense, Reduction::mean).A_dagger(y, options(200, 1e-12)), dense_solution(dense, y), 1e-8);
}

TEST_P(ExactDagger, OfARankDeficientStackIsTheMinimumNormSolution) {
  const at::Tensor dense = matrix_with(spread(10, 0.3));
  const TensorList y = measurements();
  expect_near(make(dense).A_dagger(y, options(200, 1e-12)), dense_solution(dense, y), 1e-8);
}

TEST_P(ExactDagger, OfAnUnderdeterminedStackIsTheMinimumNormSolution) {
  const DistributedStackedLinearPhysics stack(context, 3, [&](std::int64_t index, at::Device, const Params&) {
    return std::make_shared<Matrix>(random_tensor({6, image_size}, dtype, 60 + static_cast<std::uint64_t>(index)),
                                    image_shape);
  });
  const at::Tensor truth = random_tensor({2, 2, 3, 4}, dtype, 5);
  const TensorList y = stack.A(truth);
  std::vector<at::Tensor> rows;
  for (std::uint64_t i = 0; i < 3; ++i) {
    rows.push_back(random_tensor({6, image_size}, dtype, 60 + i));
  }
  expect_near(stack.A_dagger(y, options(400, 1e-13)), dense_solution(at::cat(rows), y), 1e-8);
}

TEST_P(ExactDagger, StartsFromTheGivenImage) {
  const at::Tensor dense = matrix_with(spread(image_size, 0.2));
  const TensorList y = measurements();
  const DistributedStackedLinearPhysics stack = make(dense);
  const at::Tensor solution = dense_solution(dense, y);
  DistributedDaggerOptions warm = options(1, 1e-6);
  warm.init = solution;
  expect_near(stack.A_dagger(y, warm), solution, 1e-8);
}

std::string solver_name(const testing::TestParamInfo<ExactDagger::ParamType>& test) {
  return std::string(to_string(std::get<0>(test.param))) + "_" + c10::toString(std::get<1>(test.param));
}

INSTANTIATE_TEST_SUITE_P(Solvers, ExactDagger,
                         testing::Combine(testing::Values(Solver::CG, Solver::LSQR, Solver::LSMR, Solver::BiCGStab,
                                                          Solver::MINRES),
                                          testing::Values(at::kDouble, at::kComplexDouble)),
                         solver_name);

}  // namespace
}  // namespace adjoin::test::dagger_test
