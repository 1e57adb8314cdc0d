// SPDX-License-Identifier: BSD-3-Clause
// A failure on one rank is the same error on every rank, at that call, and the next call works.
#include <limits>

#include "adjoin/operators/function.hpp"
#include "distributed/support.hpp"

namespace adjoin::test::failure_test {
namespace {

constexpr std::int64_t n = 5;

class Failures : public testing::TestWithParam<GatherStrategy> {
 protected:
  // Operator `bad` throws while `*broken` is set.
  DistributedStackedLinearPhysics make(std::int64_t bad, const std::shared_ptr<bool>& broken) {
    return DistributedStackedLinearPhysics(context, n,
                                           [=](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
                                             const auto step = [=](const at::Tensor& t) {
                                               if (*broken && index == bad) {
                                                 throw std::runtime_error("the coil came loose");
                                               }
                                               return t * static_cast<double>(index + 1);
                                             };
                                             return make_function(step, step);
                                           },
                                           {.gather_strategy = GetParam()});
  }

  void expect_names_operator(const RankFailure& failure, std::int64_t index) const {
    EXPECT_EQ(failure.operator_index, index);
    EXPECT_EQ(failure.rank, static_cast<int>(index % context.size()));
    EXPECT_EQ(failure.reason, "the coil came loose");
  }

  DistributedContext context;
  at::Tensor x = random_image(at::kFloat, 1);
};

TEST_P(Failures, AnOperatorThatThrowsNamesRankAndOperatorInEveryMethod) {
  const auto broken = std::make_shared<bool>(true);
  const DistributedStackedLinearPhysics stack = make(3, broken);
  TensorList y;
  for (std::int64_t i = 0; i < n; ++i) {
    y.push_back(x);
  }
  DistributedDaggerOptions exact;
  exact.local_only = false;
  DistributedSqnormOptions exact_norm;
  exact_norm.local_only = false;

  for (int round = 0; round < 2; ++round) {  // the first round plans, the second is the steady state
    *broken = true;
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A(x); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.forward(x); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_adjoint(y); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_vjp(x, y); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_adjoint_A(x); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_A_adjoint(y); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_adjoint_each(y); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y); }), 3);
    for (const Solver solver : {Solver::CG, Solver::LSQR, Solver::LSMR, Solver::BiCGStab, Solver::MINRES}) {
      exact.solver = solver;
      expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y, exact); }), 3);
    }
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.prox_l2(x, y, 1.0); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.compute_sqnorm(x); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.compute_sqnorm(x, exact_norm); }), 3);
    expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.adjointness_test(x); }), 3);

    *broken = false;
    expect_near(stack.A(x)[3], 4.0 * x, 1e-6);
    expect_near(stack.A_adjoint(y), 15.0 * x, 1e-6);
    expect_near(stack.A_adjoint_A(x), 55.0 * x, 1e-6);
    exact.solver = Solver::LSQR;
    expect_near(stack.A_dagger(y, exact), x * (15.0 / 55.0), 1e-5);
  }
}

TEST_P(Failures, AFailureInTheMiddleOfASolveReachesEveryRank) {
  const auto calls = std::make_shared<int>(0);
  const auto weights = [](std::int64_t index) {
    return random_image(at::kFloat, 30 + static_cast<std::uint64_t>(index));
  };
  const DistributedStackedLinearPhysics stack(context, n,
                                              [=](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
                                                const auto A = [=](const at::Tensor& t) {
                                                  if (index == 1 && ++*calls == 3) {
                                                    throw std::runtime_error("the coil came loose");
                                                  }
                                                  return t * weights(index);
                                                };
                                                return make_function(
                                                    A, [=](const at::Tensor& t) { return t * weights(index); });
                                              },
                                              {.gather_strategy = GetParam()});
  TensorList y;
  for (std::int64_t i = 0; i < n; ++i) {
    y.push_back(random_image(at::kFloat, 10 + static_cast<std::uint64_t>(i)));
  }
  DistributedDaggerOptions options;
  options.local_only = false;
  options.solver = Solver::LSQR;
  expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y, options); }), 1);
  (void)stack.A_dagger(y, options);
}

// Large tensors take other ways than small ones: a rank that fails must not leave the others waiting there either.
// Such as memory that one rank lacks for a vector of a solver's, while the others wait for the next sum.
TEST_P(Failures, BetweenTwoMessagesOfACallReachEveryRank) {
  Exchange exchange(context, "a solver");
  ReducePlan plan;
  const auto solve = [&](int failing) {
    return exchange.call("solve", {}, [&] {
      at::Tensor sum;
      for (int iteration = 0; iteration < 5; ++iteration) {
        sum = exchange.reduce(plan, [&](const at::Tensor&) { return x; });
        if (iteration == failing && context.rank() == context.size() - 1) {
          throw std::runtime_error("no memory is left");
        }
      }
      return sum;
    });
  };
  for (const int failing : {0, 1, 3, 0}) {
    EXPECT_EQ(expect_failure_everywhere(context, [&] { (void)solve(failing); }).reason, "no memory is left");
    expect_near(solve(-1), x * static_cast<double>(context.size()), 1e-6);
  }
}

