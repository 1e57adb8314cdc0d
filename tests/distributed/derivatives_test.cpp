// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of every call, of first and second order, backwards and forwards, against those of dense matrices that
// torch follows by itself.
#include "distributed/derivatives.hpp"
#include "adjoin/distributed/local_sum.hpp"
#include "adjoin/distributed/processing.hpp"
#include "adjoin/operators/function.hpp"

namespace adjoin::test::derivatives_test {
namespace {

constexpr std::int64_t n = 5;

at::Tensor times(const at::Tensor& x, const at::Tensor& matrix) {
  return at::matmul(x.reshape({x.size(0), image_size}), matrix.t());
}
at::Tensor times_adjoint(const at::Tensor& y, const at::Tensor& matrix) {
  return at::matmul(y, matrix.conj()).reshape({y.size(0), 2, 3, 4});
}

class Derivatives : public testing::TestWithParam<std::tuple<at::ScalarType, Reduction>> {
 protected:
  at::ScalarType dtype = std::get<0>(GetParam());
  Reduction reduction = std::get<1>(GetParam());
  double weight = reduction == Reduction::mean ? 1.0 / n : 1.0;
  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(dtype), {.reduction = reduction}};
  at::Tensor x = random_image(dtype, 1, 2);

  TensorList dense_A(const at::Tensor& image) const {
    TensorList y;
    for (std::int64_t i = 0; i < n; ++i) {
      y.push_back(times(image, matrix_of(i, dtype)));
    }
    return y;
  }
  at::Tensor dense_adjoint(const TensorList& y) const {
    at::Tensor sum = at::zeros_like(x);
    for (std::int64_t i = 0; i < n; ++i) {
      sum = sum + times_adjoint(y[static_cast<std::size_t>(i)], matrix_of(i, dtype)) * weight;
    }
    return sum;
  }
  at::Tensor dense_normal(const at::Tensor& image) const { return dense_adjoint(dense_A(image)); }
  // All measurements from one image, nonlinearly.
  TensorList measurements(const at::Tensor& image) const {
    TensorList y;
    for (std::int64_t i = 0; i < n; ++i) {
      y.push_back((image * image).reshape({2, image_size}).narrow(1, i, 3 + 2 * (i % 4)));
    }
    return y;
  }
  // H⁻¹ (z + γ A* y) by a dense solve.
  at::Tensor dense_prox(const at::Tensor& z, const TensorList& y, const at::Tensor& gamma) const {
    const at::Tensor rows = dense_stack(n, dtype);
    const at::Tensor normal = at::matmul(rows.conj().t(), rows) * weight;
    const at::Tensor g = gamma.to(c10::toRealValueType(dtype)).reshape({-1, 1, 1});
    const at::Tensor H = normal * g + at::eye(image_size, normal.options());
    const at::Tensor right = (z + dense_adjoint(y) * g.unsqueeze(3)).reshape({2, image_size, 1});
    return at::matmul(at::linalg_inv(H), right).reshape({2, 2, 3, 4});
  }
  at::Tensor dense_dagger(const TensorList& y) const {
    return at::matmul(at::cat(y.tensors(), 1), at::linalg_pinv(dense_stack(n, dtype)).t()).reshape({2, 2, 3, 4});
  }
  DaggerOptions precise() const { return {.max_iter = 300, .tol = 1e-13}; }
};

TEST_P(Derivatives, OfMeasurementsAndSums) {
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A(t)); },
                           [&](const auto& t) { return cubes(dense_A(t)); }, x, 1e-11, "A");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.forward(t)); },
                           [&](const auto& t) { return cubes(dense_A(t)); }, x, 1e-11, "forward");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_adjoint_A(t)); },
                           [&](const auto& t) { return cubes(dense_normal(t)); }, x, 1e-11, "A_adjoint_A");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_adjoint(measurements(t))); },
                           [&](const auto& t) { return cubes(dense_adjoint(measurements(t))); }, x, 1e-11, "A_adjoint");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_vjp(x, measurements(t))); },
                           [&](const auto& t) { return cubes(dense_adjoint(measurements(t))); }, x, 1e-11, "A_vjp");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_A_adjoint(measurements(t))); },
                           [&](const auto& t) { return cubes(dense_A(dense_adjoint(measurements(t)))); }, x, 1e-11,
                           "A_A_adjoint");
}

