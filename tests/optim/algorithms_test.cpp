// SPDX-License-Identifier: BSD-3-Clause
// Every algorithm reaches the minimiser of small problems whose solution is known, over ranks as in one process, with
// the messages that it must send.
#include "adjoin/optim/algorithms.hpp"

#include <map>

#include "adjoin/optim/total_variation.hpp"
#include "optim/support.hpp"

namespace adjoin::test::algorithms_test {
namespace {

constexpr std::int64_t n = 7;  // 39 rows for 24 unknowns

class Algorithms : public testing::Test {
 protected:
  static at::Tensor flat(const at::Tensor& image) { return image.reshape({-1}); }

  DataTerm l2(const DataTermOptions& options = {.prox = {.max_iter = 300, .tol = 1e-13}}) const {
    return data_term(f, y, options);
  }

  // argmin ‖A x − y‖²/(2σ²) + λ/2 ‖x‖², by a dense solve.
  at::Tensor tikhonov_solution(double lambda) const {
    const at::Tensor H = at::matmul(A.t(), A) * (1.0 / (sigma * sigma)) + lambda * at::eye(image_size, at::kDouble);
    return at::linalg_solve(H, flat(single.A_adjoint(y)) / (sigma * sigma)).view(x0.sizes());
  }

  double sigma = 0.8;
  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(at::kDouble)};
  StackedLinearPhysics single = twin(n, at::kDouble);
  DistributedDataFidelity f{stack, std::make_shared<L2>(sigma)};
  StackedDataFidelity f_twin{single, std::make_shared<L2>(sigma)};
  at::Tensor A = dense_stack(n, at::kDouble);
  at::Tensor truth = random_image(at::kDouble, 2);
  TensorList y = [&] {
    TensorList noisy = single.A(truth);
    for (std::size_t i = 0; i < noisy.size(); ++i) {
      noisy[i] += 0.1 * random_tensor(noisy[i].sizes(), at::kDouble, 60 + i);
    }
    return noisy;
  }();
  at::Tensor x0 = at::zeros_like(truth);
};

TEST_F(Algorithms, ReachTheClosedFormOfTikhonov) {
  const Tikhonov g;
  const double lambda = 0.3;
  const OptimOptions options{.max_iter = 5000, .tol = 1e-13, .lambda = lambda};
  const at::Tensor expected = tikhonov_solution(lambda);
  for (const DataTerm& term : {l2(), data_term(f_twin, y, {.prox = {.max_iter = 300, .tol = 1e-13}})}) {
    expect_near(gradient_descent(term, g, x0, options).x, expected, 1e-9, "gradient descent");
    expect_near(proximal_gradient(term, g, x0, options).x, expected, 1e-9, "proximal gradient");
    expect_near(fista(term, g, x0, options).x, expected, 1e-9, "FISTA");
    expect_near(monotone_fista(term, g, x0, options).x, expected, 1e-7, "monotone FISTA");
    expect_near(admm(term, g, x0, 1.0, options).x, expected, 1e-9, "ADMM");
    expect_near(primal_dual(term, g, x0, options).x, expected, 1e-9, "primal-dual");
  }
}

// Half-quadratic splitting minimises f(u) + λ g(x) + ‖u − x‖²/(2γ) over both.
TEST_F(Algorithms, HqsReachesTheMinimiserOfTheSplitProblem) {
  const double lambda = 0.3;
  const double gamma = 0.5;
  const OptimResult result = hqs(l2(), Tikhonov(), x0, {gamma}, {.max_iter = 2000, .tol = 1e-13, .lambda = lambda});
  const at::Tensor H = at::matmul(A.t(), A) / (sigma * sigma);
  const at::Tensor identity = at::eye(image_size, at::kDouble);
  const at::Tensor u = at::linalg_solve(gamma * H + identity * (1.0 - 1.0 / (1.0 + gamma * lambda)),
                                        gamma * flat(single.A_adjoint(y)) / (sigma * sigma));
  expect_near(flat(result.x), u / (1.0 + gamma * lambda), 1e-9);
}

TEST_F(Algorithms, HqsFollowsTheScheduleOfGammas) {
  std::vector<double> strengths;
  const PnP g([&](const at::Tensor& x, double strength) {
    strengths.push_back(strength);
    return x;
  });
  (void)hqs(l2(), g, x0, {4.0, 1.0, 0.25}, {.max_iter = 4, .tol = 0.0});
  EXPECT_EQ(strengths, (std::vector<double>{2.0, 1.0, 0.5, 0.5}));
}

// Where x_j = 0 the gradient of f is at most λ in modulus; elsewhere it is −λ sgn x_j.
TEST_F(Algorithms, ReachTheOptimalityConditionsOfTheLasso) {
  const L1Prior g;
  const double lambda = 0.6;
  const OptimOptions options{.max_iter = 20000, .tol = 1e-12, .lambda = lambda};
  const DataTerm term = l2();
  const std::map<std::string, OptimResult> results = {{"proximal gradient", proximal_gradient(term, g, x0, options)},
                                                      {"FISTA", fista(term, g, x0, options)},
                                                      {"monotone FISTA", monotone_fista(term, g, x0, options)},
                                                      {"ADMM", admm(term, g, x0, 0.5, options)},
                                                      {"primal-dual", primal_dual(term, g, x0, options)}};
  for (const auto& [name, result] : results) {
    const at::Tensor gradient = f_twin.grad(result.x, y);
    const at::Tensor zero = result.x == 0.0;
    EXPECT_GT(zero.sum().item<std::int64_t>(), 2) << name;
    EXPECT_LT(zero.sum().item<std::int64_t>(), image_size) << name;
    const at::Tensor violation =
        at::where(zero, (at::abs(gradient) - lambda).clamp_min(0.0), at::abs(gradient + lambda * at::sgn(result.x)));
    EXPECT_LE(violation.max().item<double>(), 1e-6) << name;
  }
}

TEST_F(Algorithms, OrderedSubsetsApproachTheMinimiserInFewPasses) {
  const at::Tensor expected = tikhonov_solution(0.3);
  const Tikhonov g;
  const OptimOptions options{.max_iter = 400, .tol = 0.0, .lambda = 0.3};
  expect_near(ordered_subsets(l2(), g, x0, {.count = 1, .decay = 0.0}, options).x,
              proximal_gradient(l2(), g, x0, options).x, 1e-12);
  expect_near(ordered_subsets(l2(), g, x0, {.count = 3, .decay = 0.3}, options).x, expected, 5e-2);
  // Early on, a pass over the subsets is worth several gradient steps.
  const OptimOptions few{.max_iter = 5, .tol = 0.0, .lambda = 0.3};
  const double with_subsets = adjoin::norm(ordered_subsets(l2(), g, x0, {.count = 3, .decay = 0.0}, few).x - expected);
  EXPECT_LT(with_subsets, 0.8 * adjoin::norm(proximal_gradient(l2(), g, x0, few).x - expected));
}

// The L1 fidelity forgives a few wild measurements altogether.
TEST_F(Algorithms, PrimalDualMinimisesWhatIsNotSmooth) {
  TensorList clean = single.A(truth);
  clean[1].view(-1)[2] += 5.0;
  clean[4].view(-1)[0] -= 7.0;
  const DistributedDataFidelity robust(stack, std::make_shared<L1>());
  const OptimResult result = primal_dual(data_term(robust, clean), ZeroPrior(), x0, {.max_iter = 20000, .tol = 1e-12});
  expect_near(result.x, truth, 1e-6);
}

TEST_F(Algorithms, PrimalDualStaysWithinANoiseBall) {
  const DistributedDataFidelity ball(stack, std::make_shared<IndicatorLInf>(0.05));
  const OptimResult result =
      primal_dual(data_term(ball, single.A(truth)), Tikhonov(), x0, {.max_iter = 20000, .tol = 1e-12});
  double worst = 0.0;
  const TensorList residual = single.A(result.x) - single.A(truth);
  for (const at::Tensor& r : residual) {
    worst = std::max(worst, at::abs(r).max().item<double>());
  }
  EXPECT_NEAR(worst, 0.05, 1e-4);  // the least norm lies on the border
  EXPECT_LT(adjoin::norm(result.x), adjoin::norm(truth));
}

TEST_F(Algorithms, BacktrackingFindsAStepByItself) {
  const at::Tensor expected = tikhonov_solution(0.3);
  const OptimOptions options{.max_iter = 5000, .tol = 1e-12, .lambda = 0.3, .step = 100.0, .backtracking = true};
  expect_near(gradient_descent(l2(), Tikhonov(), x0, options).x, expected, 1e-6);
  expect_near(proximal_gradient(l2(), Tikhonov(), x0, options).x, expected, 1e-6);
  expect_near(fista(l2(), Tikhonov(), x0, options).x, expected, 1e-6);
  expect_near(monotone_fista(l2(), Tikhonov(), x0, options).x, expected, 1e-6);
}

// Counts of positive images by positive matrices: no Lipschitz constant, and a minimum on the border of the box.
TEST_F(Algorithms, PoissonCountsWithPositivityByBacktracking) {
  std::vector<LinearPhysicsPtr> positive;
  for (std::int64_t i = 0; i < n; ++i) {
    positive.push_back(std::make_shared<Matrix>(matrix_of(i, at::kDouble).abs(), image_shape));
  }
  const StackedLinearPhysics operators(positive);
  const StackedDataFidelity poisson(operators, std::make_shared<PoissonLikelihood>(PoissonOptions{.background = 0.1}));
  TensorList counts = operators.A(truth.clamp_min(0.0));
  for (std::size_t i = 0; i < counts.size(); ++i) {
    counts[i] = (counts[i] + 0.3 * random_tensor(counts[i].sizes(), at::kDouble, 80 + i)).clamp_min(0.0);
  }
  const at::Tensor start = at::ones_like(truth);
  const DataTerm term = data_term(poisson, counts);
  EXPECT_THROW((void)proximal_gradient(term, Positivity(), start), InvalidArgument);
  const OptimResult result =
      proximal_gradient(term, Positivity(), start, {.max_iter = 20000, .tol = 1e-10, .backtracking = true});
  const at::Tensor gradient = poisson.grad(result.x, counts);
  EXPECT_GT((result.x == 0.0).sum().item<std::int64_t>(), 0);
  EXPECT_LE(at::abs(gradient.masked_select(result.x > 1e-6)).max().item<double>(), 1e-4);
  EXPECT_GE(gradient.masked_select(result.x == 0.0).min().item<double>(), -1e-4);
}

TEST_F(Algorithms, MonotoneFistaNeverRisesWhereFistaDoes) {
  const OptimOptions options{.max_iter = 300, .tol = 0.0, .lambda = 0.05, .objective = true};
  const auto rises = [](const OptimResult& result) {
    int count = 0;
    for (std::size_t k = 1; k < result.history.size(); ++k) {
      count += result.history[k].objective > result.history[k - 1].objective ? 1 : 0;
    }
    return count;
  };
  const L1Prior g;
  EXPECT_GT(rises(fista(l2(), g, x0, options)), 0);
  const OptimResult monotone = monotone_fista(l2(), g, x0, options);
  EXPECT_EQ(rises(monotone), 0);
  EXPECT_NEAR(monotone.history.back().objective,
              f_twin.fn(monotone.x, y).item<double>() + 0.05 * g.fn(monotone.x).item<double>(), 1e-10);
}

TEST_F(Algorithms, FistaIsFasterThanProximalGradient) {
  const OptimOptions options{.max_iter = 30, .tol = 0.0, .lambda = 0.05, .objective = true};
  const L1Prior g;
  const double best =
      fista(l2(), g, x0, {.max_iter = 5000, .tol = 0.0, .lambda = 0.05, .objective = true}).history.back().objective;
  EXPECT_LT(fista(l2(), g, x0, options).history.back().objective - best,
            0.5 * (proximal_gradient(l2(), g, x0, options).history.back().objective - best));
}

TEST_F(Algorithms, ObjectiveIsThatOfTheRecordedImage) {
  const Tikhonov g;
  const OptimOptions options{.max_iter = 7, .tol = 0.0, .lambda = 0.3, .objective = true};
  const DataTerm term = l2();
  for (const OptimResult& result :
       {gradient_descent(term, g, x0, options), proximal_gradient(term, g, x0, options), fista(term, g, x0, options),
        monotone_fista(term, g, x0, options), hqs(term, g, x0, {1.0}, options), admm(term, g, x0, 1.0, options),
        primal_dual(term, g, x0, options), ordered_subsets(term, g, x0, {}, options)}) {
    const double expected = f_twin.fn(result.x, y).item<double>() + 0.3 * g.fn(result.x).item<double>();
    EXPECT_NEAR(result.history.back().objective, expected, 1e-11 * expected);
  }
  EXPECT_TRUE(std::isnan(fista(term, g, x0, {.max_iter = 1}).history[0].objective));
}

// A denoiser that is a prox makes plug-and-play the algorithm it comes from, and RED with it has a closed form.
TEST_F(Algorithms, DenoisersAsPriors) {
  const Denoiser shrink = [](const at::Tensor& x, double strength) { return x / (1.0 + strength * strength); };
  const OptimOptions options{.max_iter = 5000, .tol = 1e-13, .lambda = 0.3};
  expect_near(proximal_gradient(l2(), PnP(shrink), x0, options).x, tikhonov_solution(0.3), 1e-9);
  expect_near(admm(l2(), PnP(shrink), x0, 1.0, options).x, tikhonov_solution(0.3), 1e-9);
  // x − D(x) = s²/(1 + s²) x.
  expect_near(gradient_descent(l2(), RED(shrink, 0.5), x0, options).x, tikhonov_solution(0.3 * 0.25 / 1.25), 1e-8);
}

TEST_F(Algorithms, MessagesOfAnIteration) {
  const L1Prior g;
  const auto messages = [&](const auto& run) {
    const auto count = [&](int iterations) {
      run(iterations);
      context.communicator().reset_counters();
      run(iterations);
      return context.communicator().counters().collectives;
    };
    return count(16) - count(6);
  };
  const std::int64_t ten = context.size() == 1 ? 0 : 10;
  const DataTerm term = l2();
  const auto options = [](int iterations) { return OptimOptions{.max_iter = iterations, .tol = 0.0, .step = 0.1}; };
  const auto with_objective = [](int iterations) {
    return OptimOptions{.max_iter = iterations, .tol = 0.0, .step = 0.1, .objective = true};
  };
  const Tikhonov t;
  EXPECT_EQ(messages([&](int k) { (void)gradient_descent(term, t, x0, with_objective(k)); }), ten);
  EXPECT_EQ(messages([&](int k) { (void)proximal_gradient(term, g, x0, with_objective(k)); }), ten);
  EXPECT_EQ(messages([&](int k) { (void)fista(term, g, x0, options(k)); }), ten);
  EXPECT_EQ(messages([&](int k) { (void)fista(term, g, x0, with_objective(k)); }), 2 * ten);
  EXPECT_EQ(messages([&](int k) { (void)monotone_fista(term, g, x0, options(k)); }), 2 * ten);
  EXPECT_EQ(messages([&](int k) { (void)primal_dual(term, g, x0, options(k)); }), ten);
  EXPECT_EQ(messages([&](int k) { (void)ordered_subsets(term, g, x0, {.count = 3}, options(k)); }), 3 * ten);
}

TEST_F(Algorithms, WhatTheyNeedAndLackIsAnError) {
  const DataTerm term = l2();
  const Denoiser same = [](const at::Tensor& x, double) { return x; };
  EXPECT_THROW((void)gradient_descent(term, L1Prior(), x0), InvalidArgument);  // no Lipschitz constant
  EXPECT_THROW((void)gradient_descent(term, Positivity(), x0, {.step = 0.1}), Error);
  EXPECT_THROW((void)proximal_gradient(term, RED(same, 0.1), x0), Error);
  // What can be seen before the first message is an error on all ranks, of its own kind on one.
  const auto expect_invalid = [&](const auto& call) {
    if (context.size() == 1) {
      EXPECT_THROW(call(), InvalidArgument);
    } else {
      (void)expect_failure_everywhere(context, call);
    }
  };
  expect_invalid([&] { (void)gradient_descent(term, RED(same, 0.1), x0, {.backtracking = true}); });
  expect_invalid([&] { (void)monotone_fista(term, PnP(same), x0); });
  expect_invalid([&] { (void)hqs(term, Tikhonov(), x0, {}); });
  expect_invalid([&] { (void)hqs(term, Tikhonov(), x0, {1.0, 0.0}); });
  expect_invalid([&] { (void)admm(term, Tikhonov(), x0, -1.0); });
  expect_invalid([&] { (void)ordered_subsets(term, Tikhonov(), x0, {.count = 0}); });
  expect_invalid([&] { (void)ordered_subsets(term, Tikhonov(), x0, {.decay = -1.0}); });
  expect_invalid([&] { (void)ordered_subsets(term, Tikhonov(), x0, {}, {.backtracking = true}); });
  expect_invalid([&] { (void)fista(term, Tikhonov(), x0, {.lambda = -1.0}); });
  const DistributedDataFidelity huber(stack, std::make_shared<Huber>());
  expect_failure_everywhere(context, [&] { (void)admm(data_term(huber, y), Tikhonov(), x0, 1.0); });
}

// A prior whose method `what` throws at its call number `when` on the last rank.
class Fragile : public Prior {
 public:
  Fragile(const DistributedContext& context, std::string what, int when)
      : fails_here_(context.rank() + 1 == context.size()), what_(std::move(what)), when_(when) {}
  std::string name() const override { return "Fragile"; }
  double lipschitz() const override { return 1.0; }

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override { return called("fn"), at::zeros({}, x.options()); }
  at::Tensor grad_impl(const at::Tensor& x) const override { return called("grad"), x; }
  at::Tensor prox_impl(const at::Tensor& x, double) const override { return called("prox"), x / 1.1; }