TEST_P(Failures, LargeImagesOfChangingShapesFailAndComeBack) {
  const auto broken = std::make_shared<bool>(false);
  const DistributedStackedLinearPhysics stack = make(3, broken);
  const std::vector<std::vector<std::int64_t>> shapes = {{1, 2, 300, 300}, {2, 1, 256, 300}, {1, 2, 300, 300}, {1, 8}};
  for (int round = 0; round < 8; ++round) {
    const auto dtype = round < 4 ? at::kDouble : at::kComplexFloat;
    const at::Tensor image = random_tensor(shapes[static_cast<std::size_t>(round % 4)], dtype, 5 + round);
    for (int call = 0; call < 2; ++call) {
      const TensorList y = stack.A(image);
      for (std::int64_t k = 0; k < n; ++k) {
        EXPECT_TRUE(at::equal(y[static_cast<std::size_t>(k)], image * static_cast<double>(k + 1)));
      }
      expect_near(stack.A_adjoint(y), 55.0 * image, 1e-6);
      expect_near(stack.A_adjoint_A(image), 55.0 * image, 1e-6);
      *broken = true;
      expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A(image); }), 3);
      expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_adjoint(y); }), 3);
      expect_names_operator(expect_failure_everywhere(context, [&] { (void)stack.A_adjoint_A(image); }), 3);
      *broken = false;
    }
  }
}

TEST_P(Failures, AWrongNumberOfMeasurementsOnOneRankIsNamed) {
  const DistributedStackedLinearPhysics stack = make(0, std::make_shared<bool>(false));
  const TensorList y = stack.A(x);
  for (const std::size_t wrong : {std::size_t{6}, std::size_t{4}}) {
    // One of the lengths is never this rank's own count: at 1 to 4 ranks of 5 operators that is 5, 3, 2 or 1.
    const bool mine = context.rank() == context.size() - 1;
    TensorList list;
    for (std::size_t i = 0; i < (mine ? wrong : y.size()); ++i) {
      list.push_back(x);
    }
    const RankFailure failure = expect_failure_everywhere(context, [&] { (void)stack.A_adjoint(list); });
    EXPECT_EQ(failure.rank, context.size() - 1);
    EXPECT_NE(failure.reason.find("A_adjoint: y: must hold 5 tensors"), std::string::npos) << failure.reason;
    EXPECT_NE(failure.reason.find("got " + std::to_string(wrong)), std::string::npos) << failure.reason;
    expect_near(stack.A_adjoint(y), 55.0 * x, 1e-6);
  }
}

TEST_P(Failures, AMeasurementOfTheWrongShapeOnOneRankIsNamed) {
  const DistributedStackedLinearPhysics stack(context, n, matrices(at::kFloat), {.gather_strategy = GetParam()});
  TensorList y = stack.A(x);
  const at::Tensor expected = stack.A_adjoint(y);
  TensorList bad = y;
  if (context.rank() == 2 % context.size()) {
    bad[2] = at::zeros({1, 50});
  }
  const RankFailure failure = expect_failure_everywhere(context, [&] { (void)stack.A_adjoint(bad); });
  EXPECT_EQ(failure.rank, 2 % context.size());
  DistributedDaggerOptions options;
  options.local_only = false;
  for (const Solver solver : {Solver::CG, Solver::LSQR}) {
    options.solver = solver;
    expect_failure_everywhere(context, [&] { (void)stack.A_dagger(bad, options); });
  }
  expect_near(stack.A_adjoint(y), expected, 1e-6);
}

TEST_P(Failures, AnImageOfTheWrongShapeOnOneRankIsNamed) {
  const DistributedStackedLinearPhysics stack(context, n, matrices(at::kFloat), {.gather_strategy = GetParam()});
  const at::Tensor bad = context.rank() == 0 ? at::zeros({1, 9}) : x;
  expect_failure_everywhere(context, [&] { (void)stack.A(bad); });
  expect_failure_everywhere(context, [&] { (void)stack.A_adjoint_A(bad); });
  expect_near(stack.A(x), twin(n, at::kFloat).A(x), 1e-5);
}

