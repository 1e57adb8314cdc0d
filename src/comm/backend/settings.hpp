// SPDX-License-Identifier: BSD-3-Clause
// What ranks that make a communicator together must have chosen alike.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/comm/shared_memory.hpp"

namespace adjoin {

/// Options completed from the environment of this process.
struct Settings {
  SharedMemoryOptions shared_memory;
  /// None where neither an option nor ADJOIN_TIMEOUT says it.
  std::optional<std::chrono::milliseconds> timeout;
  /// All of it, to be compared; or, where an option or a variable is wrong, what is wrong.
  std::string text;
  bool is_valid = true;
};

/// Never throws: ranks that meet to make a communicator tell each other what is wrong.
Settings chosen_settings(const char* method, const SharedMemoryOptions& shared_memory,
                         std::optional<std::chrono::milliseconds> timeout) noexcept;

/// Of `settings`, for the other ranks.
std::string to_message(const Settings& settings);
/// Throws InvalidArgument, one error on all ranks, unless the messages of all are valid and equal.
void check_settings(const char* method, const std::vector<std::string>& messages);

}  // namespace adjoin
