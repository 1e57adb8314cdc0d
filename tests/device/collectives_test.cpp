// SPDX-License-Identifier: BSD-3-Clause
// Collectives on tensors of a GPU, where there is one, which are staged through host memory where MPI cannot reach
// them.
#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <vector>

#include "adjoin/comm/mpi.hpp"
#include "comm/communicator_fixture.hpp"

namespace adjoin::test {

namespace {

class CollectivesOnTheDevice : public EngineTest {
 protected:
  at::Device device = at::hasCUDA() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
};

INSTANTIATE_TEST_SUITE_P(Engines, CollectivesOnTheDevice,
                         ::testing::Values(mpi_engine("mpi"),
                                           process_group_engine("process_group", Sharing::automatic)),
                         name_of);

TEST_P(CollectivesOnTheDevice, ReductionsReturnToTheDevice) {
  for (const std::int64_t rows : {4, 4000}) {
    at::Tensor x = sample({rows, 6}, at::kFloat, rank).to(device).t();
    comm->all_reduce(x);
    EXPECT_TRUE(at::equal(x.cpu(), expected_reduction({rows, 6}, at::kFloat, size, ReduceOp::sum).t()));
    x = sample({rows, 6}, at::kFloat, rank).to(device);
    comm->start_all_reduce(x, ReduceOp::max).wait();
    EXPECT_TRUE(at::equal(x.cpu(), expected_reduction({rows, 6}, at::kFloat, size, ReduceOp::max)));
    const at::Tensor part = comm->reduce_scatter(sample({rows * size}, at::kFloat, rank).to(device));
    EXPECT_EQ(part.device(), device);
  }
}

TEST_P(CollectivesOnTheDevice, GathersAndBroadcastsReturnToTheDevice) {
  const at::Tensor gathered = comm->all_gather(sample({5}, at::kFloat, rank).to(device));
  for (int r = 0; r < size; ++r) {
    EXPECT_TRUE(at::equal(gathered[r].cpu(), sample({5}, at::kFloat, r)));
  }
  at::Tensor x = sample({7}, at::kComplexFloat, rank).to(device);
  comm->broadcast(x, size - 1);
  EXPECT_TRUE(at::equal(x.cpu(), sample({7}, at::kComplexFloat, size - 1)));
}

TEST_P(CollectivesOnTheDevice, ReduceBuffersOnTheDevice) {
  for (const std::int64_t numel : {10, 100000}) {
    const auto buffer = comm->reduce_buffer(numel, at::kFloat, device);
    at::Tensor output = at::empty({numel}, at::TensorOptions(device));
    for (int round = 0; round < 3; ++round) {
      buffer->input().copy_(sample({numel}, at::kFloat, rank, round));
      buffer->all_reduce(output);
      EXPECT_TRUE(at::equal(output.cpu(), expected_reduction({numel}, at::kFloat, size, ReduceOp::sum, round)));
    }
  }
}

}  // namespace

}  // namespace adjoin::test
