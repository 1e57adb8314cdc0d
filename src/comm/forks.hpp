// SPDX-License-Identifier: BSD-3-Clause
// Processes that are forked from a rank have copies of all that it has, and must not act in its place.
#pragma once

#include <cstdint>

namespace adjoin {

/// How often the process has been forked from another one since the first call of this in the line of its ancestors.
/// What was made at another number belongs to an ancestor.
std::uint64_t forks();

}  // namespace adjoin
