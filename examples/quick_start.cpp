// SPDX-License-Identifier: BSD-3-Clause
// Three blurred views of an image, spread over the ranks of mpirun, and the image that explains them all.
#include <ATen/ATen.h>
#include <iostream>

#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"

int main() {
  adjoin::DistributedContext context;  // finds MPI, or runs alone
  adjoin::DistributedStackedLinearPhysics stack(context, 3, [](auto index, auto /*device*/, auto& /*shared*/) {
    const double sigma = 0.5 + 0.25 * static_cast<double>(index);
    return std::make_shared<adjoin::Blur>(adjoin::gaussian_kernel({sigma, sigma}),
                                          adjoin::BlurOptions{.padding = adjoin::Padding::Circular});
  });
  at::manual_seed(0);
  const at::Tensor x = at::rand({1, 1, 64, 64});
  const auto y = stack.A_sharded(x);  // each rank keeps the views that it made
  const at::Tensor estimate = stack.A_dagger(y, {.solver = adjoin::Solver::LSQR, .max_iter = 50, .local_only = false});
  const double error = (estimate - x).abs().max().item<double>();
  if (context.rank() == 0) {
    std::cout << "largest error: " << error << '\n';
  }
  return error < 1e-2 ? 0 : 1;
}
