// SPDX-License-Identifier: BSD-3-Clause
// Every algorithm x everything that makes an image NaN, infinite or wrong: an error on all ranks, which names the
// iteration, and a next call that is right; or a right result.
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>

#include "adjoin/operators/function.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "optim/support.hpp"

namespace adjoin::test::failures_test {
namespace {

constexpr std::int64_t n = 5;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

std::map<std::string, Algorithm> all() { return algorithms({0.5}); }

std::map<std::string, Algorithm> with_prox() {
  std::map<std::string, Algorithm> some = all();
  some.erase("gradient descent");
  return some;
}

// What an Error says; that of the exception itself when it is none.
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

class Failures : public testing::Test {
 protected:
  void expect_error(const std::string& name, const std::function<void()>& call, const std::string& what) {
    const std::string message = message_of(call);
    EXPECT_NE(message, "") << name << ": no error for " << what << " on rank " << context.rank();
    EXPECT_NE(message.find("iteration"), std::string::npos) << name << ", " << what << ": " << message;
    // All ranks have left, and the next call is right.
    const at::Tensor sum = stack.A_adjoint_A(x0 + 1.0);
    expect_near(sum, single.A_adjoint_A(x0 + 1.0), 1e-12, name + " after " + what);
  }

  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(at::kDouble)};
  StackedLinearPhysics single = twin(n, at::kDouble);
  DistributedDataFidelity f{stack, std::make_shared<L2>()};
  at::Tensor x0 = at::zeros({1, 2, 3, 4}, at::kDouble);
  TensorList y = single.A(random_image(at::kDouble, 2));
};

TEST_F(Failures, NaNAndInfinityInOneMeasurement) {
  for (const double bad : {nan, infinity, -infinity}) {
    for (const std::int64_t entry : {0, 3}) {
      TensorList spoilt = y;
      spoilt[static_cast<std::size_t>(entry)] = y[static_cast<std::size_t>(entry)].clone();
      spoilt[static_cast<std::size_t>(entry)].view(-1)[1] = bad;
      for (const auto& [name, run] : all()) {
        for (const bool backtracking : {false, true}) {
          if (backtracking && name == "ordered subsets") {
            continue;
          }
          expect_error(
              name,
              [&] {
                (void)run(data_term(f, spoilt), Tikhonov(), x0,
                          {.max_iter = 20, .step = 0.01, .backtracking = backtracking});
              },
              c10::str(bad, " in y"));
        }
      }
    }
  }
}

// Robust fidelities take an infinite measurement for a very large one; of NaN they can make nothing.
TEST_F(Failures, NaNInRobustFidelities) {
  TensorList spoilt = y;
  spoilt[1] = y[1].clone();
  spoilt[1].view(-1)[0] = nan;
  const std::vector<DataFidelityPtr> robust = {std::make_shared<L1>(), std::make_shared<Huber>(0.1),
                                               std::make_shared<IndicatorLInf>(0.1)};
  for (const DataFidelityPtr& d : robust) {
    const DistributedDataFidelity fidelity(stack, d);
    for (const auto& [name, run] : all()) {
      if (name == "HQS" || name == "ADMM" || (d->name() == "IndicatorLInf" && name != "primal-dual")) {
        continue;
      }
      expect_error(
          name, [&] { (void)run(data_term(fidelity, spoilt), Tikhonov(), x0, {.max_iter = 20, .step = 0.01}); },
          d->name() + " of NaN");
    }
  }
}

// An operator that returns NaN from one of its calls on, on the rank that owns it.
TEST_F(Failures, NaNFromAnOperator) {
  for (const int when : {1, 2, 5}) {
    for (const auto& [name, run] : all()) {
      auto calls = std::make_shared<int>(0);
      const PhysicsFactory spoiling = [calls, when](std::int64_t index, at::Device, const Params&) {
        const at::Tensor matrix = matrix_of(index, at::kDouble);
        const auto forward = [=](const at::Tensor& x, const Params&) {
          at::Tensor u = at::matmul(x.reshape({x.size(0), -1}), matrix.t());
          return index == 2 && ++*calls >= when ? u * nan : u;
        };
        const auto adjoint = [=](const at::Tensor& v, const Params&) {
          return at::matmul(v, matrix).view({v.size(0), 2, 3, 4});
        };
        return make_function(forward, adjoint);
      };
      DistributedStackedLinearPhysics spoilt(context, n, spoiling);
      const DistributedDataFidelity fidelity(spoilt, std::make_shared<L2>());
      expect_error(
          name,
          [&] {
            (void)run(data_term(fidelity, y), Tikhonov(), x0,
                      {.max_iter = 20, .tol = 0.0, .step = name == "primal-dual" ? 0.3 : 0.01});
          },
          c10::str("NaN from call ", when));
    }
  }
}

TEST_F(Failures, NaNFromADenoiserOrPriorOnAllRanks) {
  for (const int when : {1, 3}) {
    int calls = 0;
    const Denoiser spoiling = [&](const at::Tensor& x, double) { return ++calls == when ? x * nan : x / 1.1; };
    for (const auto& [name, run] : with_prox()) {
      if (name == "monotone FISTA") {
        continue;  // needs a prior with a value
      }
      calls = 0;
      expect_error(
          name, [&] { (void)run(data_term(f, y), PnP(spoiling, 0.1), x0, {.max_iter = 9, .tol = 0.0}); },
          "NaN from a denoiser");
    }
    calls = 0;
    expect_error(
        "RED", [&] { (void)gradient_descent(data_term(f, y), RED(spoiling, 0.1), x0, {.max_iter = 9, .tol = 0.0}); },
        "NaN from a denoiser");
  }
}

// A denoiser that makes numbers of NaN must not hide it.
TEST_F(Failures, NaNInFrontOfADenoiserThatRemovesIt) {
  TensorList spoilt = y;
  spoilt[0] = at::full_like(y[0], nan);
  const Denoiser cleaning = [](const at::Tensor& x, double) { return at::nan_to_num(x); };
  for (const auto& [name, run] : with_prox()) {
    if (name != "monotone FISTA") {
      expect_error(
          name, [&] { (void)run(data_term(f, spoilt), PnP(cleaning, 0.1), x0, {.max_iter = 9}); }, "NaN cleaned away");
    }
  }
}

TEST_F(Failures, AStartThatIsNotFiniteIsAnInvalidArgument) {
  for (const double bad : {nan, infinity}) {
    at::Tensor start = x0.clone();
    start.view(-1)[3] = bad;
    for (const auto& [name, run] : all()) {
      const std::string message =
          message_of([&] { (void)run(data_term(f, y), Tikhonov(), start, {.max_iter = 5, .step = 0.01}); });
      EXPECT_NE(message.find("x0: must be finite"), std::string::npos) << name << ": " << message;
    }
  }
}

// Steps of more than 2/L, with momentum 4/3 of 1/L, diverge: sooner or later, at all lengths, in both precisions.
TEST_F(Failures, StepsThatAreTooLongRaiseAndOthersAreRight) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const StackedLinearPhysics operators = twin(n, dtype);
    const StackedDataFidelity fidelity(operators, std::make_shared<L2>());
    const at::Tensor A = dense_stack(n, dtype);
    const double lipschitz = std::pow(at::linalg_matrix_norm(A, at::Scalar(2)).item<double>(), 2);
    TensorList data;
    for (const at::Tensor& entry : y) {
      data.push_back(entry.to(dtype));
    }
    const Tikhonov g;
    const at::Tensor start = x0.to(dtype);
    const at::Tensor H = at::matmul(A.t(), A) + 0.3 * at::eye(image_size, dtype);
    const at::Tensor expected = at::linalg_solve(H, twin(n, dtype).A_adjoint(data).reshape({-1})).view(start.sizes());
    const std::map<std::string, std::pair<Algorithm, double>> limits = {
        {"gradient descent", {&gradient_descent, 2.0}},
        {"proximal gradient", {&proximal_gradient, 2.0}},
        {"FISTA", {&fista, 4.0 / 3.0}},
        {"monotone FISTA", {&monotone_fista, 4.0 / 3.0}}};
    for (const auto& [name, algorithm] : limits) {
      const auto& [run, limit] = algorithm;
      // Where the prior holds what the step drives apart, or the objective is watched, the result may be right.
      for (const double factor : {1.1, 1.5, 3.0, 100.0, 1e10}) {
        for (const int iterations : {100, 1000}) {
          SCOPED_TRACE(c10::str(name, ", ", factor, " times too long, ", iterations, " iterations, ", dtype));
          try {
            const OptimResult result =
                run(data_term(fidelity, data), g, start,
                    {.max_iter = iterations, .tol = 1e-7, .lambda = 0.3, .step = limit * factor / lipschitz});
            EXPECT_LT(factor, 2.0);
            expect_near(result.x, expected, 0.05);
          } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find("step"), std::string::npos) << error.what();
          }
        }
      }
      for (const double factor : {0.02, 0.3, 0.9}) {
        SCOPED_TRACE(c10::str(name, ", ", factor, " of the limit, ", dtype));
        const OptimResult result = run(data_term(fidelity, data), g, start,
                                       {.max_iter = 20000,
                                        .tol = dtype == at::kFloat ? 1e-5 : 1e-8,
                                        .lambda = 0.3,
                                        .step = limit * factor / (lipschitz + 0.3)});
        EXPECT_EQ(result.reason, StopReason::converged);
        expect_near(result.x, expected, dtype == at::kFloat ? 1e-2 : 1e-5);
      }
    }
  }
}

