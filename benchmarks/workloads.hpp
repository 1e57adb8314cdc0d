// SPDX-License-Identifier: BSD-3-Clause
// What is timed: stacks and an image each, the same that benchmarks/peers/ times other libraries on.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "adjoin/distributed/stacked_physics.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin::benchmark {

/// A pseudoinverse by a fixed number of iterations.
struct Solve {
  std::string name;
  Solver solver;
  int iterations;
};

struct Workload {
  std::string name;
  std::int64_t num_operators;
  PhysicsFactory factory;
  at::Tensor x;
  std::vector<Solve> solves = {};
  /// Iterations of Lanczos for the norm; none when 0.
  int norm_iterations = 0;
  /// Of single calls, and of solves.
  int repetitions = 21;
  int solve_repetitions = 3;
};

/// 8 scalings of a 1 x 1 x 16 x 16 image: the framework alone.
Workload tiny();
/// The same with an operator class of the user's own, which does not fuse.
Workload own();
/// 8 circular Gaussian blurs of a 1 x 3 x 512 x 512 image.
Workload blur();
/// 4 operators of 3 coils each, one mask, 256 x 256.
Workload mri();
/// 77 angles, an operator each, of a 256 x 256 image.
Workload tomography();
/// Blurs of the central part of a 1024 x 1024 image, of 64 x 64 to 1024 x 1024 pixels: unequal costs.
Workload unequal();

}  // namespace adjoin::benchmark
