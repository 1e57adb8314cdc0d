// SPDX-License-Identifier: BSD-3-Clause
// Operators of any size that their dtype holds: the normal operator, whose factors are squares, makes of an image what
// A and then Aᵀ make of it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "adjoin/operators/filter_bank.hpp"
#include "specimens.hpp"

namespace adjoin::scales_test {
namespace {

using specimens::drawn;

struct Kind {
  std::string name;
  /// Operator i, `scale` times as large as it is for 1.
  std::function<LinearPhysicsPtr(std::uint64_t i, double scale, at::ScalarType dtype)> make;
  std::vector<std::int64_t> image;
};

std::vector<Kind> kinds() {
  return {{"Matrix",
           [](std::uint64_t i, double scale, at::ScalarType dtype) {
             return std::make_shared<Matrix>((scale * drawn({9, 6}, 10 + i)).to(dtype));
           },
           {2, 6}},
          {"Blur",
           [](std::uint64_t i, double scale, at::ScalarType dtype) {
             return std::make_shared<Blur>((scale * drawn({1, 1, 9, 9}, 10 + i)).to(dtype),
                                           BlurOptions{.padding = Padding::Circular, .method = ConvolutionMethod::Fft});
           },
           {2, 2, 32, 32}},
          {"FilterBank",
           [](std::uint64_t i, double scale, at::ScalarType dtype) {
             return std::make_shared<FilterBank>(
                 (scale * drawn({2, 1, 9, 9}, 10 + i)).to(dtype),
                 BlurOptions{.padding = Padding::Circular, .method = ConvolutionMethod::Fft});
           },
           {2, 1, 32, 32}},
          {"Diagonal",
           [](std::uint64_t i, double scale, at::ScalarType dtype) {
             return std::make_shared<Diagonal>((scale * drawn({6, 5}, 10 + i)).to(dtype));
           },
           {2, 1, 6, 5}},
          {"MultiCoilMRI, of the maps",
           [](std::uint64_t i, double scale, at::ScalarType dtype) {
             return std::make_shared<MultiCoilMRI>(
                 (drawn({8, 6}, 3) > 0).to(dtype),
                 (scale * drawn({1, 2, 8, 6}, 10 + i, at::kComplexDouble)).to(c10::toComplexType(dtype)));
           },
           {2, 2, 8, 6}},
          {"MultiCoilMRI, of the mask",
           [](std::uint64_t i, double scale, at::ScalarType dtype) {
             return std::make_shared<MultiCoilMRI>(
                 (scale * drawn({8, 6}, 3)).to(dtype),
                 drawn({1, 2, 8, 6}, 10 + i, at::kComplexDouble).to(c10::toComplexType(dtype)));
           },
           {2, 2, 8, 6}},
          {"a multiple of an operator",
           [](std::uint64_t i, double scale, at::ScalarType dtype) {
             return adjoin::scale(scale, std::make_shared<Matrix>(drawn({9, 6}, 10 + i).to(dtype)));
           },
           {2, 6}}};
}

void expect_same(const at::Tensor& a, const at::Tensor& b, double tol) {
  EXPECT_LE(adjoin::norm(a.to(at::kDouble) - b), tol * adjoin::norm(b));
}

TEST(Scales, NormalOperatorsAreThoseOfTheOperators) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const bool single = dtype == at::kFloat;
    const double tol = single ? 1e-5 : 1e-12;
    const std::vector<double> scales = single ? std::vector<double>{1e-30, 1e-22, 1e-12, 1e12, 1e20, 1e30}
                                              : std::vector<double>{1e-150, 1e-100, 1e-30, 1e30, 1e100, 1e150};
    for (const Kind& kind : kinds()) {
      const at::Tensor x = drawn(kind.image, 1);
      std::vector<LinearPhysicsPtr> plain;
      for (std::uint64_t i = 0; i < 3; ++i) {
        plain.push_back(kind.make(i, 1.0, at::kDouble));
      }
      const StackedLinearPhysics reference(plain);
      const at::Tensor expected = reference.A_adjoint_A(x);
      const at::Tensor expected_of_one = plain[0]->A_adjoint_A(x);
      const TensorList weights = {at::scalar_tensor(2.0), at::scalar_tensor(0.5), at::scalar_tensor(3.0)};
      const at::Tensor expected_weighted = reference.A_adjoint_W_A(x, weights);
      const double norm = reference.compute_sqnorm(x, {.max_iter = 200, .tol = 1e-8});
      for (const double scale : scales) {
        SCOPED_TRACE(c10::str(kind.name, " of ", dtype, ", ", scale));
        std::vector<LinearPhysicsPtr> operators;
        for (std::uint64_t i = 0; i < 3; ++i) {
          operators.push_back(kind.make(i, scale, dtype));
        }
        const StackedLinearPhysics stack(operators);
        // A x is of order 1, and AᵀA x of that of A.
        const at::Tensor image = (x / scale).to(dtype);
        expect_same(operators[0]->A_adjoint_A(image).to(at::kDouble) / scale, expected_of_one, tol);
        expect_same(stack.A_adjoint_A(image).to(at::kDouble) / scale, expected, tol);
        expect_same(stack.A_adjoint_W_A(image, weights).to(at::kDouble) / scale, expected_weighted, tol);
        EXPECT_NEAR(stack.compute_sqnorm(image, {.max_iter = 200, .tol = 1e-8}) / scale / scale, norm, 1e-4 * norm);
      }
    }
  }
}

}  // namespace
}  // namespace adjoin::scales_test
