// SPDX-License-Identifier: BSD-3-Clause
// Values derived from tensors: kept while these are what they were, and computed by whichever thread asks first.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "adjoin/core/modes.hpp"

namespace adjoin {

/// A mutex for a few instructions, at half the price of std::mutex.
class SpinLock {
 public:
  void lock() {
    while (taken_.exchange(true, std::memory_order_acquire)) [[unlikely]] {
      std::this_thread::yield();
    }
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_ = false;
};

/// The key of a Derived that keeps one value a version.
struct NoKey {
  bool operator==(const NoKey&) const = default;
};

/// Values that follow from a state and a key: for instance what an operator's tensors give for images of one layout.
/// The state is known by its `version`, a number that every change of it alters. Those of the last few keys are kept,
/// until the version changes; what could not be computed is not. Several threads may ask at once.
template <class T, class Key = NoKey>
class Derived {
 public:
  /// The value of `version` and `key`, from make() unless it is kept. make() may return null, which is kept, too, and
  /// runs as LastingValues says. `Probe` is Key, or compares with one and converts to it.
  template <class Probe, class Make>
  std::shared_ptr<const T> get(std::int64_t version, const Probe& key, const Make& make) const {
    if (auto [found, value] = find(version, key); found) [[likely]] {
      return value;
    }
    return keep(version, Key(key), lasting(make));
  }
  template <class Make>
  std::shared_ptr<const T> get(std::int64_t version, const Make& make) const {
    return get(version, NoKey{}, make);
  }

 private:
  /// Layouts of images that take turns.
  static constexpr std::size_t capacity = 4;

  struct Entry {
    Key key;
    std::shared_ptr<const T> value;
  };

  template <class Probe>
  std::pair<bool, std::shared_ptr<const T>> find(std::int64_t version, const Probe& key) const {
    const std::scoped_lock lock(lock_);
    if (version == version_) {
      for (const Entry& entry : entries_) {
        if (entry.key == key) {
          return {true, entry.value};
        }
      }
    }
    return {false, nullptr};
  }

  /// What is kept from now on: `value`, unless another thread was quicker.
  std::shared_ptr<const T> keep(std::int64_t version, Key key, std::shared_ptr<const T> value) const {
    std::vector<Entry> dropped;  // which outlives the lock: ending a value may take long
    dropped.reserve(capacity);
    const std::scoped_lock lock(lock_);
    if (version != version_) {
      dropped.swap(entries_);
      version_ = version;
    }
    for (const Entry& entry : entries_) {
      if (entry.key == key) {
        return entry.value;
      }
    }
    if (entries_.size() == capacity) {
      dropped.push_back(std::move(entries_.front()));
      entries_.erase(entries_.begin());
    }
    entries_.push_back({std::move(key), value});
    return value;
  }

  mutable SpinLock lock_;
  mutable std::int64_t version_ = 0;
  mutable std::vector<Entry> entries_;
};

/// A value that is computed when it is first asked for, by one thread while the others wait. An exception leaves it to
/// the next who asks.
template <class T>
class Lazy {
 public:
  template <std::invocable Make>
  const T& get(const Make& make) const {
    if (!ready_.load(std::memory_order_acquire)) [[unlikely]] {
      const std::scoped_lock lock(mutex_);
      if (!ready_.load(std::memory_order_relaxed)) {
        value_ = make();
        ready_.store(true, std::memory_order_release);
      }
    }
    return value_;
  }
  /// Whether it has been computed.
  bool is_ready() const { return ready_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex mutex_;
  mutable std::atomic<bool> ready_ = false;
  mutable T value_;
};

}  // namespace adjoin
