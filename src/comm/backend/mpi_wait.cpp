// SPDX-License-Identifier: BSD-3-Clause
// Waits for MPI that call the roll when time is up, so that the error names who is missing.
#include "comm/backend/mpi_wait.hpp"

#include <ATen/ATen.h>
#include <sched.h>

#include <algorithm>
#include <tuple>

#include "adjoin/core/errors.hpp"
#include "comm/patience.hpp"

namespace adjoin::mpi {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How often a waiting rank looks before it leaves its processor to others between looks.
constexpr int spins = 2000;
/// How many looks there are for one at the clock: few, as each may take time slices of all who share the processor.
constexpr int looks_between_clocks = 8;
constexpr auto time_between_questions = milliseconds(20);
/// How long those that have called the roll wait for answers: who waits answers at its next look.
constexpr auto time_to_answer = std::chrono::seconds(1);
constexpr auto time_to_finish = std::chrono::seconds(5);
constexpr int roll_tag = 77;

}  // namespace

OwnedComm duplicate_in_time(MPI_Comm comm, milliseconds timeout) {
  // MPI writes there when the duplicate is made, which may be after this has been given up.
  auto duplicate = std::make_unique<MPI_Comm>(MPI_COMM_NULL);
  MPI_Request request = MPI_REQUEST_NULL;
  check_code(MPI_Comm_idup(comm, duplicate.get(), &request), "MPI_Comm_idup");
  const auto start = Clock::now();
  while (!Waiter::test({&request, 1})) {
    sched_yield();
    if (Clock::now() - start > timeout) {
      static_cast<void>(duplicate.release());
      int size = 0;
      MPI_Comm_size(comm, &size);
      throw CommunicationError(c10::str("this rank has waited for ", static_cast<double>(timeout.count()) / 1e3,
                                        " s to make a communicator, but not all of the ", size, " ranks have come"));
    }
  }
  return OwnedComm(*duplicate);
}

Waiter::Waiter(const OwnedComm& comm, milliseconds timeout, std::function<std::string()> doing,
               std::function<std::string(int)> name)
    : comm_(OwnedComm::duplicate(comm.get())),
      rank_(comm_.rank()),
      size_(comm_.size()),
      timeout_(timeout),
      doing_(std::move(doing)),
      name_(std::move(name)),
      answers_(static_cast<std::size_t>(size_), no_answer) {}

Waiter::~Waiter() {
  if (has_unfinished()) {
    comm_.release();
  }
}

void Waiter::forget_communicator() {
  doing_ = [] { return std::string("a collective that was started before the communicator ended"); };
}

std::uint64_t Waiter::next() {
  if (over_) [[unlikely]] {
    throw CommunicationError(*over_);
  }
  return ++started_;
}

void Waiter::check_start(int code, const char* function, std::uint64_t number) {
  try {
    check_code(code, function);
  } catch (const CommunicationError& error) {
    failed_ = number;
    answers_[static_cast<std::size_t>(rank_)] = has_failed_in(number);
    send_to_all(has_failed_in(number));
    const auto failed_too = [&](std::int64_t answer) { return answer == has_failed_in(number); };
    const auto waits = [](std::int64_t answer) { return answer > no_answer; };
    const auto end = Clock::now() + time_to_answer;
    while (!std::ranges::all_of(answers_, failed_too)) {
      if (std::ranges::any_of(answers_, waits) || Clock::now() >= end) {
        over_ = error.what();
        break;
      }
      receive_answers();
      sched_yield();
    }
    throw;
  }
}

bool Waiter::is_out_of_step(std::int64_t answer) const {
  return answer < has_left && (failed_ == 0 || answer != has_failed_in(failed_));
}

bool Waiter::misses_somebody(std::uint64_t number) const {
  return std::ranges::any_of(answers_, [&](std::int64_t answer) {
    return answer == has_left || (is_out_of_step(answer) && answer >= has_failed_in(number));
  });
}

bool Waiter::test(std::span<MPI_Request> requests) {
  int done = 0;
  check_code(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
             "MPI_Testall");
  return done != 0;
}

void Waiter::wait(std::span<MPI_Request> requests, std::uint64_t number) {
  for (int i = 0; i < spins; ++i) {
    if (test(requests)) [[likely]] {
      return;
    }
  }
  const auto start = Clock::now();
  auto next_question = start + time_between_questions;
  auto now = start;
  while (true) {
    for (int i = 0; i < looks_between_clocks; ++i) {
      if (test(requests)) {
        return;
      }
      rest_between_looks(now - start);
    }
    now = Clock::now();
    if (now >= next_question) {
      next_question = now + time_between_questions;
      const auto waited = std::chrono::duration_cast<milliseconds>(now - start);
      if (receive_answers() || misses_somebody(number) || waited > timeout_) {
        call_the_roll(requests, number, waited);
        return;
      }
    }
  }
}

