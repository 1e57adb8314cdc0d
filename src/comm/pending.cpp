// SPDX-License-Identifier: BSD-3-Clause
// The end of a started collective: waited for, asked after, or waited for by the destructor.
#include "adjoin/comm/pending.hpp"

#include <utility>

namespace adjoin {

Pending::Pending(std::unique_ptr<Work> work) : work_(std::move(work)) {}

Pending::Pending(Pending&&) noexcept = default;

Pending& Pending::operator=(Pending&& other) noexcept {
  std::swap(work_, other.work_);  // `other` waits for what this one held
  return *this;
}

Pending::~Pending() {
  try {
    wait();
  } catch (...) {  // NOLINT(bugprone-empty-catch): who wants to know of the failure calls wait()
  }
}

bool Pending::test() {
  if (work_ && work_->test()) {
    work_.reset();
  }
  return !work_;
}

void Pending::wait() {
  if (const std::unique_ptr<Work> work = std::move(work_)) {
    work->wait();
  }
}

}  // namespace adjoin
