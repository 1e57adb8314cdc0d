// SPDX-License-Identifier: BSD-3-Clause
// Derivatives with respect to what operators are made of: tensors that calls get by keyword, and the parameters of
// operators.
#include <memory>

#include "adjoin/operators/function.hpp"
#include "distributed/derivatives.hpp"

namespace adjoin::test::parameter_derivatives_test {
namespace {

constexpr std::int64_t n = 5;

// x ↦ (index + 1) w x, w being that of the call, or this one.
LinearPhysicsPtr weighing(std::int64_t index, const at::Tensor& own = {}) {
  const auto factor = static_cast<double>(index + 1);
  return make_function(
      [=](const at::Tensor& x, const Params& params) { return x * params.get_or("w", own) * factor; },
      [=](const at::Tensor& y, const Params& params) { return y * params.get_or("w", own).conj() * factor; });
}

std::shared_ptr<DistributedStackedLinearPhysics> make_stack(DistributedContext& context, Reduction reduction,
                                                            const at::Tensor& w = {}) {
  const PhysicsFactory factory = [w](std::int64_t index, at::Device, const Params&) { return weighing(index, w); };
  return std::make_shared<DistributedStackedLinearPhysics>(context, n, factory,
                                                           DistributedOptions{.reduction = reduction});
}

class ParameterDerivatives : public testing::TestWithParam<std::tuple<at::ScalarType, Reduction>> {
 protected:
  at::ScalarType dtype = std::get<0>(GetParam());
  Reduction reduction = std::get<1>(GetParam());
  double weight = reduction == Reduction::mean ? 1.0 / n : 1.0;
  DistributedContext context;
  at::Tensor x = random_image(dtype, 1, 2);
  at::Tensor w = random_image(dtype, 2, 2) + 3.0;
  TensorList y;

  void SetUp() override {
    for (std::uint64_t i = 0; i < n; ++i) {
      y.push_back(random_image(dtype, 10 + i, 2));
    }
  }

  TensorList dense_A(const at::Tensor& of) const {
    TensorList all;
    for (int i = 1; i <= n; ++i) {
      all.push_back(x * of * i);
    }
    return all;
  }
  TensorList dense_adjoints(const at::Tensor& of) const {
    TensorList all;
    for (int i = 1; i <= n; ++i) {
      all.push_back(y[static_cast<std::size_t>(i - 1)] * of.conj() * i);
    }
    return all;
  }
  at::Tensor dense_adjoint(const at::Tensor& of) const {
    at::Tensor sum = at::zeros_like(x);
    for (const at::Tensor& term : dense_adjoints(of)) {
      sum = sum + term * weight;
    }
    return sum;
  }
  at::Tensor dense_normal(const at::Tensor& of) const { return x * of * of.conj() * (55.0 * weight); }
  at::Tensor dense_prox(const at::Tensor& of) const {
    return (x + 0.7 * dense_adjoint(of)) / (0.7 * 55.0 * weight * of * of.conj() + 1.0);
  }
  at::Tensor dense_dagger(const at::Tensor& of) const { return dense_adjoint(of) / (55.0 * weight * of * of.conj()); }

