// SPDX-License-Identifier: BSD-3-Clause
// How much memory is taken, as the calls of malloc and free tell.
#pragma once

#include <cstddef>

namespace adjoin::fuzz {

/// Counts from its construction on; one at a time.
class Allocations {
 public:
  Allocations();
  /// The most bytes that were held at any moment since then, beyond those held at its beginning.
  std::size_t peak() const;
};

}  // namespace adjoin::fuzz
