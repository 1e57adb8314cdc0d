// SPDX-License-Identifier: BSD-3-Clause
// The choice between ordinary and streaming stores, by the time that each has taken.
#include "comm/shared_memory/window_writer.hpp"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <bit>
#include <chrono>

namespace adjoin {

namespace {

/// Below this size the difference is less than a look at the clock is worth.
constexpr std::size_t timed_bytes = std::size_t{16} << 10;

/// So many writes try each way. The first ones of a way find the memory as the other way left it, and do not count.
constexpr std::uint64_t trials = 12;
constexpr std::uint64_t uncounted_trials = 4;

/// What was streamed is read from further away: the writer must gain this much by it.
constexpr double least_gain = 1.5;

std::size_t size_class(std::size_t bytes, std::size_t classes) {
  return std::min<std::size_t>(std::bit_width(bytes / timed_bytes) - 1, classes - 1);
}

}  // namespace

bool WindowWriter::Experience::is_known() const { return writes >= 2 * trials; }

Store WindowWriter::Experience::next() const {
  if (!is_known()) {
    return writes < trials ? Store::streamed : Store::cached;
  }
  return least_gain * cost[1] < cost[0] ? Store::streamed : Store::cached;
}

void WindowWriter::Experience::add(Store store, double seconds_a_byte) {
  // A write that was interrupted takes longer than it should, and none takes less.
  if (writes++ % trials >= uncounted_trials) {
    double& known = cost[static_cast<std::size_t>(store)];
    known = known == 0.0 ? seconds_a_byte : std::min(known, seconds_a_byte);
  }
}

Store WindowWriter::quicker(std::size_t bytes) const {
  if (stores_ != Stores::automatic) {
    return stores_ == Stores::streamed ? Store::streamed : Store::cached;
  }
  if (bytes < timed_bytes) {
    return Store::cached;
  }
  const Experience& experience = by_size_[size_class(bytes, by_size_.size())];
  return experience.is_known() ? experience.next() : Store::cached;
}

void WindowWriter::write(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (stores_ != Stores::automatic || bytes < timed_bytes) {
    copy_bytes(to, from, bytes, quicker(bytes));
    return;
  }
  Experience& experience = by_size_[size_class(bytes, by_size_.size())];
  const Store store = experience.next();
  if (experience.is_known()) {
    copy_bytes(to, from, bytes, store);
    return;
  }
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  copy_bytes(to, from, bytes, store);
  experience.add(store, std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(bytes));
}

std::string WindowWriter::description() const {
  std::string text(to_string(stores_));
  if (stores_ != Stores::automatic) {
    return text;
  }
  const char* between = ": ";
  for (std::size_t i = 0; i < by_size_.size(); ++i) {
    if (by_size_[i].is_known()) {
      text += c10::str(between, by_size_[i].next() == Store::streamed ? "streamed" : "cached", " from ",
                       (timed_bytes << i) >> 10U, " KiB");
      between = ", ";
    }
  }
  return text;
}

}  // namespace adjoin
