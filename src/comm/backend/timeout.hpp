// SPDX-License-Identifier: BSD-3-Clause
// How long ranks wait for each other.
#pragma once

#include <chrono>
#include <optional>

namespace adjoin {

/// `option`, or what ADJOIN_TIMEOUT says in the environment, in seconds, or none. Throws InvalidArgument naming
/// `method` unless it is positive.
std::optional<std::chrono::milliseconds> chosen_timeout(const char* method,
                                                        std::optional<std::chrono::milliseconds> option);

}  // namespace adjoin
