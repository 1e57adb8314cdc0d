// SPDX-License-Identifier: BSD-3-Clause
// Every method of DistributedStackedLinearPhysics against its single-process twin and against the dense matrix, for
// mixed shapes, real and complex data, few and many operators (with two, ranks 2 and 3 own none), both reductions and
// all gather strategies.
#include "adjoin/distributed/stacked_linear_physics.hpp"

#include <tuple>

#include "distributed/support.hpp"

namespace adjoin::test {
namespace {

using Case = std::tuple<at::ScalarType, std::int64_t, Reduction, GatherStrategy>;

class DistributedStack : public testing::TestWithParam<Case> {
 protected:
  at::ScalarType dtype = std::get<0>(GetParam());
  std::int64_t n = std::get<1>(GetParam());
  Reduction reduction = std::get<2>(GetParam());
  double tol = tolerance(dtype);
  DistributedContext context;
  DistributedStackedLinearPhysics stack{
      context, n, matrices(dtype), {.reduction = reduction, .gather_strategy = std::get<3>(GetParam())}};
  StackedLinearPhysics reference = twin(n, dtype, reduction);
  at::Tensor x = random_image(dtype, 1, 2);
  TensorList y = reference.A(random_image(dtype, 2, 2));

  ShardedTensorList sharded_y() { return stack.shard(y); }
};

TEST_P(DistributedStack, AGathersAllMeasurementsOnEveryRank) { expect_near(stack.A(x), reference.A(x), tol); }

TEST_P(DistributedStack, AWithoutGatherGivesTheOwnedMeasurements) {
  expect_near(stack.A(x, {.gather = false}), part_of(reference.A(x), stack.local_indices()), tol);
  expect_near(stack.A_sharded(x).local, part_of(reference.A(x), stack.local_indices()), tol);
}

TEST_P(DistributedStack, ForwardWithoutNoiseIsA) {
  expect_near(stack.forward(x), reference.A(x), tol);
  expect_near(stack.forward(x, {.gather = false}), part_of(reference.A(x), stack.local_indices()), tol);
}

TEST_P(DistributedStack, AdjointSumsOverAllOperators) {
  const at::Tensor expected = reference.A_adjoint(y);
  expect_near(stack.A_adjoint(y), expected, tol, "whole list");
  expect_near(stack.A_adjoint(sharded_y()), expected, tol, "sharded list");
  expect_near(stack.A_adjoint(part_of(y, stack.local_indices())), expected, tol, "owned part");
}

TEST_P(DistributedStack, AdjointWithoutGatherIsThePartOfThisRank) {
  const at::Tensor part = stack.A_adjoint(y, {.gather = false});
  EXPECT_EQ(part.dim() == 0, stack.local_indices().empty());
  expect_near(sum_over_ranks(context.communicator(), part, x), reference.A_adjoint(y), tol);
}

TEST_P(DistributedStack, AdjointEqualsTheDenseTranspose) {
  std::vector<at::Tensor> columns;
  for (const at::Tensor& entry : y) {
    columns.push_back(entry);
  }
  at::Tensor expected = at::matmul(at::cat(columns, 1), dense_stack(n, dtype).conj()).reshape(x.sizes());
  if (reduction == Reduction::mean) {
    expected = expected / static_cast<double>(n);
  }
  expect_near(stack.A_adjoint(y), expected, tol);
}

TEST_P(DistributedStack, VectorJacobianProductSumsOverAllOperators) {
  const at::Tensor expected = reference.A_vjp(x, y);
  expect_near(stack.A_vjp(x, y), expected, tol);
  expect_near(stack.A_vjp(x, sharded_y()), expected, tol);
  const at::Tensor part = stack.A_vjp(x, y, {.gather = false});
  expect_near(sum_over_ranks(context.communicator(), part, x), expected, tol);
}

TEST_P(DistributedStack, NormalOperatorSumsOverAllOperators) {
  const at::Tensor expected = reference.A_adjoint_A(x);
  expect_near(stack.A_adjoint_A(x), expected, tol);
  const at::Tensor part = stack.A_adjoint_A(x, {.gather = false});
  expect_near(sum_over_ranks(context.communicator(), part, x), expected, tol);
}

TEST_P(DistributedStack, AAdjointUsesTheGlobalAdjointWhateverGather) {
  const TensorList expected = reference.A_A_adjoint(y);
  expect_near(stack.A_A_adjoint(y), expected, tol);
  expect_near(stack.A_A_adjoint(y, {.gather = false}), part_of(expected, stack.local_indices()), tol);
  expect_near(stack.A_A_adjoint(sharded_y()).local, part_of(expected, stack.local_indices()), tol);
}

TEST_P(DistributedStack, UnreducedTermsAreThoseOfEachOperator) {
  expect_near(stack.A_adjoint_each(y), reference.A_adjoint_each(y), tol);
  expect_near(stack.A_vjp_each(x, y), reference.A_vjp_each(x, y), tol);
  expect_near(stack.A_adjoint_A_each(x), reference.A_adjoint_A_each(x), tol);
  expect_near(stack.A_adjoint_each(y, {.gather = false}), part_of(reference.A_adjoint_each(y), stack.local_indices()),
              tol);
  expect_near(stack.A_vjp_each(x, y, {.gather = false}), part_of(reference.A_vjp_each(x, y), stack.local_indices()),
              tol);
  expect_near(stack.A_adjoint_A_each(x, {.gather = false}),
              part_of(reference.A_adjoint_A_each(x), stack.local_indices()), tol);
}

TEST_P(DistributedStack, LocalPseudoinverseIsTheMeanOfTheOperatorsOwn) {
  const at::Tensor expected = reference.A_dagger_mean(y);
  expect_near(stack.A_dagger(y), expected, 10 * tol);
  expect_near(stack.A_dagger(sharded_y()), expected, 10 * tol);
  const at::Tensor part = stack.A_dagger(y, {.gather = false});
  expect_near(sum_over_ranks(context.communicator(), part, x), expected, 10 * tol);
}

TEST_P(DistributedStack, ExactPseudoinverseEqualsThatOfTheTwin) {
  const DistributedDaggerOptions options{.max_iter = 25, .tol = 0.1 * tol, .local_only = false};
  const at::Tensor expected = reference.A_dagger(y, {.max_iter = 25, .tol = 0.1 * tol});
  // Both iterations stop at the same residual, not at the same bits.
  expect_near(stack.A_dagger(y, options), expected, 1000 * tol);
  expect_near(stack.A_dagger(sharded_y(), options), expected, 1000 * tol);
}

TEST_P(DistributedStack, ProxEqualsThatOfTheTwin) {
  const at::Tensor z = random_image(dtype, 5, 2);
  const DaggerOptions options{.max_iter = 60, .tol = 0.1 * tol};
  expect_near(stack.prox_l2(z, y, 0.7, options), reference.prox_l2(z, y, 0.7, options), 10 * tol);
  expect_near(stack.prox_l2(z, sharded_y(), 0.7, options), reference.prox_l2(z, y, 0.7, options), 10 * tol);
}

TEST_P(DistributedStack, SquaredNormIsThatOfTheDenseMatrix) {
  double expected = at::linalg_matrix_norm(dense_stack(n, dtype), 2).item<double>();
  expected *= expected / (reduction == Reduction::mean ? static_cast<double>(n) : 1.0);
  const at::Tensor x0 = random_image(dtype, 9);
  EXPECT_NEAR(stack.compute_sqnorm(x0, {.tol = 1e-4, .local_only = false}), expected, 2e-4 * expected);

  const SqnormBounds bounds = stack.sqnorm_bounds(x0);
  const SqnormBounds same = reference.sqnorm_bounds(x0);
  EXPECT_NEAR(bounds.lower, same.lower, 10 * tol * same.lower);
  EXPECT_NEAR(bounds.upper, same.upper, 10 * tol * same.upper);
  EXPECT_LE(bounds.lower, expected * (1 + tol));
  EXPECT_GE(bounds.upper, expected * (1 - tol));
  EXPECT_EQ(stack.compute_sqnorm(x0), bounds.upper);

  double sum_of_parts = stack.compute_sqnorm(x0, {.gather = false});
  context.communicator().all_reduce(std::span<double>(&sum_of_parts, 1));
  EXPECT_NEAR(sum_of_parts, bounds.upper, 1e-12 * bounds.upper);
}

TEST_P(DistributedStack, GuessesTheSquaredNormOnceForImagesOfOneLayout) {
  const at::Tensor x0 = random_image(dtype, 9);
  const double expected = reference.compute_sqnorm(x0, {.tol = 1e-4});
  const double guess = stack.guess_sqnorm(x0);
  EXPECT_GE(guess, 0.95 * expected);
  EXPECT_LE(guess, 1.3 * expected);
  EXPECT_NEAR(guess, reference.guess_sqnorm(x0), 100 * tol * expected);
  const auto before = context.communicator().counters().collectives;
  EXPECT_EQ(stack.guess_sqnorm(x0 + 1.0), guess);
  EXPECT_EQ(context.communicator().counters().collectives - before, context.size() == 1 ? 0 : 1);
}

TEST_P(DistributedStack, AdjointIsTrueToTheInnerProductOfTheMeasurements) {
  EXPECT_LE(stack.adjointness_test(x), tol);
  EXPECT_NEAR(stack.adjointness_test(x), reference.adjointness_test(x), tol);
}

// ⟨A_sharded u, v⟩ = ⟨u, Aᵀ v⟩, whichever way the sharded lists were made.
TEST_P(DistributedStack, ShardedMeasurementsAreInOneSpaceWhoseInnerProductMakesTheAdjointTrue) {
  const ShardedTensorList v = sharded_y();
  const c10::complex<double> expected = adjoin::dot(x, stack.A_adjoint(v))[0];
  const auto expect_product = [&](const ShardedTensorList& Ax) {
    const c10::complex<double> product = adjoin::dot(Ax, v)[0];
    EXPECT_NEAR(product.real(), expected.real(), tol * std::abs(expected));
    EXPECT_NEAR(product.imag(), expected.imag(), tol * std::abs(expected));
  };
  expect_product(stack.A_sharded(x));
  expect_product(stack.forward_sharded(x));
  expect_product(stack.shard(stack.A(x)));
  ShardedTensorList sum = stack.A_sharded(x);
  adjoin::axpy({2.0}, stack.A_A_adjoint(v), sum);
  const ShardedTensorList unweighted = DistributedStackedLinearPhysics(context, n, matrices(dtype)).A_sharded(x);
  if (reduction == Reduction::mean) {
    EXPECT_THROW((void)adjoin::dot(unweighted, v), InvalidArgument);
  }
}

TEST_P(DistributedStack, GatherAndShardAreInverse) { expect_near(stack.gather(sharded_y()), y, 0.0); }

TEST_P(DistributedStack, ResultsStayAsTheyAreWhenFurtherCallsFollow) {
  const at::Tensor first = stack.A_adjoint_A(x);
  const at::Tensor kept = first.clone();
  const TensorList measurements = stack.A(x);
  const TensorList kept_measurements(std::vector<at::Tensor>{measurements[0].clone(), measurements[1].clone()});
  for (int round = 0; round < 5; ++round) {
    (void)stack.A_adjoint_A(2 * x);
    (void)stack.A(2 * x);
  }
  expect_near(first, kept, 0.0);
  expect_near(measurements[0], kept_measurements[0], 0.0);
  expect_near(measurements[1], kept_measurements[1], 0.0);
}

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& [dtype, n, reduction, strategy] = info.param;
  return std::string(c10::toString(dtype)) + "_" + std::to_string(n) + "_" + std::string(to_string(reduction)) + "_" +
         std::string(to_string(strategy));
}

INSTANTIATE_TEST_SUITE_P(Reductions, DistributedStack,
                         testing::Combine(testing::Values(at::kFloat, at::kDouble, at::kComplexFloat,
                                                          at::kComplexDouble),
                                          testing::Values(2, 7), testing::Values(Reduction::sum, Reduction::mean),
                                          testing::Values(GatherStrategy::concatenated)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Strategies, DistributedStack,
                         testing::Combine(testing::Values(at::kFloat, at::kComplexDouble), testing::Values(2, 7),
                                          testing::Values(Reduction::sum),
                                          testing::Values(GatherStrategy::naive, GatherStrategy::broadcast)),
                         name_of);

}  // namespace
}  // namespace adjoin::test
