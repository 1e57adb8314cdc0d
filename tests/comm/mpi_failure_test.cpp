// MPI that fails or grants less than asked for: its functions here stand before those of the library.
#include <ATen/ATen.h>
#include <mpi.h>

#include <numeric>
#include <optional>
#include <thread>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "communicator_fixture.hpp"

namespace {

/// How many broadcasts are started before one fails; none does when negative.
int broadcasts_before_failure = -1;
std::optional<int> granted_level;

}  // namespace

extern "C" int MPI_Ibcast(void* buffer, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request* request) {
  if (broadcasts_before_failure >= 0 && broadcasts_before_failure-- == 0) {
    return MPI_ERR_OTHER;
  }
  return PMPI_Ibcast(buffer, count, type, root, comm, request);
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
