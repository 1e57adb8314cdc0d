// SPDX-License-Identifier: BSD-3-Clause
// Ranks that leave, are late, or are no ranks: nobody waits for ever.
#include <ATen/ATen.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "communicator_fixture.hpp"

namespace adjoin::test {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Calls of several kinds, by which ranks wait for each other.
std::vector<std::function<void(Communicator&)>> waiting_calls() {
  return {[](Communicator& comm) { comm.barrier(); },
          [](Communicator& comm) {
            at::Tensor x = at::ones({10});
            comm.all_reduce(x);
          },
          [](Communicator& comm) {
            at::Tensor x = at::ones({300'000});
            comm.all_reduce(x);
          },
          [](Communicator& comm) { comm.all_gather_bytes("text"); },
          [](Communicator& comm) { comm.reduce_buffer(10, at::kFloat, at::kCPU); },
          [](Communicator& comm) {
            at::Tensor x = at::ones({10});
            comm.start_broadcast(x, 0).wait();
          }};
}

class Leaving : public ::testing::TestWithParam<Engine> {
 protected:
  ~Leaving() override { MPI_Barrier(MPI_COMM_WORLD); }
};

INSTANTIATE_TEST_SUITE_P(Engines, Leaving, ::testing::ValuesIn(all_engines()), name_of);

TEST_P(Leaving, WhoWaitsForARankThatLeavesIsTold) {
  for (const auto& call : waiting_calls()) {
    const auto comm = GetParam().make({});
    const int last = comm->size() - 1;
    comm->barrier();
    if (comm->rank() == last) {
      comm->leave();
      comm->leave();
      if (comm->size() > 1) {
        EXPECT_THROW(call(*comm), CommunicationError);
      }
      continue;
    }
    try {
      call(*comm);
      ADD_FAILURE() << "nobody has left";
    } catch (const CallDisagreement& error) {
      EXPECT_TRUE(error.entries[static_cast<std::size_t>(last)].left);
      EXPECT_FALSE(error.entries[static_cast<std::size_t>(comm->rank())].left);
      EXPECT_NE(std::string(error.what()).find("rank " + std::to_string(last) + ": has left"), std::string::npos)
          << error.what();
    }
    EXPECT_THROW(call(*comm), CommunicationError);
  }
}

TEST_P(Leaving, TheEndOfTheCommunicatorIsToldToo) {
  auto comm = GetParam().make({});
  if (comm->rank() == 0) {
    comm.reset();
  } else {
    EXPECT_THROW(comm->barrier(), CallDisagreement);
  }
}

TEST_P(Leaving, RanksMayLeaveAtDifferentTimes) {
  auto comm = GetParam().make({});
  at::Tensor x = at::ones({10});
  comm->all_reduce(x);
  std::this_thread::sleep_for(milliseconds(50 * comm->rank()));
  EXPECT_EQ(x[0].item<float>(), static_cast<float>(comm->size()));
}

TEST_P(Leaving, AnExceptionWaitsForNobody) {
  try {
    const auto comm = GetParam().make({});
    if (comm->rank() == 0) {
      throw std::runtime_error("only here");
    }
    std::this_thread::sleep_for(milliseconds(1500));
    EXPECT_ANY_THROW(comm->barrier());
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "only here");
  }
}

// Among ranks that share memory it is made when it is waited for, and fails then.
TEST_P(Leaving, WhatWasStartedMayOutliveItsCommunicator) {
  auto comm = GetParam().make({});
  const auto sum = static_cast<float>(comm->size());
  at::Tensor x = at::ones({3000});
  Pending started = comm->start_all_reduce(x);
  comm.reset();
  try {
    started.wait();
    EXPECT_EQ(x.min().item<float>(), sum);
    EXPECT_EQ(x.max().item<float>(), sum);
  } catch (const CommunicationError&) {
    EXPECT_EQ(x.max().item<float>(), 1.0F);
  }
}

// One rank does not come before the others have said, apart from the communicator, that they have given up.
TEST_P(Leaving, WhoWaitsForTooLongNamesTheLateRank) {
  constexpr auto timeout = milliseconds(600);
  for (const auto& call : {waiting_calls()[0], waiting_calls()[2]}) {
    MPI_Barrier(MPI_COMM_WORLD);
    const auto comm = GetParam().make(timeout);
    const int late = comm->size() - 1;
    comm->barrier();
    if (comm->size() == 1) {
      return;
    }
    if (comm->rank() == late) {
      for (int r = 0; r < late; ++r) {
        MPI_Recv(nullptr, 0, MPI_BYTE, r, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      }
      try {
        call(*comm);  // the others have come to this one
        call(*comm);
        ADD_FAILURE() << "the others have given up";
      } catch (const Error&) {
      }
      continue;
    }
    const auto start = Clock::now();
    try {
      const CallScope scope = comm->enter({.name = "A_adjoint of stack 1"});
      call(*comm);
      ADD_FAILURE() << "the last rank came too early";
    } catch (const CommunicationError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("A_adjoint of stack 1"), std::string::npos) << text;
      if (GetParam().name != "process_group" && GetParam().name != "process_group_2_ranks_a_node") {  // without a store
        EXPECT_NE(text.find("rank " + std::to_string(late) + ", which has not come"), std::string::npos) << text;
      }
    }
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(60));
    EXPECT_THROW(call(*comm), CommunicationError);
    MPI_Send(nullptr, 0, MPI_BYTE, late, 0, MPI_COMM_WORLD);
  }
}

TEST_P(Leaving, AForkedProcessIsNoRank) {
  const auto comm = GetParam().make({});
  comm->barrier();
  const pid_t child = fork();
  if (child == 0) {
    int code = comm->size() == 1 ? 0 : 1;
    try {
      comm->barrier();
    } catch (const CommunicationError& error) {
      code = std::string(error.what()).find("forked") != std::string::npos ? 0 : 2;
    }
    comm->leave();
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  at::Tensor x = at::ones({10});
  comm->all_reduce(x);
  EXPECT_EQ(x[0].item<float>(), static_cast<float>(comm->size()));
}

TEST_P(Leaving, TwoThreadsAtOnceAreAnError) {
  const auto comm = GetParam().make({});
  comm->barrier();
  if (comm->size() > 1) {
    const CallScope scope = comm->enter({.name = "a call"});
    std::thread other([&] { EXPECT_THROW(comm->barrier(), Error); });
    other.join();
  }
  comm->barrier();
  std::thread later([&] { EXPECT_NO_THROW(comm->barrier()); });
  later.join();
}

}  // namespace

}  // namespace adjoin::test
