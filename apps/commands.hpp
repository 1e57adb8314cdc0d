// The subcommands of the program `adjoin`. Each is collective over the ranks and returns an exit status.
#pragma once

#include <cstdint>
#include <filesystem>

#include "adjoin/distributed/context.hpp"

namespace adjoin {

/// Prints versions, and the engine, host and device of each rank; as JSON when asked.
int info(const DistributedContext& context, bool json);

/// Prints how many messages and bytes each method, and an iteration of each solver, sends in the steady state; as JSON
/// when asked.
int messages(DistributedContext& context, bool json);

struct DemoOptions {
  std::filesystem::path image;
  /// Folder for the pictures and demo.json.
  std::filesystem::path out = "out";
  std::uint64_t seed = 0;
};

/// Blurs the picture `image` three ways with noise, checks the distributed stack against the single-process one, and
/// reconstructs. Returns 1 when the two stacks disagree.
int demo(DistributedContext& context, const DemoOptions& options);

}  // namespace adjoin
