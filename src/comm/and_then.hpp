// SPDX-License-Identifier: BSD-3-Clause
// A started collective with a last step of this rank's own.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "adjoin/comm/pending.hpp"

namespace adjoin {

/// `work`, and `finish` when it is finished: in wait() or test(). Where the work fails, `finish` is not called.
inline Pending and_then(Pending work, std::function<void()> finish) {
  class Work : public Pending::Work {
   public:
    Work(Pending first, std::function<void()> then) : first_(std::move(first)), then_(std::move(then)) {}

    bool test() override {
      if (!first_.test()) {
        return false;
      }
      then_();
      return true;
    }

    void wait() override {
      first_.wait();
      then_();
    }

   private:
    Pending first_;
    std::function<void()> then_;
  };
  return Pending(std::make_unique<Work>(std::move(work), std::move(finish)));
}

}  // namespace adjoin