  // Each call with w, by keyword or as a parameter of the operators, beside what it equals.
  struct Case {
    const char* name;
    std::function<at::Tensor(const DistributedStackedLinearPhysics& stack, const Params& params)> ours;
    RealFunction dense;
  };
  std::vector<Case> direct_calls() const {
    return {
        {"A", [this](const auto& stack, const Params& params) { return cubes(stack.A(x, {.params = params})); },
         [this](const at::Tensor& of) { return cubes(dense_A(of)); }},
        {"forward",
         [this](const auto& stack, const Params& params) { return cubes(stack.forward(x, {.params = params})); },
         [this](const at::Tensor& of) { return cubes(dense_A(of)); }},
        {"A_adjoint",
         [this](const auto& stack, const Params& params) { return cubes(stack.A_adjoint(y, {.params = params})); },
         [this](const at::Tensor& of) { return cubes(dense_adjoint(of)); }},
        {"A_vjp",
         [this](const auto& stack, const Params& params) { return cubes(stack.A_vjp(x, y, {.params = params})); },
         [this](const at::Tensor& of) { return cubes(dense_adjoint(of)); }},
        {"A_adjoint_A",
         [this](const auto& stack, const Params& params) { return cubes(stack.A_adjoint_A(x, {.params = params})); },
         [this](const at::Tensor& of) { return cubes(dense_normal(of)); }},
        {"A_A_adjoint",
         [this](const auto& stack, const Params& params) { return cubes(stack.A_A_adjoint(y, {.params = params})); },
         [this](const at::Tensor& of) {
           const at::Tensor inner = dense_adjoint(of);
           TensorList all;
           for (int i = 1; i <= n; ++i) {
             all.push_back(inner * of * i);
           }
           return cubes(all);
         }},
        {"A_adjoint_each",
         [this](const auto& stack, const Params& params) { return cubes(stack.A_adjoint_each(y, {.params = params})); },
         [this](const at::Tensor& of) { return cubes(dense_adjoints(of)); }},
        {"A_reduced",
         [this](const auto& stack, const Params& params) {
           return cubes(stack.A_reduced(x, Reduction::sum, {.params = params}));
         },
         [this](const at::Tensor& of) { return cubes(x * of * 15.0); }}};
  }
  std::vector<Case> solves() const {
    return {{"prox_l2",
             [this](const auto& stack, const Params& params) {
               return cubes(stack.prox_l2(x, y, 0.7, {.max_iter = 200, .tol = 1e-13, .params = params}));
             },
             [this](const at::Tensor& of) { return cubes(dense_prox(of)); }},
            {"A_dagger",
             [this](const auto& stack, const Params& params) {
               return cubes(stack.A_dagger(y, {.max_iter = 200, .tol = 1e-13, .params = params, .local_only = false}));
             },
             [this](const at::Tensor& of) { return cubes(dense_dagger(of)); }}};
  }
};

TEST_P(ParameterDerivatives, OfKeywordsAreThoseOfOneProcess) {
  const auto stack = make_stack(context, reduction);
  for (const Case& each : direct_calls()) {
    const auto ours = [&](const at::Tensor& of) { return each.ours(*stack, {{"w", of}}); };
    expect_equal_derivatives(ours, each.dense, w, 1e-11, each.name);
    expect_equal_tangents(ours, each.dense, w, 1e-11, each.name);
  }
}

TEST_P(ParameterDerivatives, OfKeywordsOfSolvesAreThoseOfOneProcessAndRaiseWhatTheyHaveNot) {
  const auto stack = make_stack(context, reduction);
  for (const Case& each : solves()) {
    const auto ours = [&](const at::Tensor& of) { return each.ours(*stack, {{"w", of}}); };
    expect_near(gradient_of(ours, w), gradient_of(each.dense, w), 1e-8, each.name);
    EXPECT_ANY_THROW((void)two_orders(ours, w)) << each.name;
    EXPECT_ANY_THROW((void)tangent_along(ours, w, w)) << each.name;
    expect_near(gradient_of(ours, w), gradient_of(each.dense, w), 1e-8, std::string(each.name) + " again");
  }
}

TEST_P(ParameterDerivatives, OfOperatorsAreThoseOfOneProcess) {
  std::vector<std::shared_ptr<DistributedStackedLinearPhysics>> kept;
  const auto with = [&](const at::Tensor& own) -> const DistributedStackedLinearPhysics& {
    kept.push_back(make_stack(context, reduction, own));
    kept.back()->set_parameters({own});
    return *kept.back();
  };
  for (const Case& each : direct_calls()) {
    expect_equal_derivatives([&](const at::Tensor& of) { return each.ours(with(of), {}); }, each.dense, w, 1e-11,
                             each.name);
  }
  for (const Case& each : solves()) {
    expect_near(gradient_of([&](const at::Tensor& of) { return each.ours(with(of), {}); }, w),
                gradient_of(each.dense, w), 1e-8, each.name);
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, ParameterDerivatives,
                         testing::Combine(testing::Values(at::kDouble, at::kComplexDouble),
                                          testing::Values(Reduction::sum, Reduction::mean)),
                         [](const auto& test) {
                           return std::string(c10::toString(std::get<0>(test.param))) + "_" +
                                  std::string(to_string(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace adjoin::test::parameter_derivatives_test
