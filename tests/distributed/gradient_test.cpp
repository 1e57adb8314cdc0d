// SPDX-License-Identifier: BSD-3-Clause
// Gradients through collective calls equal those of the dense matrix, at every rank count.
#include <torch/csrc/autograd/autograd.h>

#include "distributed/support.hpp"

namespace adjoin::test::gradient_test {
namespace {

constexpr std::int64_t n = 5;

class Gradients : public testing::TestWithParam<std::tuple<at::ScalarType, Reduction>> {
 protected:
  at::Tensor weights(std::size_t i) const { return random_tensor({2, rows(i)}, dtype, 70 + i); }
  static std::int64_t rows(std::size_t i) { return 3 + 2 * (static_cast<std::int64_t>(i) % 4); }

  // A real number that depends on every measurement, nonlinearly.
  at::Tensor loss(const TensorList& y) const {
    at::Tensor total = at::zeros({}, at::kDouble);
    for (std::size_t i = 0; i < y.size(); ++i) {
      total = total + at::real((y[i] * y[i].conj() * weights(i)).sum());
    }
    return total;
  }

  at::Tensor loss(const at::Tensor& image) const {
    return at::real((image * image.conj() * random_tensor({2, 2, 3, 4}, dtype, 90)).sum());
  }

  static at::Tensor gradient(const at::Tensor& value, const at::Tensor& of) {
    return torch::autograd::grad({value}, {of})[0];
  }

  at::ScalarType dtype = std::get<0>(GetParam());
  Reduction reduction = std::get<1>(GetParam());
  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(dtype), {.reduction = reduction}};
  StackedLinearPhysics reference = twin(n, dtype, reduction);
  at::Tensor x = random_image(dtype, 1, 2).requires_grad_();
};

TEST_P(Gradients, OfAReachTheImage) {
  expect_near(gradient(loss(stack.A(x)), x), gradient(loss(reference.A(x)), x), 1e-12);
}

TEST_P(Gradients, OfForwardReachTheImage) {
  expect_near(gradient(loss(stack.forward(x)), x), gradient(loss(reference.A(x)), x), 1e-12);
}

TEST_P(Gradients, OfTheNormalOperatorReachTheImage) {
  expect_near(gradient(loss(stack.A_adjoint_A(x)), x), gradient(loss(reference.A_adjoint_A(x)), x), 1e-12);
}

TEST_P(Gradients, OfTheAdjointReachReplicatedMeasurementsOnEveryRank) {
  TensorList y;
  for (std::size_t i = 0; i < n; ++i) {
    y.push_back(weights(i).clone().requires_grad_());
  }
  const auto ours = torch::autograd::grad({loss(stack.A_adjoint(y))}, y.tensors());
  const auto expected = torch::autograd::grad({loss(reference.A_adjoint(y))}, y.tensors());
  expect_near(TensorList(ours), TensorList(expected), 1e-12);
}

TEST_P(Gradients, OfTheAdjointReachTheOwnedPartWithoutMessages) {
  TensorList y;
  for (std::size_t i = 0; i < n; ++i) {
    y.push_back(weights(i).clone().requires_grad_());
  }
  const TensorList part = part_of(y, stack.local_indices());
  const at::Tensor value = loss(stack.A_adjoint(stack.shard(part)));
  context.communicator().reset_counters();
  const auto ours = part.empty() ? std::vector<at::Tensor>{} : torch::autograd::grad({value}, part.tensors());
  EXPECT_EQ(context.communicator().counters().collectives, 0);
  const auto expected = torch::autograd::grad({loss(reference.A_adjoint(y))}, y.tensors());
  expect_near(TensorList(ours), part_of(TensorList(expected), stack.local_indices()), 1e-12);
}

TEST_P(Gradients, OfACompositionReachTheImage) {
  const auto chain = [&](const auto& A) { return loss(A.A_adjoint(A.A_A_adjoint(A.A(x)))); };
  expect_near(gradient(chain(stack), x), gradient(chain(reference), x), 1e-12);
}

TEST_P(Gradients, OfAReducedSumReachTheImage) {
  const DistributedStackedLinearPhysics same(context, n, [&](std::int64_t index, at::Device, const Params&) {
    return std::make_shared<Matrix>(matrix_of(4 * index, dtype), image_shape);
  });
  const auto square = [](const at::Tensor& y) { return at::real((y * y.conj()).sum()); };
  at::Tensor mean = at::zeros({2, 3}, dtype);
  for (std::int64_t i = 0; i < n; ++i) {
    mean = mean + at::matmul(x.reshape({2, image_size}), matrix_of(4 * i, dtype).t()) / static_cast<double>(n);
  }
  expect_near(same.A_reduced(x, Reduction::mean), mean, 1e-12);
  expect_near(gradient(square(same.A_reduced(x, Reduction::mean)), x), gradient(square(mean), x), 1e-12);
}

TEST_P(Gradients, OfGradientsReachTheImage) {
  const auto second = [&](const auto& A) {
    const at::Tensor first = torch::autograd::grad({loss(A.A_adjoint_A(x))}, {x}, {}, {}, /*create_graph=*/true)[0];
    return gradient(loss(first), x);
  };
  expect_near(second(stack), second(reference), 1e-11);
}

std::string gradient_case(const testing::TestParamInfo<Gradients::ParamType>& test) {
  return std::string(c10::toString(std::get<0>(test.param))) + "_" + std::string(to_string(std::get<1>(test.param)));
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Gradients,
                         testing::Combine(testing::Values(at::kDouble, at::kComplexDouble),
                                          testing::Values(Reduction::sum, Reduction::mean)),
                         gradient_case);

}  // namespace
}  // namespace adjoin::test::gradient_test
