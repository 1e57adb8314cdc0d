// Collectives on tensors of an accelerator, which are staged through host memory where MPI cannot reach them.
#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <vector>

#include "adjoin/comm/mpi.hpp"
#include "communicator_fixture.hpp"

namespace adjoin::testing {

namespace {

class CudaCollectives : public EngineTest {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) {
      GTEST_SKIP() << "no CUDA device";
    }
  }

  at::Device device = at::Device(at::kCUDA, 0);
};

INSTANTIATE_TEST_SUITE_P(Engines, CudaCollectives,
                         ::testing::Values(mpi_engine("mpi"), process_group_engine("process_group", true)), name_of);

TEST_P(CudaCollectives, ReductionsReturnToTheDevice) {
  for (const std::int64_t rows : {4, 4000}) {
    at::Tensor x = sample({rows, 6}, at::kFloat, rank).to(device).t();
    comm->all_reduce(x);
    EXPECT_TRUE(at::equal(x.cpu(), expected_reduction({rows, 6}, at::kFloat, size, ReduceOp::sum).t()));
    x = sample({rows, 6}, at::kFloat, rank).to(device);
    comm->start_all_reduce(x, ReduceOp::max).wait();
    EXPECT_TRUE(at::equal(x.cpu(), expected_reduction({rows, 6}, at::kFloat, size, ReduceOp::max)));
    const at::Tensor part = comm->reduce_scatter(sample({rows * size}, at::kFloat, rank).to(device));
    EXPECT_TRUE(part.is_cuda());
  }
}

TEST_P(CudaCollectives, GathersAndBroadcastsReturnToTheDevice) {
  const at::Tensor gathered = comm->all_gather(sample({5}, at::kFloat, rank).to(device));
  for (int r = 0; r < size; ++r) {
    EXPECT_TRUE(at::equal(gathered[r].cpu(), sample({5}, at::kFloat, r)));
  }
  at::Tensor x = sample({7}, at::kComplexFloat, rank).to(device);
  comm->broadcast(x, size - 1);
  EXPECT_TRUE(at::equal(x.cpu(), sample({7}, at::kComplexFloat, size - 1)));
}

TEST_P(CudaCollectives, ReduceBuffersOnTheDevice) {
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

}  // namespace adjoin::testing
