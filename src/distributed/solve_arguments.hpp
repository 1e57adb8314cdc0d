// What of a solve's options all ranks must have in common.
#pragma once

#include <string_view>

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

}  // namespace adjoin
