// SPDX-License-Identifier: BSD-3-Clause
// Data fidelities of stacks, distributed against single-process, against automatic differentiation, and their messages
// and failures.
#include "adjoin/optim/distributed_data_fidelity.hpp"

#include <tuple>

#include "optim/support.hpp"

namespace adjoin::test::stacked_data_fidelity_test {
namespace {

// Mixed fidelities, one for each operator.
DataFidelityPtr fidelity_of(std::int64_t i) {
  if (i % 3 == 0) {
    return std::make_shared<L2>(0.5 + 0.1 * static_cast<double>(i));
  }
  return i % 3 == 1 ? DataFidelityPtr(std::make_shared<Huber>(0.3)) : std::make_shared<L1>();
}

DataFidelityPtr made_for(std::int64_t i, at::Device /*device*/) { return fidelity_of(i); }

using Case = std::tuple<at::ScalarType, std::int64_t, Reduction>;

class StackFidelity : public testing::TestWithParam<Case> {
 protected:
  at::ScalarType dtype = std::get<0>(GetParam());
  std::int64_t n = std::get<1>(GetParam());
  Reduction reduction = std::get<2>(GetParam());
  double tol = tolerance(dtype);
  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(dtype), {.reduction = reduction}};
  StackedLinearPhysics single = twin(n, dtype, reduction);
  DistributedDataFidelity f{stack, made_for};
  StackedDataFidelity reference{single, made_for};
  at::Tensor x = random_image(dtype, 1, 2);
  TensorList y = single.A(random_image(dtype, 2, 2));
  double factor = reduction == Reduction::mean ? 1.0 / static_cast<double>(n) : 1.0;
};

TEST_P(StackFidelity, TwinIsTheSumOfTheTerms) {
  double value = 0.0;
  at::Tensor grad = at::zeros_like(x);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto k = static_cast<std::size_t>(i);
    const at::Tensor u = single[k].A(x);
    value += factor * fidelity_of(i)->fn(u, y[k]).item<double>();
    grad += factor * single[k].A_adjoint(fidelity_of(i)->grad(u, y[k]));
  }
  EXPECT_NEAR(reference.fn(x, y).item<double>(), value, tol * value);
  expect_near(reference.grad(x, y), grad, tol);
}

// Fused operators weigh a measurement while they compute it.
TEST_P(StackFidelity, ASigmaForEachSampleIsAWeightOfIts) {
  const at::ScalarType real = c10::toRealValueType(dtype);
  const auto least_squares = [&](std::int64_t i, at::Device /*device*/) -> DataFidelityPtr {
    const std::int64_t rows = matrix_of(i, dtype).size(0);
    return i == 1 ? std::make_shared<L2>(0.5)
                  : std::make_shared<L2>(random_tensor({rows}, real, 70 + static_cast<std::uint64_t>(i)).abs() + 0.3);
  };
  at::Tensor expected = at::zeros_like(x);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto k = static_cast<std::size_t>(i);
    expected += factor * single[k].A_adjoint(least_squares(i, at::kCPU)->grad(single[k].A(x), y[k]));
  }
  const DistributedDataFidelity weighted(stack, least_squares);
  const StackedDataFidelity weighted_twin(single, least_squares);
  for (int round = 0; round < 2; ++round) {
    expect_near(weighted.grad(x, y), expected, tol);
    expect_near(weighted_twin.grad(x, y), expected, tol);
    expect_near(weighted.fn_and_grad(x, y).grad, expected, tol);
  }
  if (n > 0) {
    TensorList unlike = y;
    unlike[0] = at::cat({y[0], y[0]}, 1);
    try {
      (void)weighted_twin.grad(x, unlike);
      ADD_FAILURE() << "no error for measurements of another shape";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("shape of y"), std::string::npos) << error.what();
    }
  }
}

TEST_P(StackFidelity, DistributedEqualsTwin) {
  const ValueAndGradient expected = reference.fn_and_grad(x, y);
  const auto expect_equal = [&](const auto& measurements) {
    for (int round = 0; round < 3; ++round) {  // planning, then the steady state
      EXPECT_NEAR(f.fn(x, measurements).template item<double>(), expected.value, tol * expected.value);
      expect_near(f.grad(x, measurements), expected.grad, tol);
      const ValueAndGradient both = f.fn_and_grad(x, measurements);
      EXPECT_NEAR(both.value, expected.value, tol * expected.value);
      expect_near(both.grad, expected.grad, tol);
    }
  };
  expect_equal(y);
  expect_equal(stack.shard(y));
  expect_equal(part_of(y, stack.local_indices()));
  EXPECT_EQ(f.fn(x, y).scalar_type(), at::kDouble);
}

