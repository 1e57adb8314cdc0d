// SPDX-License-Identifier: BSD-3-Clause
// Waiting for MPI, with an end.
#pragma once

#include <ATen/core/Tensor.h>
#include <mpi.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/comm/pending.hpp"
#include "comm/backend/mpi_support.hpp"

namespace adjoin::mpi {

/// A duplicate of `comm`. Throws CommunicationError when not all of its ranks come within `timeout`. Collective.
OwnedComm duplicate_in_time(MPI_Comm comm, std::chrono::milliseconds timeout);

/// Waits for the collectives of one communicator. A rank that has waited for longer than `timeout` calls the roll: by
/// messages to all ranks, which those answer that wait, too. All of them then throw CommunicationError, naming the
/// ranks that have not answered, and there are no more collectives. So do they where a rank has left, or MPI has failed
/// to start a collective on one rank, which tells it.
class Waiter {
 public:
  /// `doing` says what this rank does, `name` how a rank is called in messages. Collective over `comm`.
  Waiter(const OwnedComm& comm, std::chrono::milliseconds timeout, std::function<std::string()> doing,
         std::function<std::string(int)> name);
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter();

  /// Counts a collective that is about to be started, in the order of all ranks. Throws CommunicationError when there
  /// are no more.
  std::uint64_t next();
  /// Throws CommunicationError, and tells the ranks that wait in collective `number`, unless `code`, of MPI's
  /// `function` that was to start it, is MPI_SUCCESS.
  void check_start(int code, const char* function, std::uint64_t number);
  /// Waits for all requests of collective `number`.
  void wait(std::span<MPI_Request> requests, std::uint64_t number);
  /// Waits for a message from or to `peer`, -1 for any rank; returns which rank it came from. Throws CommunicationError
  /// when the time is out or `is_gone`.
  int wait_for_peer(MPI_Request& request, int peer, const std::function<bool(int)>& is_gone);
  /// Whether all have finished; checks for errors.
  static bool test(std::span<MPI_Request> requests);
  /// Waits for a while, where nothing may be thrown; whether all have finished.
  static bool finish(std::span<MPI_Request> requests) noexcept;
  /// All ranks come here, before a collective that cannot be waited for with an end.
  void meet();
  /// Tells those who wait, or will wait, that this rank does not come any more.
  void tell_that_this_rank_leaves();
  /// Whether there are operations that have not been finished, or been given up: their communicator must stay.
  bool has_unfinished() const { return unfinished_ > 0 || over_; }
  /// The communicator ends, of which `doing` told; operations that were started may outlive it.
  void forget_communicator();
  /// Of the same ranks, for the waiter alone and for announcements.
  MPI_Comm comm() const { return comm_.get(); }
  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  static constexpr std::int64_t no_answer = -1;
  static constexpr std::int64_t has_left = -2;
  /// The answer of a rank on which collective `number` could not be started.
  static std::int64_t has_failed_in(std::uint64_t number) { return has_left - static_cast<std::int64_t>(number); }
  /// Whether so answers a rank on which a collective could not be started that has not failed here, too: what fails
  /// everywhere leaves the ranks in step.
  bool is_out_of_step(std::int64_t answer) const;
  /// Whether a rank that is needed for collective `number` is known not to come.
  bool misses_somebody(std::uint64_t number) const;

  /// Asks who else is here. Returns when the requests have finished after all, and otherwise throws.
  void call_the_roll(std::span<MPI_Request> requests, std::uint64_t number, std::chrono::milliseconds waited);
  void send_to_all(std::int64_t answer);
  /// Messages that have come, into answers_; whether there are any.
  bool receive_answers();
  /// The names of the ranks whose answer `is_meant`, and how many they are.
  std::pair<std::string, int> ranks_whose(const std::function<bool(std::int64_t)>& is_meant) const;

  OwnedComm comm_;
  int rank_;
  int size_;
  std::chrono::milliseconds timeout_;
  std::function<std::string()> doing_;
  std::function<std::string(int)> name_;
  std::uint64_t started_ = 0;
  /// How many collectives a rank had started when it answered, or one of the above.
  std::vector<std::int64_t> answers_;
  /// The last collective that could not be started here; 0 for none.
  std::uint64_t failed_ = 0;
  std::optional<std::string> over_;
  friend class Work;
  /// Operations that are started and not finished.
  int unfinished_ = 0;
};

/// Started MPI operations, with the memory that they use. What cannot be finished keeps its memory, and the MPI
/// communicator, for ever: MPI goes on with it whenever it is called.
class Work : public Pending::Work {
 public:
  /// Of operations that use the memory of `tensors`.
  template <class... Tensors>
  explicit Work(std::shared_ptr<Waiter> waiter, const Tensors&... tensors)
      : waiter_(std::move(waiter)), number_(waiter_->next()), tensors_{tensors...} {
    ++waiter_->unfinished_;
  }
  ~Work() override;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  bool test() override { return Waiter::test(requests_); }
  void wait() override { waiter_->wait(requests_, number_); }

  /// Memory that the operations use besides.
  void keep(const at::Tensor& tensor) { tensors_.push_back(tensor); }
  /// For a new operation.
  MPI_Request* new_request() { return &requests_.emplace_back(MPI_REQUEST_NULL); }
  /// Checks what MPI's `function`, which was to start an operation, has returned.
  void check_start(int code, const char* function) { waiter_->check_start(code, function, number_); }

  /// Arguments that the operations use until they are finished.
  std::vector<int> counts;
  std::vector<int> offsets;

 private:
  std::shared_ptr<Waiter> waiter_;
  std::uint64_t number_;
  std::vector<MPI_Request> requests_;
  std::vector<at::Tensor> tensors_;
};

}  // namespace adjoin::mpi