TEST_P(Failures, UndefinedTensorsWrongPrecisionAndWrongDeviceAreNamed) {
  const DistributedStackedLinearPhysics stack(context, n, matrices(at::kFloat),
                                              {.dtype = at::kFloat, .gather_strategy = GetParam()});
  const bool mine = context.rank() == context.size() - 1;
  const auto reason = [&](const at::Tensor& bad) {
    return expect_failure_everywhere(context, [&] { (void)stack.A(mine ? bad : x); }).reason;
  };
  EXPECT_NE(reason({}).find("x: must be a tensor"), std::string::npos);
  EXPECT_NE(reason(x.to(at::kDouble)).find("x: must have the precision of Float, got Double"), std::string::npos);
  EXPECT_NE(reason(x.to(at::kMeta)).find("x: must be on cpu, got meta"), std::string::npos);
  (void)stack.A(x);
}

INSTANTIATE_TEST_SUITE_P(Strategies, Failures,
                         testing::Values(GatherStrategy::naive, GatherStrategy::concatenated,
                                         GatherStrategy::broadcast),
                         strategy_name);

class Construction : public testing::Test {
 protected:
  RankFailure failure_of(std::int64_t count, const PhysicsFactory& factory, const DistributedOptions& options = {}) {
    return expect_failure_everywhere(
        context, [&] { const DistributedStackedLinearPhysics stack(context, count, factory, options); });
  }
  DistributedContext context;
};

TEST_F(Construction, FailsEverywhereWithoutOperators) {
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{-3}}) {
    EXPECT_NE(failure_of(count, matrices(at::kFloat)).reason.find("num_operators: must be at least 1"),
              std::string::npos);
  }
}

TEST_F(Construction, FailsEverywhereWhenTheFactoryFailsOnOneRank) {
  const RankFailure thrown = failure_of(n, [](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
    if (index == 4) {
      throw std::runtime_error("no such coil");
    }
    return std::make_shared<Matrix>(matrix_of(index, at::kFloat), image_shape);
  });
  EXPECT_EQ(thrown.operator_index, 4);
  EXPECT_EQ(thrown.reason, "no such coil");

  const RankFailure null = failure_of(n, [](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
    return index == 1 ? nullptr : std::make_shared<Matrix>(matrix_of(index, at::kFloat), image_shape);
  });
  EXPECT_EQ(null.operator_index, 1);
  EXPECT_NE(null.reason.find("factory: must return an operator, got a null pointer"), std::string::npos);

  EXPECT_NE(failure_of(n, PhysicsFactory{}).reason.find("factory: must be callable"), std::string::npos);
}

TEST_F(Construction, FailsEverywhereWhenTheFactoryMakesANonlinearOperator) {
  class Square : public Physics {
    std::string name() const override { return "Square"; }
    at::Tensor A_impl(const at::Tensor& x, const Params&) const override { return x * x; }
  };
  const RankFailure failure = failure_of(n, [](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {
    if (index == 2) {
      return std::make_shared<Square>();
    }
    return std::make_shared<Matrix>(matrix_of(index, at::kFloat), image_shape);
  });
  EXPECT_EQ(failure.operator_index, 2);
  EXPECT_NE(failure.reason.find("factory: must return a linear operator, got a Square"), std::string::npos);
}

TEST_F(Construction, FailsEverywhereForBadCostsAndDtypes) {
  EXPECT_NE(failure_of(n, matrices(at::kFloat), {.costs = {1.0, 2.0}}).reason.find("costs: must hold one cost"),
            std::string::npos);
  EXPECT_NE(failure_of(n, matrices(at::kFloat), {.dtype = at::kInt}).reason.find("dtype: must be floating-point"),
            std::string::npos);
}

TEST_F(Construction, FailsEverywhereWhenOptionsDifferBetweenRanks) {
  const bool last = context.rank() == context.size() - 1;
  if (context.size() == 1) {  // one rank cannot differ from itself
    EXPECT_NO_THROW(DistributedStackedLinearPhysics(context, n, matrices(at::kFloat), {.reduction = Reduction::mean}));
    return;
  }
  const RankFailure failure =
      failure_of(n, matrices(at::kFloat), {.reduction = last ? Reduction::mean : Reduction::sum});
  EXPECT_EQ(failure.rank, context.size() - 1);
  EXPECT_NE(failure.reason.find("options must be equal on every rank"), std::string::npos);
  failure_of(last ? n : n + 1, matrices(at::kFloat));
}

TEST_F(Construction, UnknownNamesOfStrategiesSolversAndReductionsAreRefused) {
  EXPECT_THROW(gather_strategy_from_string("scatter"), InvalidArgument);
  EXPECT_THROW(solver_from_string("gauss"), InvalidArgument);
  EXPECT_THROW(reduction_from_string("median"), InvalidArgument);
}

TEST(SolveOptions, ThatDifferBetweenRanksOrAreInvalidFailEverywhere) {
  DistributedContext context;
  const DistributedStackedLinearPhysics stack(context, n, matrices(at::kFloat));
  const at::Tensor x = random_image(at::kFloat, 1);
  const TensorList y = stack.A(x);
  const bool last = context.rank() == context.size() - 1;
  DistributedDaggerOptions options;
  for (const bool local_only : {true, false}) {
    options.local_only = local_only;
    options.tol = std::numeric_limits<double>::quiet_NaN();
    expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y, options); });
    options.tol = 1e-6;
    options.max_iter = -1;
    expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y, options); });
    options.max_iter = 10;
  }
  expect_failure_everywhere(context, [&] { (void)stack.prox_l2(x, y, -1.0); });
  DistributedSqnormOptions norm;
  norm.max_iter = 0;
  expect_failure_everywhere(context, [&] { (void)stack.compute_sqnorm(x, norm); });
  norm.local_only = false;
  expect_failure_everywhere(context, [&] { (void)stack.compute_sqnorm(x, norm); });
  if (context.size() > 1) {
    options.solver = last ? Solver::LSQR : Solver::CG;
    expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y, options); });
    options.solver = Solver::CG;
    options.max_iter = last ? 5 : 10;
    expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y, options); });
    options.max_iter = 10;
    options.local_only = last;
    expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y, options); });
  }
  options.local_only = false;
  (void)stack.A_dagger(y, options);
}