TEST_F(Failures, AStepThatIsTooLongRaisesOnAllRanks) {
  for (const auto& [name, run] : std::map<std::string, Algorithm>{
           {"gradient descent", &gradient_descent}, {"proximal gradient", &proximal_gradient}, {"FISTA", &fista}}) {
    expect_error(
        name, [&] { (void)run(data_term(f, y), Tikhonov(), x0, {.max_iter = 100, .step = 10.0}); },
        "a step that is too long");
  }
}

TEST_F(Failures, AShortStepIsNotTakenForConvergence) {
  for (const auto& [name, run] : std::map<std::string, Algorithm>{
           {"gradient descent", &gradient_descent}, {"proximal gradient", &proximal_gradient}, {"FISTA", &fista}}) {
    const OptimResult result = run(data_term(f, y), Tikhonov(), x0, {.max_iter = 50, .tol = 1e-4, .step = 1e-8});
    EXPECT_EQ(result.reason, StopReason::max_iterations) << name;
  }
}

TEST_F(Failures, OptionsThatDifferAmongRanksAreNamed) {
  if (context.size() == 1) {
    return;
  }
  const bool odd = context.rank() + 1 == context.size();
  const DataTerm term = data_term(f, y);
  const std::map<std::string, OptimOptions> unlike = {
      {"max_iter", {.max_iter = odd ? 5 : 6}},
      {"tol", {.tol = odd ? 1e-3 : 1e-4}},
      {"lambda", {.lambda = odd ? 1.0 : 2.0}},
      {"step", {.step = odd ? 0.01 : 0.02}},
      {"backtracking", {.step = 0.01, .backtracking = odd}},
      {"objective", {.objective = odd}},
      {"items", {.items = odd ? std::optional<std::int64_t>(1) : std::nullopt}}};
  for (const auto& [name, run] : all()) {
    for (const auto& [option, options] : unlike) {
      if (option == "backtracking" && name == "ordered subsets") {
        continue;
      }
      const RankFailure failure = expect_failure_everywhere(context, [&] { (void)run(term, Tikhonov(), x0, options); });
      EXPECT_NE(failure.reason.find(option), std::string::npos) << name << ": " << failure.reason;
    }
  }
  (void)expect_failure_everywhere(context, [&] { (void)hqs(term, Tikhonov(), x0, {odd ? 1.0 : 2.0}); });
  (void)expect_failure_everywhere(context, [&] { (void)admm(term, Tikhonov(), x0, odd ? 1.0 : 2.0); });
  (void)expect_failure_everywhere(context,
                                  [&] { (void)ordered_subsets(term, Tikhonov(), x0, {.count = odd ? 2 : 3}); });
  (void)expect_failure_everywhere(context, [&] { (void)fista(term, Tikhonov(), odd ? x0 : x0.to(at::kFloat)); });
  (void)expect_failure_everywhere(context, [&] { (void)fista(term, Tikhonov(), x0, {.max_iter = odd ? -1 : 3}); });
  expect_near(stack.A_adjoint_A(x0 + 1.0), single.A_adjoint_A(x0 + 1.0), 1e-12);
}

}  // namespace
}  // namespace adjoin::test::failures_test
