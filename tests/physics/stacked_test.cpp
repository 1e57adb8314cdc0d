// SPDX-License-Identifier: BSD-3-Clause
// Stacks in one process against the dense matrix of their operators.
#include "adjoin/physics/stacked.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/matrix.hpp"
#include "dense.hpp"

namespace adjoin::stacked_test {

using testing::all_solvers;
using testing::all_types;
using testing::double_types;
using testing::expect_close;
using testing::precision;
using testing::random;
using testing::rows_times;

namespace {

// Three operators of 5, 3 and 4 rows on images of 6 numbers, and the dense matrix of their stack.
struct DenseStack {
  explicit DenseStack(at::ScalarType type) {
    for (const std::int64_t rows : {5, 3, 4}) {
      blocks.push_back(random({rows, 6}, type, static_cast<std::uint64_t>(rows)));
      operators.push_back(rows_times(blocks.back()));
    }
    matrix = at::cat(blocks);
  }
  TensorList split(const at::Tensor& y) const { return TensorList(y.split_with_sizes({5, 3, 4}, 1)); }

  std::vector<at::Tensor> blocks;
  std::vector<LinearPhysicsPtr> operators;
  at::Tensor matrix;
};

at::Tensor times(const at::Tensor& rows, const at::Tensor& matrix) { return at::matmul(rows, matrix.t()); }
at::Tensor adjoint_times(const at::Tensor& rows, const at::Tensor& matrix) { return at::matmul(rows, matrix.conj()); }

LinearPhysicsPtr identity() {
  const auto same = [](const at::Tensor& x) { return x; };
  return make_function(same, same);
}

LinearPhysicsPtr failing(const std::string& message) {
  const auto fail = [message](const at::Tensor&) -> at::Tensor { throw std::runtime_error(message); };
  return make_function(fail, fail);
}

template <class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no InvalidArgument";
}

}  // namespace

TEST(StackedLinearPhysics, EveryMethodIsThatOfTheDenseStack) {
  for (const auto type : all_types) {
    for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
      const DenseStack dense(type);
      const double weight = reduction == Reduction::mean ? 1.0 / 3.0 : 1.0;
      const StackedLinearPhysics stack(dense.operators, {.reduction = reduction});
      const at::Tensor x = random({2, 6}, type, 1);
      const at::Tensor y = random({2, 12}, type, 2);
      const double tolerance = 4 * precision(type);
      expect_close(stack.A(x), dense.split(times(x, dense.matrix)), tolerance);
      const at::Tensor adjoint = weight * adjoint_times(y, dense.matrix);
      expect_close(stack.A_adjoint(dense.split(y)), adjoint, tolerance);
      expect_close(stack.A_vjp(x, dense.split(y)), adjoint, tolerance);
      expect_close(stack.A_adjoint_A(x), weight * adjoint_times(times(x, dense.matrix), dense.matrix), tolerance);
      expect_close(stack.A_A_adjoint(dense.split(y)), dense.split(times(adjoint, dense.matrix)), tolerance);
      EXPECT_LE(stack.adjointness_test(x), tolerance);
    }
  }
}

TEST(StackedLinearPhysics, TheUnreducedTermsAreThoseOfTheOperators) {
  const DenseStack dense(at::kDouble);
  const StackedLinearPhysics stack(dense.operators, {.reduction = Reduction::mean});
  const at::Tensor x = random({2, 6}, at::kDouble, 1);
  const TensorList y = dense.split(random({2, 12}, at::kDouble, 2));
  for (std::size_t i = 0; i < 3; ++i) {
    expect_close(stack.A_adjoint_each(y)[i], adjoint_times(y[i], dense.blocks[i]), 1e-12);
    expect_close(stack.A_vjp_each(x, y)[i], adjoint_times(y[i], dense.blocks[i]), 1e-12);
    expect_close(stack.A_adjoint_A_each(x)[i], stack[i].A_adjoint_A(x), 1e-12);
  }
}

