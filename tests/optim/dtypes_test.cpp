// SPDX-License-Identifier: BSD-3-Clause
// Data in one precision and a start in the other: the result has the dtype of the start, whatever the algorithm.
#include <map>
#include <string>

#include "adjoin/operators/diagonal.hpp"
#include "adjoin/operators/function.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "optim/support.hpp"

namespace adjoin::test::dtypes_test {
namespace {

using Algorithm = std::function<OptimResult(const DataTerm&, const at::Tensor&)>;

std::map<std::string, Algorithm> algorithms(const Prior& g) {
  const OptimOptions options{.max_iter = 30, .tol = 0.0, .objective = true};
  return {
      {"gradient descent",
       [&, options](const DataTerm& f, const at::Tensor& x) { return gradient_descent(f, g, x, options); }},
      {"proximal gradient",
       [&, options](const DataTerm& f, const at::Tensor& x) { return proximal_gradient(f, g, x, options); }},
      {"FISTA", [&, options](const DataTerm& f, const at::Tensor& x) { return fista(f, g, x, options); }},
      {"monotone FISTA",
       [&, options](const DataTerm& f, const at::Tensor& x) { return monotone_fista(f, g, x, options); }},
      {"backtracking",
       [&](const DataTerm& f, const at::Tensor& x) {
         return fista(f, g, x, {.max_iter = 30, .tol = 0.0, .backtracking = true});
       }},
      {"HQS", [&, options](const DataTerm& f, const at::Tensor& x) { return hqs(f, g, x, {1.0}, options); }},
      {"ADMM", [&, options](const DataTerm& f, const at::Tensor& x) { return admm(f, g, x, 1.0, options); }},
      {"primal-dual", [&, options](const DataTerm& f, const at::Tensor& x) { return primal_dual(f, g, x, options); }},
      {"ordered subsets", [&, options](const DataTerm& f, const at::Tensor& x) {
         return ordered_subsets(f, g, x, {.count = 2}, options);
       }}};
}

// Elementwise operators, which take any dtype, as those of users do.
LinearPhysicsPtr factor(std::int64_t index) {
  return make_function([index](const at::Tensor& x) { return x * (1.0 + static_cast<double>(index)); },
                       [index](const at::Tensor& v) { return v * (1.0 + static_cast<double>(index)); });
}

TEST(Dtypes, ResultsHaveThatOfTheStart) {
  DistributedContext context;
  DistributedStackedLinearPhysics stack(context, 3,
                                        [](std::int64_t i, at::Device, const Params&) { return factor(i); });
  const StackedLinearPhysics single({factor(0), factor(1), factor(2)});
  const DistributedDataFidelity f(stack, std::make_shared<L2>());
  const StackedDataFidelity reference(single, std::make_shared<L2>());
  const Tikhonov g;
  const std::vector<std::pair<at::ScalarType, at::ScalarType>> pairs = {{at::kFloat, at::kDouble},
                                                                        {at::kDouble, at::kFloat},
                                                                        {at::kComplexFloat, at::kComplexDouble},
                                                                        {at::kComplexDouble, at::kFloat},
                                                                        {at::kComplexFloat, at::kDouble}};
  for (const auto& [of_start, of_data] : pairs) {
    const TensorList y = single.A(random_tensor({2, 1, 4, 4}, of_data, 1));
    const at::Tensor x0 = at::zeros({2, 1, 4, 4}, of_start);
    TensorList matching;
    for (const at::Tensor& entry : y) {
      matching.push_back(entry.to(of_start));
    }
    for (const auto& [name, run] : algorithms(g)) {
      SCOPED_TRACE(c10::str(name, ", start ", of_start, ", data ", of_data));
      const at::Tensor expected = run(data_term(reference, matching), x0).x;
      expect_near(run(data_term(f, y), x0).x, expected, 1e-5);
      expect_near(run(data_term(reference, y), x0).x, expected, 1e-5);
    }
  }
}

TEST(Dtypes, AComplexGradientOfARealImageIsAnErrorThatNamesTheStart) {
  const StackedLinearPhysics single({factor(0), factor(1)});
  const StackedDataFidelity f(single, std::make_shared<L2>());
  const TensorList y = single.A(random_tensor({2, 1, 4, 4}, at::kComplexDouble, 1));
  const at::Tensor x0 = at::zeros({2, 1, 4, 4}, at::kDouble);
  const Tikhonov g;
  for (const auto& [name, run] : algorithms(g)) {
    try {
      (void)run(data_term(f, y), x0);
      ADD_FAILURE() << name << ": no error";
    } catch (const Error& error) {
      const std::string what = error.what();
      EXPECT_TRUE(what.find("x0") != std::string::npos || what.find("y: ") != std::string::npos ||
                  what.find(" y ") != std::string::npos || what.find("z must") != std::string::npos ||
                  what.find("y must") != std::string::npos)
          << name << ": " << what;
    }
  }
  EXPECT_THROW((void)fista(data_term(f, y), g, at::zeros({2, 1, 4, 4}, at::kLong)), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test::dtypes_test
