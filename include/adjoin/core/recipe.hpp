// SPDX-License-Identifier: BSD-3-Clause
// How an object was made, so that another like it can be.
#pragma once

#include <string>

#include "adjoin/core/params.hpp"

namespace adjoin {

/// The class or function that makes an object, and its arguments by name, with their values of now.
struct Recipe {
  /// Empty where the object cannot say.
  std::string maker = {};
  Params arguments = {};
};

}  // namespace adjoin