TEST(StackedLinearPhysics, MeanReductionIsTheAdjointUnderTheWeightedInnerProduct) {
  const DenseStack dense(at::kComplexDouble);
  const StackedLinearPhysics stack(dense.operators, {.reduction = Reduction::mean});
  const at::Tensor x = random({2, 6}, at::kComplexDouble, 1);
  const TensorList y = dense.split(random({2, 12}, at::kComplexDouble, 2));
  const auto measured = adjoin::dot(stack.A(x), y)[0] / 3.0;
  const auto imaged = adjoin::dot(x, stack.A_adjoint(y))[0];
  EXPECT_NEAR(measured.real(), imaged.real(), 1e-12 * std::abs(measured));
  EXPECT_NEAR(measured.imag(), imaged.imag(), 1e-12 * std::abs(measured));
}

TEST(StackedLinearPhysics, EverySolverFindsThePseudoinverseOfTheStack) {
  for (const auto type : double_types) {
    const DenseStack dense(type);
    const at::Tensor y = random({2, 12}, type, 1);
    const at::Tensor expected = times(y, at::linalg_pinv(dense.matrix));
    for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
      const StackedLinearPhysics stack(dense.operators, {.reduction = reduction});
      for (const Solver solver : all_solvers) {
        SCOPED_TRACE(to_string(solver));
        const DaggerOptions options = {.solver = solver, .max_iter = 200, .tol = 1e-13};
        expect_close(stack.A_dagger(dense.split(y), options), expected, 1e-8);
      }
    }
  }
}

TEST(StackedLinearPhysics, EverySolverFindsTheProximalPointOfTheStacksNorm) {
  for (const auto type : double_types) {
    const DenseStack dense(type);
    const at::Tensor y = random({2, 12}, type, 1);
    const at::Tensor z = random({2, 6}, type, 2);
    for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
      const double gamma = reduction == Reduction::mean ? 0.7 / 3.0 : 0.7;
      const at::Tensor H = gamma * at::matmul(dense.matrix.t().conj(), dense.matrix) + at::eye(6, z.options());
      const at::Tensor expected = at::linalg_solve(H, (gamma * adjoint_times(y, dense.matrix) + z).t()).t();
      const StackedLinearPhysics stack(dense.operators, {.reduction = reduction});
      for (const Solver solver : all_solvers) {
        SCOPED_TRACE(to_string(solver));
        const DaggerOptions options = {.solver = solver, .max_iter = 200, .tol = 1e-13};
        expect_close(stack.prox_l2(z, dense.split(y), 0.7, options), expected, 1e-8);
      }
    }
  }
}

TEST(StackedLinearPhysics, TheMeanOfThePseudoinversesIsAMethodOfItsOwn) {
  const DenseStack dense(at::kDouble);
  const StackedLinearPhysics stack(dense.operators);
  const TensorList y = dense.split(random({2, 12}, at::kDouble, 1));
  at::Tensor expected = at::zeros({2, 6}, at::kDouble);
  for (std::size_t i = 0; i < 3; ++i) {
    expected = expected + times(y[i], at::linalg_pinv(dense.blocks[i])) / 3;
  }
  expect_close(stack.A_dagger_mean(y, {.tol = 1e-13}), expected, 1e-8);
}

TEST(StackedLinearPhysics, NormAndItsBoundsAreThoseOfTheDenseStack) {
  for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
    const double weight = reduction == Reduction::mean ? 1.0 / 3.0 : 1.0;
    const DenseStack dense(at::kComplexDouble);
    const at::Tensor x0 = random({2, 6}, at::kComplexDouble, 1);
    const double norm = at::linalg_svdvals(dense.matrix).max().item<double>();
    const double exact = weight * norm * norm;
    const StackedLinearPhysics stack(dense.operators, {.reduction = reduction});
    EXPECT_NEAR(stack.compute_sqnorm(x0, {.tol = 1e-8}), exact, 1e-8 * exact);
    const SqnormBounds bounds = stack.sqnorm_bounds(x0);
    double largest = 0.0;
    double sum = 0.0;
    for (const at::Tensor& block : dense.blocks) {
      const double own = at::linalg_svdvals(block).max().item<double>();
      largest = std::max(largest, weight * own * own);
      sum += weight * own * own;
    }
    EXPECT_NEAR(bounds.lower, largest, 1e-6 * largest);
    EXPECT_GE(bounds.upper, sum * (1 - 1e-12));
    EXPECT_LE(bounds.upper, sum * 1.3);
    EXPECT_LE(bounds.lower, exact);
    EXPECT_GE(bounds.upper, exact);
  }
}

