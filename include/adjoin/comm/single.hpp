// SPDX-License-Identifier: BSD-3-Clause
// The engine of one process: every collective is a no-op.
#pragma once

#include <memory>

#include "adjoin/comm/communicator.hpp"

namespace adjoin {

std::unique_ptr<Communicator> make_single_communicator();

}  // namespace adjoin
