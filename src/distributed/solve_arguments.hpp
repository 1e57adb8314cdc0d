// SPDX-License-Identifier: BSD-3-Clause
// What of calls on sharded images, and of the options of solves, all ranks must have in common.
#pragma once

#include <c10/util/StringUtil.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/distributed/exchange/call_arguments.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// All but the start.
inline CallArguments solve_arguments(const DaggerOptions& options) {
  CallArguments arguments;
  arguments.add("solver", to_string(options.solver))
      .add("max_iter", options.max_iter)
      .add("tol", options.tol)
      .add("monitor", std::string_view(options.monitor ? "given" : "none"));
  return arguments;
}

/// How an image is cut.
inline std::string described(const ShardedImage& x) {
  return x.defined() && x.space != nullptr ? c10::str(x.scalar_type(), " ", x.space->text()) : "none";
}

/// The axis that is to be cut.
inline std::string described(std::optional<std::int64_t> axis) { return axis ? std::to_string(*axis) : "none"; }

}  // namespace adjoin
