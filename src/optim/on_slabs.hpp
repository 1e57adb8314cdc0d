// SPDX-License-Identifier: BSD-3-Clause
// Runs of algorithms on slabs for a caller who has replicated images.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <optional>

#include "adjoin/optim/data_term.hpp"
#include "adjoin/optim/optimise.hpp"
#include "adjoin/optim/prior.hpp"

namespace adjoin {

using SolveProblem = c10::function_ref<OptimResult(const DataTerm& f, const Prior& g, const at::Tensor& x0,
                                                   const OptimOptions& options)>;

/// What `solve` finds of the problem on slabs, whole again, where the options want slabs; else none.
std::optional<OptimResult> on_slabs(const DataTerm& f, const Prior& g, const at::Tensor& x0,
                                    const OptimOptions& options, SolveProblem solve);

}  // namespace adjoin
