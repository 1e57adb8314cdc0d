// SPDX-License-Identifier: BSD-3-Clause
// How the values of several ranks become one.
#pragma once

#include <cstdint>

namespace adjoin {

enum class ReduceOp : std::uint8_t { sum, product, min, max };

}  // namespace adjoin
