// SPDX-License-Identifier: BSD-3-Clause
// The seconds that ADJOIN_TIMEOUT allows, read from the environment.
#include "comm/backend/timeout.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "adjoin/core/errors.hpp"

namespace adjoin {

std::optional<std::chrono::milliseconds> chosen_timeout(const char* method,
                                                        std::optional<std::chrono::milliseconds> option) {
  using std::chrono::milliseconds;
  constexpr double longest = 1e9;  // seconds
  if (option) {
    check(*option > milliseconds(0), method, ": timeout must be positive, got ", option->count(), " ms");
    return std::min(*option, milliseconds(static_cast<std::int64_t>(1e3 * longest)));
  }
  const char* const text = std::getenv("ADJOIN_TIMEOUT");
  if (text == nullptr || *text == '\0') {
    return std::nullopt;
  }
  char* end = nullptr;
  const double seconds = std::strtod(text, &end);
  check(*end == '\0' && seconds > 0.0, "ADJOIN_TIMEOUT: must be a positive number of seconds, got '", text, "'");
  return milliseconds(static_cast<std::int64_t>(std::ceil(1e3 * std::min(seconds, longest))));
}

}  // namespace adjoin
