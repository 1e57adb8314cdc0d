// SPDX-License-Identifier: BSD-3-Clause
// The coils of a scan, which are spread over the ranks: their noise made white, fewer of them made, their maps found.
#pragma once

#include <ATen/core/Tensor.h>

#include "adjoin/distributed/context.hpp"
#include "scan.hpp"

namespace adjoin {

/// Coil maps (coils, sets, image), the same on every rank: those of the options' file, or ESPIRiT's. `density` are the
/// weights of the samples of a trajectory. Where the file has noise, or the options ask for fewer coils, the scan's
/// coils become virtual ones. Collective.
at::Tensor prepare_coils(DistributedContext& context, const ReconOptions& options, const at::Tensor& density,
                         Scan& scan);

}  // namespace adjoin
