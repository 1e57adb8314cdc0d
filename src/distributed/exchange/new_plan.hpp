// SPDX-License-Identifier: BSD-3-Clause
// Plans that are made in a call which then fails.
#pragma once

#include <exception>
#include <utility>

namespace adjoin {

/// Drops a plan, by `drop`, where the call that made it ends with an exception: a rank that could not make it has none,
/// and in the next call all ranks must have one or none of them.
template <class Drop>
class NewPlan {
 public:
  explicit NewPlan(Drop drop) : drop_(std::move(drop)) {}
  ~NewPlan() {
    if (begun_ && std::uncaught_exceptions() > exceptions_) {
      drop_();
    }
  }
  NewPlan(const NewPlan&) = delete;
  NewPlan& operator=(const NewPlan&) = delete;
  /// Ahead of the making.
  void begin() { begun_ = true; }

 private:
  Drop drop_;
  bool begun_ = false;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace adjoin
