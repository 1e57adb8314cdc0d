#include "comm/shared_memory/window_writer.hpp"

#include <algorithm>
#include <bit>
#include <chrono>

namespace adjoin {

namespace {

/// Below this size the difference is less than a look at the clock is worth.
constexpr std::size_t timed_bytes = std::size_t{16} << 10;

/// The first writes try both ways, later ones the slower way again every so often. The first writes of a way find the
/// memory as the other way left it, and do not count.
constexpr std::uint64_t first_writes = 24;
constexpr std::uint64_t writes_between_trials = 1024;
constexpr std::uint64_t writes_of_a_trial = 6;
constexpr std::uint64_t uncounted_writes = 4;

/// A write that took this many times as long as the others was interrupted.
constexpr double longest_write = 4.0;
constexpr double weight_of_a_write = 0.25;

/// What was streamed is read from further away: the writer must gain this much by it.
constexpr double least_gain = 1.5;

std::size_t size_class(std::size_t bytes, std::size_t classes) {
  return std::min<std::size_t>(std::bit_width(bytes / timed_bytes) - 1, classes - 1);
}

}  // namespace

Store WindowWriter::Experience::quicker() const {
  return least_gain * cost[1] < cost[0] ? Store::streamed : Store::cached;
}

Store WindowWriter::Experience::next() const {
  if (writes < first_writes) {
    return writes < first_writes / 2 ? Store::streamed : Store::cached;
  }
  const std::uint64_t since_trial = writes % writes_between_trials;
  if (since_trial == 0) {
    return quicker() == Store::cached ? Store::streamed : Store::cached;
  }
  return since_trial < writes_of_a_trial ? last : quicker();
}

void WindowWriter::Experience::add(Store store, double seconds_a_byte) {
  ++writes;
  in_a_row = store == last ? in_a_row + 1 : 0;
  last = store;
  if (in_a_row >= uncounted_writes) {
    double& known = cost[static_cast<std::size_t>(store)];
    known = known == 0.0 ? seconds_a_byte
                         : known + weight_of_a_write * (std::min(seconds_a_byte, longest_write * known) - known);
  }
}

Store WindowWriter::quicker(std::size_t bytes) const {
  return bytes < timed_bytes ? Store::cached : by_size_[size_class(bytes, by_size_.size())].quicker();
}

void WindowWriter::write(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes < timed_bytes) {
    copy_bytes(to, from, bytes);
    return;
  }
  using Clock = std::chrono::steady_clock;
  Experience& experience = by_size_[size_class(bytes, by_size_.size())];
  const Store store = experience.next();
  const auto start = Clock::now();
  copy_bytes(to, from, bytes, store);
  experience.add(store, std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(bytes));
}

}  // namespace adjoin