TEST(StackedLinearPhysics, OperatorsMayDifferInShapeAndDtype) {
  const LinearPhysicsPtr transform =
      make_function([](const at::Tensor& x) { return at::fft_fft(x, {}, -1, "ortho"); },
                    [](const at::Tensor& y) { return at::real(at::fft_ifft(y, {}, -1, "ortho")); });
  const LinearPhysicsPtr summed = make_function([](const at::Tensor& x) { return x.sum(-1, true).to(at::kFloat); },
                                                [](const at::Tensor& y) { return y.expand({y.size(0), 6}); });
  const StackedLinearPhysics stack({transform, summed});
  const at::Tensor x = random({2, 6});
  const TensorList y = stack.A(x);
  EXPECT_EQ(y[0].scalar_type(), at::kComplexDouble);
  EXPECT_EQ(y[1].scalar_type(), at::kFloat);
  const at::Tensor image = stack.A_adjoint(y);
  EXPECT_EQ(image.scalar_type(), at::kDouble);
  expect_close(image, x + x.sum(-1, true), 1e-6);
  const StackedLinearPhysics reversed({summed, transform});
  expect_close(reversed.A_adjoint({y[1], y[0]}), image, 1e-6);
}

TEST(StackedLinearPhysics, SumsNeverWriteIntoWhatAnOperatorReturned) {
  const TensorList y = {random({2, 3}), random({2, 3}, at::kDouble, 1), random({2, 3}, at::kDouble, 2)};
  const TensorList copy = adjoin::clone(y);
  for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
    const StackedLinearPhysics stack({identity(), identity(), identity()}, {.reduction = reduction});
    stack.A_adjoint(y);
    stack.A_adjoint_A(y[0]);
    stack.A_dagger_mean(y);
    expect_close(y, copy, 0.0);
  }
}

