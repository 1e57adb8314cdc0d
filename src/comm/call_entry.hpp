// SPDX-License-Identifier: BSD-3-Clause
// What a rank is about to do, as bytes that the other ranks get.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "adjoin/comm/call.hpp"

namespace adjoin {

/// At most `most` bytes: longer texts lose their ends. `most` is at least 512.
std::string to_bytes(const CallDisagreement::Entry& entry, std::size_t most);
CallDisagreement::Entry entry_from(std::string_view bytes);

}  // namespace adjoin
