// SPDX-License-Identifier: BSD-3-Clause
// What the operators of a stack cost, so that they can be spread evenly.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "adjoin/distributed/stacked_physics.hpp"

namespace adjoin {

/// Seconds that A_adjoint_A and adding up its result take for each operator on an image like `x`, by global index and
/// equal on every rank: the costs to hand to a stack's options. Every operator is made, applied once and then timed by
/// the rank that owns it under round robin. Collective; what the factory, an operator or an argument throws on one rank
/// is thrown on every rank as RankFailure.
std::vector<double> measure_costs(DistributedContext& context, std::int64_t num_operators,
                                  const PhysicsFactory& factory, const at::Tensor& x,
                                  const DistributedOptions& options = {});

}  // namespace adjoin