TEST(StackedLinearPhysics, SumsAreWrittenIntoAFittingOut) {
  for (const std::size_t n : {1, 2, 3}) {
    const StackedLinearPhysics stack(std::vector<LinearPhysicsPtr>(n, identity()));
    const at::Tensor x = random({2, 3});
    const TensorList y(std::vector<at::Tensor>(n, x));
    at::Tensor out = at::full({2, 3}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
    EXPECT_TRUE(stack.A_adjoint_sum(y, out).is_same(out));
    expect_close(out, static_cast<double>(n) * x, 1e-15);
    out.fill_(7.0);
    EXPECT_TRUE(stack.A_adjoint_A_sum(x, out).is_same(out));
    expect_close(out, static_cast<double>(n) * x, 1e-15);
    out.fill_(7.0);
    EXPECT_TRUE(stack.A_vjp_sum(x, y, out).is_same(out));
    expect_close(out, static_cast<double>(n) * x, 1e-15);
    for (const at::Tensor& misfit : {at::zeros({2, 3}, at::kFloat), at::zeros({3, 3}, at::kDouble)}) {
      expect_close(stack.A_adjoint_sum(y, misfit), static_cast<double>(n) * x, 1e-15);
      EXPECT_EQ(misfit.count_nonzero().item<std::int64_t>(), 0);
    }
  }
}

TEST(StackedLinearPhysics, GradientsFlowThroughSums) {
  const DenseStack dense(at::kDouble);
  const StackedLinearPhysics stack(dense.operators, {.reduction = Reduction::mean});
  const at::Tensor x = random({2, 6}).requires_grad_();
  const at::Tensor out = at::zeros({2, 6}, at::kDouble);
  (stack.A_adjoint_A(x) * x.detach()).sum().backward();
  expect_close(x.grad(), stack.A_adjoint_A(x.detach()), 1e-12);
  EXPECT_FALSE(stack.A_adjoint_A_sum(x, out).is_same(out));
}

TEST(StackedLinearPhysics, ForwardAddsTheNoiseOfEachOperator) {
  const std::vector<LinearPhysicsPtr> operators = {identity(), identity()};
  operators[1]->set_noise(gaussian_noise(0.5, 3));
  const StackedLinearPhysics stack(operators);
  const at::Tensor x = random({2, 3});
  const TensorList y = stack.forward(x);
  EXPECT_TRUE(y[0].equal(x));
  EXPECT_TRUE(y[1].equal(gaussian_noise(0.5, 3)(x)));
}

TEST(StackedLinearPhysics, AnEmptyStackHasUndefinedSums) {
  const StackedLinearPhysics stack({});
  const at::Tensor x = random({2, 3});
  EXPECT_TRUE(stack.A(x).empty());
  EXPECT_TRUE(stack.A_A_adjoint({}).empty());
  EXPECT_FALSE(stack.A_adjoint({}).defined());
  EXPECT_FALSE(stack.A_adjoint_A(x).defined());
  EXPECT_FALSE(stack.A_vjp(x, {}).defined());
  EXPECT_EQ(stack.compute_sqnorm(x), 0.0);
  EXPECT_EQ(stack.sqnorm_bounds(x).upper, 0.0);
  EXPECT_EQ(stack.adjointness_test(x), 0.0);
  EXPECT_THROW(stack.A_dagger({}), InvalidArgument);
}

TEST(StackedLinearPhysics, OneOperatorUsesItsClosedForms) {
  const at::Tensor M = random({5, 4});
  const StackedLinearPhysics stack({std::make_shared<Matrix>(M)});
  const at::Tensor y = random({2, 5});
  expect_close(stack.A_dagger({y}, {.max_iter = 0}), times(y, at::linalg_pinv(M)), 1e-12);
}

TEST(StackedLinearPhysics, AFailingOperatorIsNamedByItsIndex) {
  const StackedLinearPhysics stack({identity(), failing("the lens fell off")});
  const at::Tensor x = random({2, 3});
  const std::vector<std::function<void()>> calls = {[&] { stack.A(x); },
                                                    [&] { stack.A_adjoint({x, x}); },
                                                    [&] { stack.A_adjoint_A(x); },
                                                    [&] { stack.forward(x); },
                                                    [&] { stack.A_vjp(x, {x, x}); },
                                                    [&] { stack.A_adjoint_each({x, x}); },
                                                    [&] { stack.sqnorm_bounds(x); }};
  for (const auto& call : calls) {
    try {
      call();
      ADD_FAILURE() << "no error";
    } catch (const OperatorFailure& failure) {
      EXPECT_EQ(failure.index, 1);
      EXPECT_STREQ(failure.what(), "the lens fell off");
      EXPECT_THROW(std::rethrow_if_nested(failure), std::runtime_error);
    }
  }
}

TEST(StackedLinearPhysics, TorchErrorsComeWithoutTheirStackTrace) {
  const StackedLinearPhysics stack({rows_times(random({5, 4}))});
  try {
    stack.A(random({2, 3}));
    FAIL() << "no error";
  } catch (const OperatorFailure& failure) {
    EXPECT_EQ(failure.index, 0);
    EXPECT_EQ(std::string(failure.what()).find("frame #0"), std::string::npos);
  }
}

// The identity, whose fused form runs out of memory the first time that it is made.
class Fickle final : public LinearPhysics {
 public:
  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override {
    class Form final : public FusedStack {
     public:
      explicit Form(double count) : count_(count) {}
      at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& /*out*/) const override { return x * count_; }

     private:
      double count_;
    };
    if (attempts_++ == 0) {
      throw std::bad_alloc();
    }
    return std::make_unique<Form>(static_cast<double>(operators.size()));
  }
  int attempts() const { return attempts_; }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& /*params*/) const override { return x; }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& /*params*/) const override { return y; }

 private:
  mutable int attempts_ = 0;
};

