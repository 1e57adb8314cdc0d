// SPDX-License-Identifier: BSD-3-Clause
// Settings written out as text, which is how ranks find that they differ.
#include "comm/backend/settings.hpp"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <exception>

#include "adjoin/core/errors.hpp"
#include "comm/backend/timeout.hpp"

namespace adjoin {

namespace {

constexpr char valid = '+';
constexpr char invalid = '-';

}  // namespace

Settings chosen_settings(const char* method, const SharedMemoryOptions& shared_memory,
                         std::optional<std::chrono::milliseconds> timeout) noexcept {
  Settings settings;
  try {
    settings.shared_memory = with_environment(shared_memory);
    settings.timeout = chosen_timeout(method, timeout);
    const std::string seconds =
        settings.timeout ? c10::str(static_cast<double>(settings.timeout->count()) / 1e3, " s") : "of the backend";
    settings.text = c10::str("shared memory ", to_string(settings.shared_memory.sharing), ", stores ",
                             to_string(settings.shared_memory.stores), ", timeout ", seconds);
  } catch (const std::exception& error) {
    settings.is_valid = false;
    settings.text = error.what();
  }
  return settings;
}

std::string to_message(const Settings& settings) { return (settings.is_valid ? valid : invalid) + settings.text; }

void check_settings(const char* method, const std::vector<std::string>& messages) {
  const auto wrong = std::ranges::find_if(messages, [](const std::string& m) { return m.empty() || m[0] != valid; });
  if (wrong != messages.end()) {
    const std::string reason = wrong->substr(std::min<std::size_t>(1, wrong->size()));
    throw InvalidArgument(messages.size() == 1 ? reason : c10::str("rank ", wrong - messages.begin(), ": ", reason));
  }
  for (std::size_t r = 1; r < messages.size(); ++r) {
    check(messages[r] == messages[0], method, ": settings must be equal on every rank, got ", messages[r].substr(1),
          " on rank ", r, " and ", messages[0].substr(1), " on rank 0");
  }
}

}  // namespace adjoin
