// SPDX-License-Identifier: BSD-3-Clause
// How a rank writes to memory that the other ranks of its node read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "adjoin/comm/shared_memory.hpp"
#include "kernels/reduce_kernels.hpp"

namespace adjoin {

/// Ordinary stores to lines that another rank has read last fetch each line back from that rank's caches: where the
/// ranks share no cache, that was measured to take ten times as long as the copy. Stores past the caches do not, but
/// are slower where the ranks share one. Which it is depends on where the ranks run, so the first writes of about one
/// size try both, and all later ones go the quicker way.
class WindowWriter {
 public:
  explicit WindowWriter(Stores stores) : stores_(stores) {}

  /// Copies private memory to a window, the quicker way.
  void write(std::byte* to, const std::byte* from, std::size_t bytes);
  /// The quicker way for writes of about this size.
  Store quicker(std::size_t bytes) const;
  /// "automatic: streamed from 32 KiB": the setting, and what has been chosen so far.
  std::string description() const;

 private:
  /// What is known of writes of about one size.
  struct Experience {
    std::uint64_t writes = 0;
    /// Least seconds a byte of cached and of streamed stores.
    std::array<double, 2> cost = {0.0, 0.0};

    /// Whether both ways have been tried.
    bool is_known() const;
    /// How to write next: the quicker way, once that is known.
    Store next() const;
    void add(Store store, double seconds_a_byte);
  };

  Stores stores_;
  /// By the number of binary digits of the size, from that of the smallest that is timed on.
  std::array<Experience, 8> by_size_;
};

}  // namespace adjoin
