// SPDX-License-Identifier: BSD-3-Clause
// Complex operators take real images: their own adjoint is complex, that in the space of real images its real part.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>
#include <vector>

#include "operators/specimens.hpp"

namespace adjoin::real_images_test {
namespace {

using specimens::drawn;

struct Case {
  std::vector<LinearPhysicsPtr> operators;  // a stack
  at::Tensor x;
};

std::vector<Case> cases() {
  const auto complex = [](at::IntArrayRef sizes, std::uint64_t seed) { return drawn(sizes, seed, at::kComplexDouble); };
  return {
      {{std::make_shared<Matrix>(complex({7, 4}, 1)), std::make_shared<Matrix>(complex({3, 4}, 2))}, drawn({2, 4}, 3)},
      {{std::make_shared<Diagonal>(complex({6, 5}, 1)), std::make_shared<Diagonal>(complex({5}, 2))},
       drawn({1, 2, 6, 5}, 3)},
      {{std::make_shared<Blur>(complex({1, 1, 3, 3}, 1), BlurOptions{.padding = Padding::Circular}),
        std::make_shared<Blur>(complex({1, 1, 2, 3}, 2), BlurOptions{.padding = Padding::Circular})},
       drawn({1, 2, 9, 8}, 3)},
      {{std::make_shared<Blur>(complex({1, 1, 3, 3}, 1))}, drawn({1, 2, 9, 8}, 3)},
      {{std::make_shared<Downsampling>(complex({1, 1, 3, 3}, 1))}, drawn({1, 2, 9, 8}, 3)},
      {{std::make_shared<MultiCoilMRI>(at::Tensor(), complex({2, 6, 5}, 1)),
        std::make_shared<MultiCoilMRI>(drawn({6, 5}, 2), complex({1, 6, 5}, 4))},
       drawn({2, 1, 6, 5}, 3)},
      {{c10::complex<double>(0.5, 2.0) * std::make_shared<Diagonal>(3.0)}, drawn({1, 2, 6, 5}, 3)},
  };
}

TEST(RealImages, AreTakenByComplexOperators) {
  for (const Case& c : cases()) {
    const LinearPhysics& op = *c.operators[0];
    SCOPED_TRACE(op.name());
    const at::Tensor z = c.x.to(at::kComplexDouble);
    const at::Tensor y = op.A(c.x);
    EXPECT_TRUE(at::allclose(y, op.A(z)));
    EXPECT_TRUE(at::allclose(op.A_adjoint_A(c.x).to(at::kComplexDouble), op.A_adjoint_A(z)));
    EXPECT_TRUE(at::allclose(op.A_adjoint_for(y, c.x), op.A_adjoint_for(y, z)));
    EXPECT_TRUE(at::allclose(op.A_vjp(c.x, y), at::real(op.A_vjp(z, y))));
    EXPECT_LT(op.adjointness_test(c.x), 1e-12);
    const at::Tensor leaf = c.x.clone().requires_grad_();
    EXPECT_TRUE(at::allclose(torch::autograd::grad({op.A(leaf)}, {leaf}, {y})[0], op.A_vjp(c.x, y)));
  }
}

TEST(RealImages, SolutionsAndNormsStayAmongThem) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.operators[0]->name());
    // The dense matrix of the stack over the real numbers: real and imaginary parts are rows of their own.
    const StackedLinearPhysics stack(c.operators);
    const at::Tensor one = c.x.narrow(0, 0, 1);
    std::vector<at::Tensor> columns;
    const at::Tensor basis = at::eye(one.numel(), at::kDouble);
    for (std::int64_t i = 0; i < one.numel(); ++i) {
      std::vector<at::Tensor> column;
      for (const at::Tensor& y : stack.A(basis[i].view(one.sizes()))) {
        column.push_back(at::view_as_real(y.resolve_conj()).flatten());
      }
      columns.push_back(at::cat(column));
    }
    const at::Tensor M = at::stack(columns, 1);
    const double largest = at::linalg_svdvals(M).max().item<double>();
    EXPECT_NEAR(stack.compute_sqnorm(one, {.max_iter = 200, .tol = 1e-10}), largest * largest,
                1e-6 * largest * largest);
    const TensorList y = stack.A(one + 1.0);
    std::vector<at::Tensor> flat;
    for (const at::Tensor& entry : y) {
      flat.push_back(at::view_as_real(entry.resolve_conj()).flatten());
    }
    const at::Tensor H = at::matmul(M.t(), M) + at::eye(one.numel(), at::kDouble);
    const at::Tensor b = at::matmul(M.t(), at::cat(flat)) + one.flatten();
    const at::Tensor expected = at::linalg_solve(H, b.unsqueeze(1)).view(one.sizes());
    for (const Solver solver : {Solver::CG, Solver::LSQR, Solver::MINRES}) {
      const at::Tensor x = stack.prox_l2(one, y, 1.0, {.solver = solver, .max_iter = 500, .tol = 1e-12});
      EXPECT_EQ(x.scalar_type(), at::kDouble);
      EXPECT_TRUE(at::allclose(x, expected, 1e-6, 1e-6)) << to_string(solver);
    }
  }
}

}  // namespace
}  // namespace adjoin::real_images_test
