// SPDX-License-Identifier: BSD-3-Clause
// Waiting for the backends of torch.distributed: what they throw becomes an error that names the ranks.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <utility>
#include <vector>

#include "adjoin/comm/pending.hpp"

namespace adjoin {

/// A backend says that it has waited for too long or lost a connection, but not who is missing: those who wait then
/// call the roll by the group's store. There are no collectives after that. Keeps the group, whose end could free what
/// a started collective uses.
class GroupWaiter {
 public:
  /// `store` may be null; then no rank is named. `doing` says what this rank does, `ranks` how those of the group are
  /// called: by their places in it where none are given.
  GroupWaiter(c10::intrusive_ptr<c10d::ProcessGroup> group, c10::intrusive_ptr<c10d::Store> store, std::string prefix,
              std::function<std::string()> doing, std::vector<int> ranks = {});

  /// Counts a collective that is about to be started, in the order of all ranks. Throws CommunicationError when there
  /// are no more.
  std::uint64_t next();

  /// What `call` returns, for collective `number`; throws as CommunicationError what it throws.
  template <class Call>
  auto guard(std::uint64_t number, const Call& call) {
    try {
      return call();
    } catch (const c10::Error& e) {
      fail(number, e.what_without_backtrace());
    } catch (const std::exception& e) {
      fail(number, e.what());
    }
  }

  /// The communicator ends, of which `doing` told; collectives that were started may outlive it.
  void forget_communicator();

  /// Tells those who will lose this rank that it has left.
  void tell_that_this_rank_leaves() noexcept;

 private:
  [[noreturn]] void fail(std::uint64_t number, const std::string& error);
  /// The ranks that are missing, after the others have had time to answer; empty when that cannot be told.
  std::vector<int> call_the_roll(std::uint64_t number);
  std::vector<int> names_of(std::vector<int> ranks) const;
  std::string key(const char* what, int rank) const;

  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  c10::intrusive_ptr<c10d::Store> store_;
  std::string prefix_;
  int rank_;
  int size_;
  std::function<std::string()> doing_;
  std::vector<int> ranks_;
  std::uint64_t started_ = 0;
  std::optional<std::string> over_;
};

/// Started operations of a backend, with the group and the memory that they use, and what makes their results the
/// caller's. Its destruction waits.
class GroupWork : public Pending::Work {
 public:
  using Finish = std::function<void()>;

  /// `timeout`: how long to wait, where what is started was not told and it is not as long as the group says.
  GroupWork(std::shared_ptr<GroupWaiter> waiter, std::vector<at::Tensor> tensors, Finish finish = {},
            std::optional<std::chrono::milliseconds> timeout = {})
      : waiter_(std::move(waiter)),
        number_(waiter_->next()),
        tensors_(std::move(tensors)),
        finish_(std::move(finish)),
        timeout_(timeout) {}
  GroupWork(const GroupWork&) = delete;
  GroupWork& operator=(const GroupWork&) = delete;
  ~GroupWork() override;

  /// Starts one by calling `start`.
  template <class Start>
  void add(const Start& start) {
    works_.push_back(waiter_->guard(number_, start));
  }

  bool test() override;
  void wait() override;

 private:
  std::shared_ptr<GroupWaiter> waiter_;
  std::uint64_t number_;
  std::vector<at::Tensor> tensors_;
  Finish finish_;
  std::optional<std::chrono::milliseconds> timeout_;
  std::vector<c10::intrusive_ptr<c10d::Work>> works_;
};

}  // namespace adjoin