int Waiter::wait_for_peer(MPI_Request& request, int peer, const std::function<bool(int)>& is_gone) {
  const auto start = Clock::now();
  auto next_question = start + time_between_questions;
  while (true) {
    int done = 0;
    MPI_Status status;
    check_code(MPI_Test(&request, &done, &status), "MPI_Test");
    if (done != 0) {
      return status.MPI_SOURCE;
    }
    const auto now = Clock::now();
    if (now < next_question) {
      continue;
    }
    next_question = now + time_between_questions;
    receive_answers();
    const std::string name = peer < 0 ? "any rank" : name_(peer);
    const auto left = [&](int r) { return is_gone(r) || answers_[static_cast<std::size_t>(r)] == has_left; };
    if (peer >= 0 && left(peer)) {
      throw CommunicationError(c10::str(name, " has left while ", name_(rank_), " waited for a message from or to it"));
    }
    if (now - start > timeout_) {
      throw CommunicationError(c10::str(name_(rank_), " has waited for ", static_cast<double>(timeout_.count()) / 1e3,
                                        " s for a message from or to ", name));
    }
    sched_yield();
  }
}

bool Waiter::finish(std::span<MPI_Request> requests) noexcept {
  const auto end = Clock::now() + time_to_finish;
  int done = 0;
  do {
    if (MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS) {
      return false;
    }
    if (done == 0) {
      sched_yield();
    }
  } while (done == 0 && Clock::now() < end);
  return done != 0;
}

void Waiter::meet() {
  const std::uint64_t number = next();
  MPI_Request request = MPI_REQUEST_NULL;
  check_start(MPI_Ibarrier(comm_.get(), &request), "MPI_Ibarrier", number);
  ++unfinished_;
  wait({&request, 1}, number);
  --unfinished_;
}

bool Waiter::receive_answers() {
  bool any = false;
  while (true) {
    int there = 0;
    MPI_Status status;
    check_code(MPI_Iprobe(MPI_ANY_SOURCE, roll_tag, comm_.get(), &there, &status), "MPI_Iprobe");
    if (there == 0) {
      return any;
    }
    any = true;
    std::int64_t& answer = answers_[static_cast<std::size_t>(status.MPI_SOURCE)];
    check_code(MPI_Recv(&answer, 1, MPI_INT64_T, status.MPI_SOURCE, roll_tag, comm_.get(), MPI_STATUS_IGNORE),
               "MPI_Recv");
  }
}

void Waiter::send_to_all(std::int64_t answer) {
  // The memory of messages that are perhaps never received lasts as long as the process.
  const auto* const own = new std::int64_t(answer);  // NOLINT(cppcoreguidelines-owning-memory)
  for (int r = 0; r < size_; ++r) {
    MPI_Request sent = MPI_REQUEST_NULL;
    if (r != rank_) {
      check_code(MPI_Isend(own, 1, MPI_INT64_T, r, roll_tag, comm_.get(), &sent), "MPI_Isend");
      check_code(MPI_Request_free(&sent), "MPI_Request_free");
    }
  }
}

void Waiter::tell_that_this_rank_leaves() { send_to_all(has_left); }

std::pair<std::string, int> Waiter::ranks_whose(const std::function<bool(std::int64_t)>& is_meant) const {
  std::string names;
  int count = 0;
  for (int r = 0; r < size_; ++r) {
    if (is_meant(answers_[static_cast<std::size_t>(r)])) {
      names += (count++ == 0 ? "" : ", ") + name_(r);
    }
  }
  return {names, count};
}

void Waiter::call_the_roll(std::span<MPI_Request> requests, std::uint64_t number, milliseconds waited) {
  const auto started = static_cast<std::int64_t>(started_);
  send_to_all(started);
  answers_[static_cast<std::size_t>(rank_)] = started;
  const auto end = Clock::now() + time_to_answer;
  while (Clock::now() < end) {
    receive_answers();
    if (test(requests)) {
      return;  // who has come last finds that it is called, and nobody else is missing
    }
    sched_yield();
  }
  const auto [gone, gone_count] = ranks_whose([](std::int64_t answer) { return answer == has_left; });
  const auto [failed, failed_count] = ranks_whose([this](std::int64_t answer) { return is_out_of_step(answer); });
  const auto [missing, count] =
      ranks_whose([&](std::int64_t answer) { return answer < static_cast<std::int64_t>(number); });
  if (gone_count > 0) {
    over_ = c10::str(gone, gone_count == 1 ? " has" : " have", " left while others waited in ", doing_());
  } else if (failed_count > 0) {
    over_ = c10::str("MPI has failed on ", failed, " while others waited in ", doing_());
  } else if (count > 0) {
    over_ = c10::str(name_(rank_), " has waited for ", static_cast<double>(waited.count()) / 1e3, " s in ", doing_(),
                     " for ", missing, ", which ", count == 1 ? "has" : "have", " not come");
  } else {
    over_ = c10::str("the other ranks have given up waiting for ", name_(rank_), ", which is in ", doing_());
  }
  throw CommunicationError(*over_);
}

Work::~Work() {
  const bool unfinished =
      is_active() && std::ranges::any_of(requests_, [](MPI_Request r) { return r != MPI_REQUEST_NULL; });
  if (unfinished && (waiter_->over_ || !Waiter::finish(requests_))) {
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): MPI may still write there
    static_cast<void>(new std::tuple(std::move(tensors_), std::move(counts), std::move(offsets)));
  } else {
    --waiter_->unfinished_;
  }
}

}  // namespace adjoin::mpi