TEST_P(StackFidelity, ValueKeepsItsDoublePrecisionInTheReductionOfTheImage) {
  // Of the same float measurements: the terms differ in nothing, so the sums may differ in their order only.
  const double alone = f.fn(x, y).item<double>();
  EXPECT_NEAR(f.fn_and_grad(x, y).value, alone, 1e-7 * alone);
  const DistributedDataFidelity smooth(stack, std::make_shared<L1>());
  EXPECT_NEAR(smooth.fn_and_grad(x, y).value, smooth.fn(x, y).item<double>(), 1e-14 * alone);
}

TEST_P(StackFidelity, GradEqualsAutomaticDifferentiationOfFn) {
  at::Tensor variable = x.clone().requires_grad_();
  const at::Tensor value = f.fn(variable, y);
  ASSERT_TRUE(value.requires_grad());
  expect_near(torch::autograd::grad({2.0 * value}, {variable})[0], 2.0 * f.grad(x, y), tol);
  const at::Tensor twins = reference.fn(variable, y);
  expect_near(torch::autograd::grad({twins}, {variable})[0], reference.grad(x, y), tol);
}

TEST_P(StackFidelity, SubsetsAddUpToTheWhole) {
  at::Tensor sum = at::zeros_like(x);
  for (std::int64_t s = 0; s < 3; ++s) {
    const at::Tensor part = f.grad(x, y, {.index = s, .count = 3});
    if (s < n) {
      expect_near(part, reference.grad(x, y, {.index = s, .count = 3}), tol);
    }
    sum += part;
  }
  expect_near(sum, f.grad(x, y), tol);
}

TEST_P(StackFidelity, DualStepIsThatOfEachOperatorFollowedByTheAdjoint) {
  const double sigma = 0.7;
  TensorList duals;
  TensorList expected_duals;
  for (int round = 0; round < 2; ++round) {
    const at::Tensor image = f.dual_step(duals, x, y, sigma);
    const at::Tensor expected = reference.dual_step(expected_duals, x, y, sigma);
    expect_near(image, expected, tol);
    expect_near(duals, part_of(expected_duals, stack.local_indices()), 10 * tol);
    expect_near(expected, single.A_adjoint(expected_duals), tol);
  }
  // With F(u) = Σ d_i weighted as the measurements are, the weights cancel.
  TensorList first;
  (void)reference.dual_step(first, x, y, sigma);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto k = static_cast<std::size_t>(i);
    expect_near(first[k], fidelity_of(i)->prox_conjugate(sigma * single[k].A(x), y[k], sigma), 10 * tol);
  }
}

TEST_P(StackFidelity, ProxSolvesItsOptimalityCondition) {
  const DistributedDataFidelity l2(stack, std::make_shared<L2>(0.5));
  const StackedDataFidelity l2_twin(single, std::make_shared<L2>(0.5));
  const DaggerOptions options{.max_iter = 200, .tol = 0.1 * tol};
  const double gamma = 0.3;
  const at::Tensor p = l2.prox(x, y, gamma, options);
  expect_near(p + gamma * l2.grad(p, y), x, 100 * tol);
  expect_near(l2_twin.prox(x, y, gamma, options), p, 100 * tol);
}

TEST_P(StackFidelity, AnotherReductionThanTheStacksRescales) {
  const Reduction other = reduction == Reduction::sum ? Reduction::mean : Reduction::sum;
  const double ratio = other == Reduction::mean ? 1.0 / static_cast<double>(n) : static_cast<double>(n);
  const DistributedDataFidelity g(stack, std::make_shared<L2>(), {.reduction = other});
  const DistributedDataFidelity base(stack, std::make_shared<L2>());
  expect_near(g.grad(x, y), ratio * base.grad(x, y), tol);
  EXPECT_NEAR(g.fn_and_grad(x, y).value, ratio * base.fn(x, y).item<double>(), tol * ratio * 1e3);
  EXPECT_NEAR(g.lipschitz(x), ratio * base.lipschitz(x), tol * ratio * base.lipschitz(x));
  const DaggerOptions options{.max_iter = 200, .tol = 0.1 * tol};
  expect_near(g.prox(x, y, 0.2, options), base.prox(x, y, 0.2 * ratio, options), 10 * tol);
}

