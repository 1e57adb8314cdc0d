// SPDX-License-Identifier: BSD-3-Clause
// Collectives that have been started where ranks share memory: they are made together, when one of them is waited for.
#pragma once

#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "adjoin/comm/communicator.hpp"
#include "comm/call_state.hpp"

namespace adjoin {

/// In the order in which they were started, which is the same on every rank; and before any other collective, since
/// ranks may wait at different places.
class Communicator::Deferred : public std::enable_shared_from_this<Communicator::Deferred> {
 public:
  explicit Deferred(CallState& calls) : calls_(calls) {}

  Pending add(const CollectiveSpec& collective, std::function<void()> make) {
    auto task = std::make_shared<Task>();
    task->begun = calls_.later(collective);
    task->name = task->begun.call.name;
    task->begun.call.name = task->name;
    task->make = std::move(make);
    tasks_.push_back(task);
    return Pending(std::make_unique<Work>(shared_from_this(), std::move(task)));
  }

  /// Makes all that were started.
  void make_all() {
    while (!tasks_.empty()) [[unlikely]] {
      make_next();
    }
  }

  /// None of them is made any more: who waits for one gets `error`.
  void close(const std::exception_ptr& error) {
    for (const std::shared_ptr<Task>& task : tasks_) {
      task->error = error;
    }
    tasks_.clear();
  }

 private:
  struct Task {
    CallState::Begun begun;
    std::string name;
    /// Empty once it is made.
    std::function<void()> make;
    std::exception_ptr error;
  };

  class Work : public Pending::Work {
   public:
    Work(std::shared_ptr<Deferred> all, std::shared_ptr<Task> task) : all_(std::move(all)), task_(std::move(task)) {}

    bool test() override {
      wait();
      return true;
    }

    void wait() override {
      while (task_->make && !task_->error) {
        all_->make_next();
      }
      if (task_->error) {
        std::rethrow_exception(task_->error);
      }
    }

   private:
    std::shared_ptr<Deferred> all_;
    std::shared_ptr<Task> task_;
  };

  /// What fails on one rank fails on all, and so do those behind it, which otherwise some ranks would make and some
  /// not.
  void make_next() {
    const std::shared_ptr<Task> task = tasks_.front();
    calls_.begin(task->begun);
    try {
      task->make();
      tasks_.pop_front();
      task->make = {};
      calls_.end();
    } catch (...) {
      calls_.end();
      close(std::current_exception());
      throw;
    }
  }

  CallState& calls_;
  std::deque<std::shared_ptr<Task>> tasks_;
};

}  // namespace adjoin
