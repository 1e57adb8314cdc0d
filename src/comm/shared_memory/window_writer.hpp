// How a rank writes to memory that the other ranks of its node read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/reduce_kernels.hpp"

namespace adjoin {

/// Ordinary stores to lines that another rank has read last fetch each line back from that rank's caches: where the
/// ranks share no cache, that was measured to take ten times as long as the copy. Stores past the caches do not, but
/// are slower where the ranks share one. Which it is depends on where the ranks run, so the writer times both, and now
/// and then the slower one again.
class WindowWriter {
 public:
  /// Copies private memory to a window, the quicker way.
  void write(std::byte* to, const std::byte* from, std::size_t bytes);
  /// The quicker way for writes of about this size.
  Store quicker(std::size_t bytes) const;

 private:
  /// What is known of writes of about one size.
  struct Experience {
    std::uint64_t writes = 0;
    Store last = Store::streamed;
    std::uint64_t in_a_row = 0;
    /// Seconds a byte of cached and of streamed stores.
    std::array<double, 2> cost = {0.0, 0.0};

    Store quicker() const;
    Store next() const;
    void add(Store store, double seconds_a_byte);
  };

  /// By the number of binary digits of the size, from that of the smallest that is timed on.
  std::array<Experience, 8> by_size_;
};

}  // namespace adjoin
