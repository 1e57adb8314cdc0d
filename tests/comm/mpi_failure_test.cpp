// SPDX-License-Identifier: BSD-3-Clause
// MPI that fails or grants less than asked for: its functions here stand before those of the library.
#include <ATen/ATen.h>
#include <mpi.h>

#include <chrono>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "communicator_fixture.hpp"

namespace {

/// How many broadcasts are started before one fails; none does when negative.
int broadcasts_before_failure = -1;
bool reductions_fail = false;
bool messages_fail = false;
bool gathers_fail = false;
std::optional<int> granted_level;

}  // namespace

extern "C" int MPI_Ibcast(void* buffer, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request* request) {
  if (broadcasts_before_failure >= 0 && broadcasts_before_failure-- == 0) {
    return MPI_ERR_OTHER;
  }
  return PMPI_Ibcast(buffer, count, type, root, comm, request);
}

extern "C" int MPI_Iallreduce(const void* from, void* to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                              MPI_Request* request) {
  return reductions_fail ? MPI_ERR_NO_MEM : PMPI_Iallreduce(from, to, count, type, op, comm, request);
}

extern "C" int MPI_Iallgatherv(const void* from, int count, MPI_Datatype type, void* to, const int counts[],
                               const int offsets[], MPI_Datatype received, MPI_Comm comm, MPI_Request* request) {
  return gathers_fail ? MPI_ERR_NO_MEM
                      : PMPI_Iallgatherv(from, count, type, to, counts, offsets, received, comm, request);
}

// A message that says that this rank has failed gets through.
extern "C" int MPI_Isend(const void* from, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
                         MPI_Request* request) {
  return messages_fail && count > 1 ? MPI_ERR_NO_MEM : PMPI_Isend(from, count, type, to, tag, comm, request);
}

extern "C" int MPI_Query_thread(int* level) {
  if (granted_level) {
    *level = *granted_level;
    return MPI_SUCCESS;
  }
  return PMPI_Query_thread(level);
}

namespace adjoin::test {

namespace {

// What has been started goes on writing to the buffer, which lasts until that is done.
TEST(FailingMpi, WhatWasStartedIsFinishedBeforeItsMemoryGoes) {
  const auto comm =
      make_mpi_communicator(MPI_COMM_WORLD, {.shared_memory = {.sharing = Sharing::off}, .max_count = 1000});
  if (comm->size() == 1) {
    return;
  }
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(comm->size()), 5000);
  for (const int before : {0, 1, 7}) {
    at::Tensor kept;
    {
      at::Tensor buffer = at::full({5000 * comm->size()}, comm->rank());
      kept = buffer;
      broadcasts_before_failure = before;
      EXPECT_THROW(comm->start_all_gather_v_inplace(buffer, counts).wait(), CommunicationError);
    }
    for (int piece = 0; piece < before; ++piece) {
      EXPECT_EQ(kept[1000 * piece].item<int>(), piece / 5) << "a broadcast from rank " << piece / 5;
    }
    broadcasts_before_failure = -1;
    at::Tensor buffer = at::full({5000 * comm->size()}, comm->rank());
    comm->all_gather_v_inplace(buffer, counts);
    EXPECT_EQ(buffer[-1].item<int>(), comm->size() - 1);
  }
}

// MPI has failed on one rank: the others are told at once, wait for nobody, and the group is at its end on all of them.
TEST(FailingMpi, WhoWaitsForARankOnWhichMpiFailsIsTold) {
  for (bool* const fails : {&reductions_fail, &messages_fail, &gathers_fail}) {
    for (const int nodes_of : {0, 1}) {
      const auto comm = make_mpi_communicator(
          MPI_COMM_WORLD, {.shared_memory = {.sharing = nodes_of == 0 ? Sharing::off : Sharing::automatic},
                           .timeout = std::chrono::seconds(60),
                           .ranks_per_node = nodes_of});
      if (comm->size() == 1) {
        return;
      }
      const int last = comm->size() - 1;
      at::Tensor small = at::ones({10});
      at::Tensor large = at::ones({1'000'000});
      comm->all_reduce(small);
      const auto start = std::chrono::steady_clock::now();
      *fails = comm->rank() == last;
      try {
        if (fails == &gathers_fail) {
          comm->all_gather_v(small, std::vector<std::int64_t>(static_cast<std::size_t>(comm->size()), 10));
        } else {
          comm->all_reduce(fails == &reductions_fail ? small : large);
        }
        ADD_FAILURE() << "no error on rank " << comm->rank();
      } catch (const CommunicationError& error) {
        const std::string text = error.what();
        EXPECT_NE(text.find(comm->rank() == last ? "MPI_I" : "MPI has failed on rank " + std::to_string(last)),
                  std::string::npos)
            << text;
      }
      *fails = false;
      EXPECT_THROW(comm->all_reduce(small), CommunicationError);
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
      MPI_Barrier(MPI_COMM_WORLD);
    }
  }
}

TEST(FailingMpi, WhoeverIsToldOfAFailureInAnEarlierCallRemembersIt) {
  const auto comm = make_mpi_communicator(
      MPI_COMM_WORLD, {.shared_memory = {.sharing = Sharing::off}, .timeout = std::chrono::seconds(60)});
  if (comm->size() < 3) {
    return;
  }
  const int last = comm->size() - 1;
  at::Tensor value = at::ones({1});
  const auto start = std::chrono::steady_clock::now();
  if (comm->rank() == last) {
    reductions_fail = true;
    EXPECT_THROW(comm->all_reduce(value), CommunicationError);
    reductions_fail = false;
    MPI_Barrier(MPI_COMM_WORLD);
    return;
  }
  if (comm->rank() == 0) {
    comm->recv(value, 1, 0);  // the message that the last rank has failed comes while this one waits for another
  } else if (comm->rank() == 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    comm->send(value, 0, 0);
  }
  EXPECT_THROW(comm->all_reduce(value), CommunicationError);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  MPI_Barrier(MPI_COMM_WORLD);
}

TEST(FailingMpi, ThreadsAreKeptApartWhereMpiGrantsOneAlone) {
  granted_level = MPI_THREAD_FUNNELED;
  const auto comm = make_mpi_communicator(MPI_COMM_WORLD);
  granted_level.reset();
  comm->barrier();
  std::thread other([&] {
    if (comm->size() > 1) {
      EXPECT_THROW(comm->barrier(), CommunicationError);
    }
  });
  other.join();
  comm->barrier();
}

}  // namespace

}  // namespace adjoin::test
