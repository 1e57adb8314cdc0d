// SPDX-License-Identifier: BSD-3-Clause
// How ranks use the memory of their node; the same settings for every engine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace adjoin {

/// Where contributions and results of host memory lie that ranks of a node combine.
enum class Sharing : std::uint8_t {
  automatic,  ///< the quicker of the next two, which is measured once, at the first large collective
  in_place,   ///< where the other ranks see them
  in_pieces,  ///< in memory of each rank's own, from which they go through a window
  off         ///< in memory of each rank's own; all goes through the engine
};

/// How ranks write to memory that others have read.
enum class Stores : std::uint8_t {
  automatic,  ///< the quicker of the next two, which is measured once for writes of about one size
  cached,
  streamed  ///< past the caches
};

/// The same on every rank. Where any rank cannot see the memory of another one, none uses it.
struct SharedMemoryOptions {
  Sharing sharing = Sharing::automatic;
  Stores stores = Stores::automatic;
};

/// Throws InvalidArgument naming the choices.
Sharing sharing_from_string(std::string_view name);
std::string_view to_string(Sharing sharing);
std::string_view to_string(Stores stores);

/// `options` with what they leave automatic taken from the environment, where ADJOIN_SHARED_MEMORY and ADJOIN_STORES
/// name a choice. Throws InvalidArgument where they name none.
SharedMemoryOptions with_environment(SharedMemoryOptions options);

}  // namespace adjoin
