// SPDX-License-Identifier: BSD-3-Clause
// The engine of one process.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>

#include "adjoin/comm/single.hpp"
#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

TEST(SingleCommunicator, EveryCollectiveIsTheIdentity) {
  const auto comm = make_single_communicator();
  EXPECT_EQ(comm->size(), 1);
  EXPECT_EQ(comm->rank(), 0);
  const at::Tensor x = at::arange(6, at::kFloat).view({2, 3});
  at::Tensor y = x.clone();
  comm->all_reduce(y);
  comm->start_all_reduce(y, ReduceOp::max).wait();
  comm->broadcast(y, 0);
  comm->start_broadcast(y, 0).wait();
  EXPECT_TRUE(at::equal(y, x));
  EXPECT_TRUE(at::equal(comm->all_gather(x), x.unsqueeze(0)));
  EXPECT_TRUE(at::equal(comm->all_gather_v(x.view(-1), {6}), x.view(-1)));
  EXPECT_TRUE(at::equal(comm->reduce_scatter(x), x));
  std::array<double, 2> values = {1.0, 2.0};
  comm->all_reduce(values);
  EXPECT_EQ(values[1], 2.0);
  EXPECT_EQ(comm->broadcast_bytes("abc", 0), "abc");
  EXPECT_EQ(comm->all_gather_bytes("abc"), std::vector<std::string>{"abc"});
  comm->barrier();
  EXPECT_EQ(comm->split(3, 0)->size(), 1);
}

TEST(SingleCommunicator, ReduceBufferCopies) {
  const auto comm = make_single_communicator();
  const auto buffer = comm->reduce_buffer(6, at::kFloat, at::kCPU);
  buffer->input().copy_(at::arange(6, at::kFloat));
  at::Tensor output = at::zeros({2, 3});
  comm->reset_counters();
  buffer->all_reduce(output);
  EXPECT_TRUE(at::equal(output, at::arange(6, at::kFloat).view({2, 3})));
  EXPECT_EQ(comm->counters().reductions, 1);
  EXPECT_EQ(comm->counters().bytes, 24);
}

TEST(SingleCommunicator, ChecksItsArguments) {
  const auto comm = make_single_communicator();
  at::Tensor x = at::zeros({2});
  EXPECT_THROW(comm->broadcast(x, 1), InvalidArgument);
  EXPECT_THROW(comm->all_gather_v(x, {3}), InvalidArgument);
}

}  // namespace

}  // namespace adjoin
