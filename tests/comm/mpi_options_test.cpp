// SPDX-License-Identifier: BSD-3-Clause
// What the MPI engine is made with: its options, and MPI itself.
#include <gtest/gtest.h>
#include <mpi.h>

#include "adjoin/comm/mpi.hpp"
#include "adjoin/core/errors.hpp"

namespace adjoin::test {

namespace {

TEST(MpiOptions, AreChecked) { EXPECT_THROW(make_mpi_communicator(MPI_COMM_WORLD, {.max_count = 0}), InvalidArgument); }

TEST(MpiSession, LeavesAnInitialisedMpiAlone) {
  {
    const MpiSession session;
  }
  int finalized = 1;
  MPI_Finalized(&finalized);
  EXPECT_EQ(finalized, 0);
}

}  // namespace

}  // namespace adjoin::test