// Ranks own unlike numbers of operators, so their own solves are not as many.
TEST(SolveOptions, AMonitorOfLocalSolvesEndsTheSolveThatItWatches) {
  DistributedContext context;
  const DistributedStackedLinearPhysics stack(
      context, n, [](std::int64_t index, at::Device, const Params&) -> PhysicsPtr {  // none has a closed form
        const at::Tensor weights = random_image(at::kDouble, 30 + static_cast<std::uint64_t>(index));
        const auto weigh = [weights](const at::Tensor& t) { return t * weights; };
        return make_function(weigh, weigh);
      });
  const TensorList y = stack.A(random_image(at::kDouble, 1));
  const auto with_monitor = [&](const Monitor& monitor) {
    return stack.A_dagger(y, {.max_iter = 7, .tol = 0.0, .monitor = monitor, .local_only = true});
  };
  std::size_t solves = 0;
  int largest = 0;
  const at::Tensor whole = with_monitor([&](const IterationInfo& info) {
    solves += info.iteration == 1 ? 1 : 0;
    largest = std::max(largest, info.iteration);
    return true;
  });
  EXPECT_EQ(solves, stack.local_indices().size());
  EXPECT_GE(largest, stack.local_indices().empty() ? 0 : 3);
  expect_near(whole, stack.A_dagger(y, {.max_iter = 7, .tol = 0.0}), 1e-12);
  largest = 0;
  (void)with_monitor([&](const IterationInfo& info) {
    largest = std::max(largest, info.iteration);
    return info.iteration < 2;
  });
  EXPECT_EQ(largest, stack.local_indices().empty() ? 0 : 2);
  EXPECT_EQ(expect_failure_everywhere(context,
                                      [&] {
                                        (void)with_monitor([&](const IterationInfo& info) -> bool {
                                          if (context.rank() == 0 && info.iteration == 2) {
                                            throw std::runtime_error("the monitor tripped");
                                          }
                                          return true;
                                        });
                                      })
                .reason,
            "the monitor tripped");
}

TEST(SolveOptions, AMonitorThatStopsOrThrowsOnOneRankStopsAll) {
  DistributedContext context;
  const DistributedStackedLinearPhysics stack(context, n, matrices(at::kDouble));
  const TensorList y = stack.A(random_image(at::kDouble, 1));
  DistributedDaggerOptions options;
  options.local_only = false;
  options.tol = 0.0;
  int seen = 0;
  const bool last = context.rank() == context.size() - 1;
  options.monitor = [&](const IterationInfo& info) {
    seen = info.iteration;
    return !last || info.iteration != 3;
  };
  (void)stack.A_dagger(y, options);
  EXPECT_EQ(seen, 3);
  options.monitor = [&](const IterationInfo& info) -> bool {
    if (last && info.iteration == 2) {
      throw std::runtime_error("the monitor tripped");
    }
    return true;
  };
  EXPECT_EQ(expect_failure_everywhere(context, [&] { (void)stack.A_dagger(y, options); }).reason,
            "the monitor tripped");
}

}  // namespace
}  // namespace adjoin::test::failure_test
