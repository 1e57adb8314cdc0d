// SPDX-License-Identifier: BSD-3-Clause
// The roll that is called by the group's store when a backend gives up, so that the error names who is missing.
#include "comm/backend/group_wait.hpp"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "adjoin/core/errors.hpp"
#include "comm/ranks_text.hpp"

namespace adjoin {

namespace {

/// All who wait find out at about the same time: a rank that gives up closes its connections.
constexpr auto time_to_answer = std::chrono::seconds(2);
constexpr auto time_between_looks = std::chrono::milliseconds(20);

}  // namespace

GroupWaiter::GroupWaiter(c10::intrusive_ptr<c10d::ProcessGroup> group, c10::intrusive_ptr<c10d::Store> store,
                         std::string prefix, std::function<std::string()> doing, std::vector<int> ranks)
    : group_(std::move(group)),
      store_(std::move(store)),
      prefix_(std::move(prefix)),
      rank_(group_->getRank()),
      size_(group_->getSize()),
      doing_(std::move(doing)),
      ranks_(std::move(ranks)) {}

std::vector<int> GroupWaiter::names_of(std::vector<int> ranks) const {
  for (int& r : ranks) {
    r = ranks_.empty() ? r : ranks_[static_cast<std::size_t>(r)];
  }
  return ranks;
}

void GroupWaiter::forget_communicator() {
  doing_ = [] { return std::string("a collective that was started before the communicator ended"); };
}

std::uint64_t GroupWaiter::next() {
  if (over_) [[unlikely]] {
    throw CommunicationError(*over_);
  }
  return ++started_;
}

std::string GroupWaiter::key(const char* what, int rank) const { return c10::str(prefix_, '/', what, '/', rank); }

void GroupWaiter::tell_that_this_rank_leaves() noexcept {
  try {
    if (store_) {
      store_->set(key("left", rank_), std::string("1"));
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): the others find out that it is gone
  }
}

void GroupWaiter::fail(std::uint64_t number, const std::string& error) {
  std::string missing;
  try {
    if (store_) {
      const std::vector<int> ranks = call_the_roll(number);
      if (!ranks.empty()) {
        const bool left = std::ranges::any_of(ranks, [&](int r) { return store_->check({key("left", r)}); });
        missing = c10::str(": ", ranks_text(names_of(ranks)), ranks.size() == 1 ? " has" : " have",
                           left ? " left" : " not come");
      }
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): the store is gone, too
  }
  over_ =
      c10::str(ranks_text(names_of({rank_})), " waited in ", doing_(), missing, " (torch.distributed: ", error, ")");
  throw CommunicationError(*over_);
}

std::vector<int> GroupWaiter::call_the_roll(std::uint64_t number) {
  store_->set(key("here", rank_), std::to_string(number));
  const auto end = std::chrono::steady_clock::now() + time_to_answer;
  std::vector<int> missing;
  do {
    std::this_thread::sleep_for(time_between_looks);
    missing.clear();
    for (int r = 0; r < size_; ++r) {
      const bool answered = store_->check({key("here", r)});
      if (!answered || std::stoull(store_->get_to_str(key("here", r))) < number) {
        missing.push_back(r);
      }
    }
  } while (!missing.empty() && std::chrono::steady_clock::now() < end);
  return missing;
}

GroupWork::~GroupWork() {
  for (const auto& work : works_) {
    try {
      work->wait(timeout_.value_or(::kNoTimeout));
    } catch (...) {  // NOLINT(bugprone-empty-catch): who wants to know of the failure calls wait()
    }
  }
}

bool GroupWork::test() {
  if (!std::ranges::all_of(works_, [](const auto& work) { return work->isCompleted(); })) {
    return false;
  }
  wait();
  return true;
}

void GroupWork::wait() {
  const std::vector<c10::intrusive_ptr<c10d::Work>> works = std::move(works_);
  works_.clear();
  for (const auto& work : works) {
    waiter_->guard(number_, [&] { return work->wait(timeout_.value_or(::kNoTimeout)); });
  }
  if (const Finish finish = std::exchange(finish_, {})) {
    const c10::NoGradGuard no_grad;
    finish();
  }
}

}  // namespace adjoin
