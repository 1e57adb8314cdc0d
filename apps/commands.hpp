// The subcommands of the program `adjoin`. Each is collective over the ranks and returns an exit status.
#pragma once

#include "adjoin/distributed/context.hpp"

namespace adjoin {

/// Prints versions, and the engine, host and device of each rank; as JSON when asked.
int info(const DistributedContext& context, bool json);

/// Prints how many messages and bytes each method, and an iteration of each solver, sends in the steady state; as JSON
/// when asked.
int messages(DistributedContext& context, bool json);

}  // namespace adjoin
