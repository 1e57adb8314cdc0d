// SPDX-License-Identifier: BSD-3-Clause
// Lists of ranks as messages have them.
#pragma once

#include <c10/util/StringUtil.h>

#include <string>
#include <vector>

namespace adjoin {

/// "rank 3", "ranks 0, 2, 5 to 9".
inline std::string ranks_text(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) {
      ++last;
    }
    text += c10::str(i == 0 ? "" : ", ", ranks[i]);
    if (last > i + 1) {
      text += c10::str(" to ", ranks[last]);
      i = last + 1;
    } else {
      ++i;
    }
  }
  return text;
}

}  // namespace adjoin
