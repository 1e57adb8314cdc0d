// SPDX-License-Identifier: BSD-3-Clause
// The methods of `adjoin recon`: an image from the measurements of a stack of coils.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/models/denoiser.hpp"
#include "adjoin/optim/optimise.hpp"
#include "checkpoint.hpp"
#include "scan.hpp"

namespace adjoin {

/// The method of the options, with what they leave open.
struct Method {
  /// Throws InvalidArgument for a method that is not known, and options that it cannot take.
  explicit Method(const ReconOptions& options);

  bool is_least_squares() const { return name == "sense"; }

  std::string name;
  double lambda;
  int iterations;
  std::optional<Denoiser> denoiser;  // of plug-and-play
};

struct Solution {
  at::Tensor x;  // (1, sets, image)
  std::vector<IterationRecord> history;
};

/// The stack of one operator a coil, of which each rank has its own: images (1, sets, image) are seen by the maps
/// (coils, sets, image), the sets added up.
DistributedStackedLinearPhysics stack_of(DistributedContext& context, const Scan& scan, const at::Tensor& maps);

/// The image whose measurements are y, both in units in which its largest value is about 1. `normal`: ‖A x − y‖² by the
/// normal operator, which is quick along a trajectory. Goes on where `checkpoint` says. Collective.
Solution solve(DistributedContext& context, const Method& method, const DistributedStackedLinearPhysics& stack,
               const ShardedTensorList& y, const at::Tensor& like, bool normal, const Checkpoint& checkpoint);

}  // namespace adjoin