TEST_P(StackFidelity, LipschitzConstantBoundsTheSlope) {
  const DistributedDataFidelity huber(stack, std::make_shared<Huber>(0.3));
  const StackedDataFidelity huber_twin(single, std::make_shared<Huber>(0.3));
  const double bound = huber.lipschitz(x);
  EXPECT_NEAR(bound, huber_twin.lipschitz(x), 100 * tol * bound);
  const at::Tensor other = random_image(dtype, 7, 2);
  EXPECT_LE(adjoin::norm(huber.grad(x, y) - huber.grad(other, y)), bound * adjoin::norm(x - other) * (1 + tol));
  EXPECT_EQ(std::isinf(f.lipschitz(x)), n > 2);  // the third term is L1
}

std::string name_of(const testing::TestParamInfo<Case>& test) {
  const auto& [dtype, n, reduction] = test.param;
  return std::string(c10::toString(dtype)) + "_" + std::to_string(n) + "_" + std::string(to_string(reduction));
}

INSTANTIATE_TEST_SUITE_P(All, StackFidelity,
                         testing::Combine(testing::Values(at::kFloat, at::kDouble, at::kComplexFloat,
                                                          at::kComplexDouble),
                                          testing::Values(2, 7), testing::Values(Reduction::sum, Reduction::mean)),
                         name_of);

// ---- Messages ----------------------------------------------------------------------------------------------------

class FidelityMessages : public testing::Test {
 protected:
  static constexpr std::int64_t n = 7;

  template <class Call>
  MessageCounters count(Call&& call) {
    call();
    call();
    context.communicator().reset_counters();
    call();
    return context.communicator().counters();
  }
  void expect_one_reduction(const MessageCounters& counted, std::int64_t bytes) const {
    EXPECT_EQ(counted.collectives, context.size() == 1 ? 0 : 1);
    EXPECT_EQ(counted.reductions, counted.collectives);
    EXPECT_LE(counted.bytes, bytes);
  }

  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(at::kFloat)};
  DistributedDataFidelity f{stack, std::make_shared<L2>(0.5)};
  at::Tensor x = random_image(at::kFloat, 1);
  TensorList y = stack.A(x);
  std::int64_t image_bytes = static_cast<std::int64_t>(x.nbytes());
};

TEST_F(FidelityMessages, EveryCallIsOneReduction) {
  expect_one_reduction(count([&] { (void)f.fn(x, y); }), 64);
  expect_one_reduction(count([&] { (void)f.grad(x, y); }), image_bytes + 64);
  expect_one_reduction(count([&] { (void)f.fn_and_grad(x, y); }), image_bytes + 64 + 12 * context.size());
  expect_one_reduction(count([&] { (void)f.grad(x, y, {.index = 1, .count = 2}); }), image_bytes + 64);
  TensorList u;
  expect_one_reduction(count([&] { (void)f.dual_step(u, x, y, 0.5); }), image_bytes + 64);
}

TEST_F(FidelityMessages, TheBackwardPassSendsNothing) {
  at::Tensor variable = x.clone().requires_grad_();
  const at::Tensor value = f.fn(variable, y);
  context.communicator().reset_counters();
  (void)torch::autograd::grad({value}, {variable});
  EXPECT_EQ(context.communicator().counters().collectives, 0);
}

TEST_F(FidelityMessages, ShapesMayChange) {
  for (const std::int64_t batch : {1, 3, 2}) {
    const at::Tensor image = random_image(at::kFloat, 5, batch);
    const TensorList clean = stack.A(image);
    expect_near(f.fn_and_grad(image, clean).grad, at::zeros_like(image), 1e-5);
    EXPECT_EQ(f.fn_and_grad(image, clean).value, 0.0);
  }
}

// ---- Failures ----------------------------------------------------------------------------------------------------

// Fails while `*broken` is set.
class Fragile : public L2 {
 public:
  explicit Fragile(std::shared_ptr<bool> broken) : broken_(std::move(broken)) {}

 protected:
  ValueAndGradient fn_and_grad_impl(const at::Tensor& u, const at::Tensor& y) const override {
    if (*broken_) {
      throw std::runtime_error("the detector is wet");
    }
    return L2::fn_and_grad_impl(u, y);
  }