TEST(StackedLinearPhysics, AFusedFormThatFailedIsTriedAgain) {
  const auto first = std::make_shared<Fickle>();
  const StackedLinearPhysics stack({first, std::make_shared<Fickle>()});
  const at::Tensor x = random({2, 3});
  EXPECT_THROW(stack.A_adjoint_A(x), std::bad_alloc);
  for (int call = 0; call < 3; ++call) {
    expect_close(stack.A_adjoint_A(x), 2.0 * x, 1e-14);
  }
  EXPECT_LE(first->attempts(), 3);
  EXPECT_EQ(first->calls().A, 0);
}

TEST(StackedLinearPhysics, ImagesOfDifferentShapesAreNotSummed) {
  const LinearPhysicsPtr wide =
      make_function([](const at::Tensor& x) { return x; }, [](const at::Tensor& y) { return y.sum(-1, true); });
  const StackedLinearPhysics stack({identity(), wide});
  try {
    stack.A_adjoint({random({2, 3}), random({2, 3})});
    FAIL() << "no error";
  } catch (const OperatorFailure& failure) {
    EXPECT_EQ(failure.index, 1);
    EXPECT_STREQ(failure.what(), "its image must have the shape of operator 0's, [2, 3], got [2, 1]");
  }
}

TEST(StackedLinearPhysics, RefusesWrongCountsAndNullOperators) {
  const StackedLinearPhysics stack({identity(), identity(), identity()});
  const at::Tensor x = random({2, 3});
  EXPECT_EQ(message_of([&] { stack.A_adjoint({x, x}); }),
            "A_adjoint: y must hold 3 tensors, one for each operator, got 2");
  EXPECT_EQ(message_of([&] { stack.A_dagger({x, x, x, x}); }),
            "A_dagger: y must hold 3 tensors, one for each operator, got 4");
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { stack.A_vjp(x, {x}); }, [&] { stack.A_A_adjoint({x}); }, [&] { stack.prox_l2(x, {x}, 1.0); },
           [&] { stack.A_adjoint_each({x}); }, [&] { stack.A_dagger_mean({x}); }, [&] { stack.A({}); },
           [&] { stack.A_adjoint_A({}); }, [&] { stack.compute_sqnorm({}); }}) {
    EXPECT_THROW(call(), InvalidArgument);
  }
  EXPECT_EQ(message_of([] { StackedLinearPhysics({identity(), nullptr}); }),
            "operators: entry 1 must be an operator, got a null pointer");
  EXPECT_THROW(StackedPhysics({nullptr}), InvalidArgument);
}

TEST(StackedLinearPhysics, ReductionsAreReadFromTheirNames) {
  EXPECT_EQ(reduction_from_string("sum"), Reduction::sum);
  EXPECT_EQ(reduction_from_string("mean"), Reduction::mean);
  EXPECT_EQ(to_string(Reduction::mean), "mean");
  EXPECT_EQ(message_of([] { reduction_from_string("max"); }), "reduction: must be sum or mean, got 'max'");
}

TEST(StackedPhysics, StacksNonlinearModels) {
  const PhysicsPtr squares = make_nonlinear_function([](const at::Tensor& x) { return x * x; });
  const PhysicsPtr cubes = make_nonlinear_function([](const at::Tensor& x) { return x * x * x; });
  const StackedPhysics stack({squares, cubes});
  const at::Tensor x = random({2, 3});
  const at::Tensor v = random({2, 3}, at::kDouble, 1);
  expect_close(stack.A(x), TensorList{x * x, x * x * x}, 1e-14);
  expect_close(stack.A_vjp(x, {v, v}), 2 * x * v + 3 * x * x * v, 1e-14);
  cubes->set_noise([](const at::Tensor& y) { return y + 1; });
  expect_close(stack.forward(x), TensorList{x * x, x * x * x + 1}, 1e-14);
  EXPECT_THROW(stack.A_vjp(x, {v}), InvalidArgument);
  EXPECT_THROW(stack.A({}), OperatorFailure);
}

}  // namespace adjoin::stacked_test