TEST_P(Derivatives, OfTermsByThemselves) {
  const auto each = [&](const TensorList& y) {
    TensorList terms;
    for (std::int64_t i = 0; i < n; ++i) {
      terms.push_back(times_adjoint(y[static_cast<std::size_t>(i)], matrix_of(i, dtype)));
    }
    return terms;
  };
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_adjoint_each(measurements(t))); },
                           [&](const auto& t) { return cubes(each(measurements(t))); }, x, 1e-11, "A_adjoint_each");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_adjoint_A_each(t)); },
                           [&](const auto& t) { return cubes(each(dense_A(t))); }, x, 1e-11, "A_adjoint_A_each");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_vjp_each(t, measurements(t))); },
                           [&](const auto& t) { return cubes(each(measurements(t))); }, x, 1e-11, "A_vjp_each");
}

// Gradients of one rank's own measurements are its own: the sum over the ranks is that of one process.
TEST_P(Derivatives, OfOwnedMeasurementsStayOnTheirRank) {
  const auto expect_sums = [&](const RealFunction& ours, const RealFunction& dense, const std::string& what) {
    expect_near(sum_over_ranks(context.communicator(), gradient_of(ours, x), x), gradient_of(dense, x), 1e-11, what);
  };
  const auto owned = [&](const at::Tensor& t) { return part_of(measurements(t), stack.local_indices()); };
  expect_sums([&](const auto& t) { return cubes(stack.gather(stack.shard(owned(t)))); },
              [&](const auto& t) { return cubes(measurements(t)); }, "gather");
  expect_sums([&](const auto& t) { return cubes(stack.A_adjoint(stack.shard(owned(t)))); },
              [&](const auto& t) { return cubes(dense_adjoint(measurements(t))); }, "A_adjoint");
}

TEST_P(Derivatives, OfSomeEntriesOfAList) {
  const TensorList fixed = measurements(random_image(dtype, 3, 2));
  for (const std::vector<std::size_t>& chosen : {std::vector<std::size_t>{1}, {0, 3}, {2, 3, 4}}) {
    const auto some = [&](const at::Tensor& t) {
      TensorList y = fixed;
      for (const std::size_t i : chosen) {
        y[i] = measurements(t)[i];
      }
      return y;
    };
    expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_adjoint(some(t))); },
                             [&](const auto& t) { return cubes(dense_adjoint(some(t))); }, x, 1e-11, "A_adjoint");
    expect_equal_derivatives(
        [&](const auto& t) { return cubes(stack.A_adjoint_each(some(t))); },
        [&](const auto& t) {
          TensorList terms;
          for (std::int64_t i = 0; i < n; ++i) {
            terms.push_back(times_adjoint(some(t)[static_cast<std::size_t>(i)], matrix_of(i, dtype)));
          }
          return cubes(terms);
        },
        x, 1e-11, "A_adjoint_each");
  }
}

TEST_P(Derivatives, OfProximalStepsByTheImplicitFunctionTheorem) {
  const at::Tensor gamma = at::tensor({0.3, 0.9}, at::kDouble);
  const TensorList y = measurements(x);
  const at::Tensor z = random_image(dtype, 2, 2);
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.prox_l2(t, y, gamma, precise())); },
                           [&](const auto& t) { return cubes(dense_prox(t, y, gamma)); }, z, 1e-8, "z");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.prox_l2(z, measurements(t), gamma, precise())); },
                           [&](const auto& t) { return cubes(dense_prox(z, measurements(t), gamma)); }, x, 1e-8, "y");
  expect_equal_derivatives([&](const auto& g) { return cubes(stack.prox_l2(z, y, g, precise())); },
                           [&](const auto& g) { return cubes(dense_prox(z, y, g)); }, gamma, 1e-8, "gamma");
}

TEST_P(Derivatives, OfPseudoinversesByTheImplicitFunctionTheorem) {
  const auto dagger = [&](const TensorList& y) {
    return stack.A_dagger(y, {.max_iter = 500, .tol = 1e-13, .local_only = false});
  };
  expect_equal_derivatives([&](const auto& t) { return cubes(dagger(measurements(t))); },
                           [&](const auto& t) { return cubes(dense_dagger(measurements(t))); }, x, 1e-6, "y");
}