 private:
  std::shared_ptr<bool> broken_;
};

using FidelityFailures = FidelityMessages;

TEST_F(FidelityFailures, AFidelityThatThrowsNamesItsOperatorOnEveryRank) {
  const auto broken = std::make_shared<bool>(false);
  const DistributedDataFidelity fragile(stack, [&](std::int64_t i, at::Device) -> DataFidelityPtr {
    return i == 3 ? DataFidelityPtr(std::make_shared<Fragile>(broken)) : std::make_shared<L2>();
  });
  for (int round = 0; round < 2; ++round) {
    *broken = true;
    const RankFailure failure = expect_failure_everywhere(context, [&] { (void)fragile.fn_and_grad(x, y); });
    EXPECT_EQ(failure.operator_index, 3);
    EXPECT_EQ(failure.rank, 3 % context.size());
    EXPECT_EQ(failure.reason, "the detector is wet");
    *broken = false;
    EXPECT_NEAR(fragile.fn_and_grad(x, y).value, 0.0, 1e-10);
  }
}

TEST_F(FidelityFailures, CountsUnlikeTheOperatorsAreTheSameErrorOnEveryRank) {
  const std::vector<DataFidelityPtr> six(6, std::make_shared<L2>());
  const RankFailure failure =
      expect_failure_everywhere(context, [&] { const DistributedDataFidelity bad(stack, six); });
  EXPECT_EQ(failure.reason, "fidelities: must hold one for each of 7 operators, got 6");
  const StackedLinearPhysics single = twin(n, at::kFloat);
  EXPECT_THROW(StackedDataFidelity(single, six), InvalidArgument);
  const std::vector<DataFidelityPtr> seven(7, std::make_shared<L2>(0.5));
  expect_near(DistributedDataFidelity(stack, seven).grad(2 * x, y), f.grad(2 * x, y), 1e-6);
}

TEST_F(FidelityFailures, NullAndEmptyFidelitiesAreErrors) {
  expect_failure_everywhere(context, [&] { const DistributedDataFidelity bad(stack, DataFidelityPtr()); });
  expect_failure_everywhere(context, [&] { const DistributedDataFidelity bad(stack, DataFidelityFactory()); });
  const RankFailure failure = expect_failure_everywhere(context, [&] {
    const DistributedDataFidelity bad(
        stack, [](std::int64_t i, at::Device) { return i == 2 ? DataFidelityPtr() : std::make_shared<L2>(); });
  });
  EXPECT_EQ(failure.operator_index, 2);
}

TEST_F(FidelityFailures, BadArgumentsAreTheSameErrorOnEveryRank) {
  TensorList too_few = y;
  too_few = TensorList(std::vector<at::Tensor>(y.begin(), y.begin() + 6));
  TensorList unlike = y;
  unlike[5] = at::zeros({1, 1}, at::kFloat);
  TensorList u;
  const DistributedDataFidelity ball(stack, std::make_shared<IndicatorLInf>(0.1));
  for (int round = 0; round < 2; ++round) {
    expect_failure_everywhere(context, [&] { (void)f.fn(at::Tensor(), y); });
    expect_failure_everywhere(context, [&] { (void)f.grad(x, too_few); });
    EXPECT_EQ(expect_failure_everywhere(context, [&] { (void)f.fn_and_grad(x, unlike); }).operator_index, 5);
    expect_failure_everywhere(context, [&] { (void)f.grad(x, y, {.index = 2, .count = 2}); });
    expect_failure_everywhere(context, [&] { (void)f.dual_step(u, x, y, 0.0); });
    expect_failure_everywhere(context, [&] { (void)f.prox(x, y, -1.0); });
    expect_failure_everywhere(context, [&] { (void)ball.prox(x, y, 1.0); });
    expect_failure_everywhere(context, [&] { (void)ball.grad(x, y); });
    (void)f.fn_and_grad(x, y);
  }
}

TEST_F(FidelityFailures, ALocalFailureIsThrownEverywhere) {
  // The last rank alone passes what cannot be right.
  const bool odd = context.rank() + 1 == context.size();
  const RankFailure failure =
      expect_failure_everywhere(context, [&] { (void)f.fn_and_grad(x, odd ? TensorList{x, x} : y); });
  EXPECT_EQ(failure.rank, context.size() - 1);
}

}  // namespace
}  // namespace adjoin::test::stacked_data_fidelity_test