 private:
  void called(const std::string& method) const {
    if (method == what_ && ++calls_ == when_ && fails_here_) {
      throw std::runtime_error("out of memory");
    }
  }

  bool fails_here_;
  std::string what_;
  int when_;
  mutable int calls_ = 0;
};

TEST_F(Algorithms, APriorThatFailsOnOneRankFailsOnAll) {
  using Run = std::function<OptimResult(const Prior&, const OptimOptions&)>;
  const DataTerm term = l2({.prox = {.max_iter = 3}});
  const Run descent = [&](const Prior& g, const OptimOptions& o) { return gradient_descent(term, g, x0, o); };
  const std::map<std::string, Run> with_prox = {
      {"proximal gradient", [&](const Prior& g, const OptimOptions& o) { return proximal_gradient(term, g, x0, o); }},
      {"FISTA", [&](const Prior& g, const OptimOptions& o) { return fista(term, g, x0, o); }},
      {"monotone FISTA", [&](const Prior& g, const OptimOptions& o) { return monotone_fista(term, g, x0, o); }},
      {"HQS", [&](const Prior& g, const OptimOptions& o) { return hqs(term, g, x0, {0.5}, o); }},
      {"ADMM", [&](const Prior& g, const OptimOptions& o) { return admm(term, g, x0, 0.5, o); }},
      {"primal-dual", [&](const Prior& g, const OptimOptions& o) { return primal_dual(term, g, x0, o); }},
      {"ordered subsets",
       [&](const Prior& g, const OptimOptions& o) { return ordered_subsets(term, g, x0, {.count = 1}, o); }}};
  const auto expect_failure = [&](const std::string& name, const Run& run, const std::string& what, int when,
                                  const OptimOptions& options) {
    SCOPED_TRACE(c10::str(name, ", ", what, " number ", when));
    const auto call = [&] { (void)run(Fragile(context, what, when), options); };
    if (context.size() == 1) {
      EXPECT_THROW(call(), std::runtime_error);
      return;
    }
    const RankFailure failure = expect_failure_everywhere(context, call);
    EXPECT_EQ(failure.rank, context.size() - 1);
    EXPECT_EQ(failure.reason, "out of memory");
  };
  for (const bool backtracking : {false, true}) {
    const OptimOptions three{.max_iter = 3, .tol = 0.0, .backtracking = backtracking, .objective = true};
    OptimOptions converging = three;  // where the prior does not fail, the first iteration is the last
    converging.tol = 1e9;
    for (const int when : {1, 2, 3}) {
      expect_failure("gradient descent", descent, "grad", when, three);
      expect_failure("gradient descent", descent, "fn", when, three);
    }
    for (const auto& [name, run] : with_prox) {
      if (backtracking && name == "ordered subsets") {
        continue;
      }
      for (const bool objective : {false, true}) {
        OptimOptions options = three;
        options.objective = converging.objective = objective;
        for (const int when : {1, 2, 3}) {
          expect_failure(name, run, "prox", when, options);
        }
        expect_failure(name, run, "prox", 1, converging);
      }
      expect_failure(name, run, "fn", 1, three);
      expect_failure(name, run, "fn", 3, three);
      expect_failure(name, run, "fn", name == "monotone FISTA" ? 2 : 1, converging);
    }
  }
  expect_near(proximal_gradient(l2(), Tikhonov(), x0, {.max_iter = 5000, .tol = 1e-13, .lambda = 0.3}).x,
              tikhonov_solution(0.3), 1e-9);  // the next call works
}

// ---- Over ranks as in one process --------------------------------------------------------------------------------

using Case = std::tuple<at::ScalarType, Reduction>;

class AlgorithmsOverRanks : public testing::TestWithParam<Case> {};

TEST_P(AlgorithmsOverRanks, EqualTheSingleProcess) {
  const auto [dtype, reduction] = GetParam();
  const double tol = tolerance(dtype);
  DistributedContext context;
  const DistributedStackedLinearPhysics stack(context, n, matrices(dtype), {.reduction = reduction});
  const StackedLinearPhysics single = twin(n, dtype, reduction);
  const DistributedDataFidelity f(stack, std::make_shared<L2>(0.5));
  const StackedDataFidelity reference(single, std::make_shared<L2>(0.5));
  const TensorList y = single.A(random_image(dtype, 2, 2));
  const at::Tensor x0 = random_image(dtype, 3, 2);
  const DataTermOptions inner{.prox = {.max_iter = 8, .tol = 0.0}};
  const DataTerm over_ranks = data_term(f, stack.shard(y), inner);
  const DataTerm alone = data_term(reference, y, inner);
  const OptimOptions options{.max_iter = 10, .tol = 0.0, .lambda = 0.1, .objective = true};
  const L1Prior l1;
  const Tikhonov tikhonov;
  // Inner iterations that end on the way may magnify round-off in the flat parts of the image; so few of them do not.
  const TotalVariation tv({.max_iter = 5, .tol = 0.0, .warm_start = false});
  const auto expect_equal = [&](const auto& run, const std::string& what) {
    const OptimResult a = run(over_ranks);
    const OptimResult b = run(alone);
    expect_near(a.x, b.x, 10 * tol, what);
    ASSERT_EQ(a.history.size(), b.history.size()) << what;
    EXPECT_NEAR(a.history.back().objective, b.history.back().objective, 100 * tol * b.history.back().objective) << what;
  };
  expect_equal([&](const DataTerm& t) { return gradient_descent(t, tikhonov, x0, options); }, "gradient descent");
  expect_equal([&](const DataTerm& t) { return proximal_gradient(t, l1, x0, options); }, "proximal gradient");
  expect_equal([&](const DataTerm& t) { return fista(t, tv, x0, options); }, "FISTA");
  expect_equal([&](const DataTerm& t) { return monotone_fista(t, l1, x0, options); }, "monotone FISTA");
  expect_equal([&](const DataTerm& t) { return hqs(t, l1, x0, {1.0, 0.5}, options); }, "HQS");
  expect_equal([&](const DataTerm& t) { return admm(t, l1, x0, 0.5, options); }, "ADMM");
  expect_equal([&](const DataTerm& t) { return primal_dual(t, l1, x0, options); }, "primal-dual");
  expect_equal([&](const DataTerm& t) { return ordered_subsets(t, l1, x0, {.count = 3}, options); }, "subsets");
}

INSTANTIATE_TEST_SUITE_P(All, AlgorithmsOverRanks,
                         testing::Combine(testing::Values(at::kFloat, at::kDouble, at::kComplexDouble),
                                          testing::Values(Reduction::sum, Reduction::mean)),
                         [](const testing::TestParamInfo<Case>& test) {
                           return std::string(c10::toString(std::get<0>(test.param))) + "_" +
                                  std::string(to_string(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace adjoin::test::algorithms_test