TEST_P(Derivatives, AreTangentsInForwardMode) {
  const TensorList y = measurements(x);
  const at::Tensor gamma = at::tensor({0.3, 0.9}, at::kDouble);
  const auto expect_equal = [&](const RealFunction& ours, const RealFunction& dense, double tolerance,
                                const std::string& what) { expect_equal_tangents(ours, dense, x, tolerance, what); };
  expect_equal([&](const auto& t) { return cubes(stack.A(t)); }, [&](const auto& t) { return cubes(dense_A(t)); },
               1e-11, "A");
  expect_equal([&](const auto& t) { return cubes(stack.forward(t)); }, [&](const auto& t) { return cubes(dense_A(t)); },
               1e-11, "forward");
  expect_equal([&](const auto& t) { return stack.A_adjoint_A(t); }, [&](const auto& t) { return dense_normal(t); },
               1e-11, "A_adjoint_A");
  expect_equal([&](const auto& t) { return stack.A_adjoint(measurements(t)); },
               [&](const auto& t) { return dense_adjoint(measurements(t)); }, 1e-11, "A_adjoint");
  expect_equal([&](const auto& t) { return cubes(stack.A_A_adjoint(measurements(t))); },
               [&](const auto& t) { return cubes(dense_A(dense_adjoint(measurements(t)))); }, 1e-11, "A_A_adjoint");
  expect_equal([&](const auto& t) { return cubes(stack.A_adjoint_A_each(t)[3]); },
               [&](const auto& t) { return cubes(times_adjoint(times(t, matrix_of(3, dtype)), matrix_of(3, dtype))); },
               1e-11, "A_adjoint_A_each");
  expect_equal([&](const auto& t) { return stack.prox_l2(t, measurements(t), gamma, precise()); },
               [&](const auto& t) { return dense_prox(t, measurements(t), gamma); }, 1e-8, "prox_l2");
  expect_equal_tangents([&](const auto& g) { return stack.prox_l2(x, y, g, precise()); },
                        [&](const auto& g) { return dense_prox(x, y, g); }, gamma, 1e-8, "prox_l2, gamma");
  expect_equal(
      [&](const auto& t) {
        return stack.A_dagger(measurements(t), {.max_iter = 500, .tol = 1e-13, .local_only = false});
      },
      [&](const auto& t) { return dense_dagger(measurements(t)); }, 1e-6, "A_dagger");
}

std::string derivatives_case(const testing::TestParamInfo<Derivatives::ParamType>& test) {
  return std::string(c10::toString(std::get<0>(test.param))) + "_" + std::string(to_string(std::get<1>(test.param)));
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Derivatives,
                         testing::Combine(testing::Values(at::kDouble, at::kComplexDouble),
                                          testing::Values(Reduction::sum, Reduction::mean)),
                         derivatives_case);

class Cubic : public Physics {
 public:
  explicit Cubic(double factor) : factor_(factor) {}
  std::string name() const override { return "Cubic"; }
  at::Tensor A_impl(const at::Tensor& x, const Params& /*params*/) const override { return factor_ * x * x * x; }

 private:
  double factor_;
};

TEST(NonlinearStacks, DifferentiateTwiceAndNoticeAChangedImage) {
  DistributedContext context;
  const DistributedStackedPhysics stack(context, 3,
                                        [](auto index, auto /*device*/, const auto& /*shared*/) -> PhysicsPtr {
                                          return std::make_shared<Cubic>(1.0 + static_cast<double>(index));
                                        });
  const at::Tensor x = random_tensor({2, 3}, at::kDouble, 1);
  const auto dense = [](const at::Tensor& t) {
    TensorList y;
    for (int i = 0; i < 3; ++i) {
      y.push_back((1.0 + i) * t * t * t);
    }
    return y;
  };
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A(t)); },
                           [&](const auto& t) { return cubes(dense(t)); }, x, 1e-11, "A");
  expect_equal_derivatives([&](const auto& t) { return cubes(stack.A_reduced(t, Reduction::mean)); },
                           [&](const auto& t) { return cubes(2.0 * t * t * t); }, x, 1e-11, "A_reduced");

  const at::Tensor leaf = x.clone().requires_grad_();
  for (const bool gather : {true, false}) {
    const at::Tensor z = leaf * 1.0;
    const TensorList y = stack.A(z, {.gather = gather});
    {
      const c10::NoGradGuard no_grad;
      z.mul_(10.0);
    }
    if (!y.empty()) {
      EXPECT_ANY_THROW((void)torch::autograd::grad({y[0].sum()}, {leaf}));
    }
  }
}

TEST(TilesAndSums, DifferentiateTwice) {
  DistributedContext context;
  const auto square = [](const at::Tensor& t) { return t * t; };
  const DistributedProcessing tiles(context, square, {.patch_size = {4}, .overlap = {1}});
  const at::Tensor image = random_tensor({1, 1, 8, 9}, at::kDouble, 1);
  expect_equal_derivatives([&](const auto& t) { return cubes(tiles(t)); }, [&](const auto& t) { return cubes(t * t); },
                           image, 1e-11, "tiles");
  const LocalSum sum(context, "a sum of powers", context.local_indices(4));
  const auto term = [&](std::size_t position, const Tensors& inputs) {
    const auto power = static_cast<double>(context.local_indices(4)[position] + 1);
    return cubes(inputs[0]) * power;
  };
  expect_equal_derivatives([&](const auto& t) { return sum(term, {t}); },
                           [&](const auto& t) { return cubes(t) * 10.0; }, image, 1e-11, "sum");
}

}  // namespace
}  // namespace adjoin::test::derivatives_test
