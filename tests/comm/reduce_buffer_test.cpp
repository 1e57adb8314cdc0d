// SPDX-License-Identifier: BSD-3-Clause
// Repeated reductions from a ReduceBuffer, through shared memory, through the network, and through both (pretended
// nodes).
#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "adjoin/comm/mpi.hpp"
#include "adjoin/core/errors.hpp"
#include "communicator_fixture.hpp"

namespace adjoin::test {

namespace {

class ReduceBuffers : public EngineTest {};

INSTANTIATE_TEST_SUITE_P(Engines, ReduceBuffers, ::testing::ValuesIn(all_engines()), name_of);

TEST_P(ReduceBuffers, CombineEveryDtypeAndOperation) {
  const auto run = [&](at::ScalarType dtype, ReduceOp op) {
    for (const std::int64_t numel : {17, 1000, 9001}) {
      const auto buffer = comm->reduce_buffer(numel, dtype, at::kCPU);
      EXPECT_EQ(buffer->input().sizes(), at::IntArrayRef({numel}));
      buffer->input().copy_(sample({numel}, dtype, rank));
      at::Tensor output = at::empty({numel}, dtype);
      buffer->all_reduce(output, op);
      // In double precision, as complex half tensors cannot be compared.
      const at::ScalarType exact = at::isComplexType(dtype) ? at::kComplexDouble : at::kDouble;
      EXPECT_TRUE(at::equal(output.to(exact), expected_reduction({numel}, dtype, size, op).to(exact)))
          << dtype << " " << static_cast<int>(op);
    }
  };
  for (const ReduceOp op : all_ops) {
    for (const at::ScalarType dtype : real_dtypes) {
      run(dtype, op);
    }
  }
  for (const at::ScalarType dtype : complex_dtypes) {
    run(dtype, ReduceOp::sum);
    run(dtype, ReduceOp::product);
  }
}

// The next contribution is written at once, beginning with its end, while slower ranks may still be reading the last
// one.
TEST_P(ReduceBuffers, SuccessiveRoundsDoNotMix) {
  for (const std::int64_t numel : {3, 5000, 200000}) {  // the last beyond what stays in each rank's own memory
    const auto buffer = comm->reduce_buffer(numel, at::kFloat, at::kCPU);
    const auto contribute = [&](int round) {
      const at::Tensor& input = buffer->input();
      input.slice(0, -100).fill_(-1);
      input.fill_(rank * 1000.0 + round);
    };
    const int rounds = 200;
    int wrong_rounds = 0;
    at::Tensor output = at::empty({numel});
    contribute(0);
    for (int round = 0; round < rounds; ++round) {
      buffer->all_reduce(output);
      contribute(round + 1);
      const float expected = 500.0F * static_cast<float>(size * (size - 1)) + static_cast<float>(size * round);
      // A rank that stopped here would leave the others waiting: failures are only counted.
      wrong_rounds += output.min().item<float>() == expected && output.max().item<float>() == expected ? 0 : 1;
    }
    EXPECT_EQ(wrong_rounds, 0) << numel << " elements";
  }
}

TEST_P(ReduceBuffers, ReductionsLeaveTheContributionAsItIs) {
  for (const std::int64_t numel : {3, 9001, 300001}) {
    const auto buffer = comm->reduce_buffer(numel, at::kDouble, at::kCPU);
    const at::Tensor mine = sample({numel}, at::kDouble, rank);
    buffer->input().copy_(mine);
    at::Tensor output = at::empty({numel}, at::kDouble);
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::product, ReduceOp::max}) {
      buffer->all_reduce(output, op);
      EXPECT_TRUE(at::equal(buffer->input(), mine)) << numel;
      static_cast<void>(buffer->all_reduce_shared(op));
      EXPECT_TRUE(at::equal(buffer->input(), mine)) << numel << ", shared";
    }
  }
}

TEST_P(ReduceBuffers, LargeResultsOfAnyAlignment) {
  const std::int64_t numel = (std::int64_t{4} << 20) + 3;
  const auto buffer = comm->reduce_buffer(numel, at::kFloat, at::kCPU);
  const at::Tensor memory = at::empty({numel + 1});
  for (const std::int64_t offset : {0, 1}) {
    buffer->input().fill_(rank + offset);
    buffer->input()[-1].fill_(7);
    at::Tensor output = memory.narrow(0, offset, numel);
    buffer->all_reduce(output);
    const auto expected = 0.5F * static_cast<float>(size * (size - 1) + 2 * size * offset);
    EXPECT_EQ(output[-1].item<float>(), 7.0F * static_cast<float>(size));
    EXPECT_EQ(output.narrow(0, 0, numel - 1).min().item<float>(), expected);
    EXPECT_EQ(output.narrow(0, 0, numel - 1).max().item<float>(), expected);
  }
}

TEST_P(ReduceBuffers, SharedResultsLastUntilTheReductionAfterTheNext) {
  for (const std::int64_t numel : {7, 4096, 300001}) {
    const auto buffer = comm->reduce_buffer(numel, at::kDouble, at::kCPU);
    at::Tensor own = at::empty({numel}, at::kDouble);
    at::Tensor last;
    double last_sum = 0.0;
    for (int round = 1; round < 12; ++round) {
      double sum = 0.0;
      for (int r = 0; r < comm->size(); ++r) {
        sum += r + 10.0 * round;
      }
      buffer->input().fill_(comm->rank() + 10.0 * round);
      if (round % 4 == 0) {  // in between, one into memory of this rank's own
        buffer->all_reduce(own);
        EXPECT_TRUE(at::equal(own, at::full_like(own, sum))) << round;
        last.reset();
        continue;
      }
      const at::Tensor result = buffer->all_reduce_shared();
      EXPECT_TRUE(at::equal(result, at::full({numel}, sum, at::kDouble))) << round;
      if (last.defined()) {
        EXPECT_TRUE(at::equal(last, at::full({numel}, last_sum, at::kDouble))) << round;
      }
      last = result;
      last_sum = sum;
    }
  }
}

/// `counts` for ranks that have parts of different sizes, one of them none.
std::vector<std::int64_t> uneven_parts(int ranks, std::int64_t unit) {
  std::vector<std::int64_t> counts;
  for (int r = 0; r < ranks; ++r) {
    counts.push_back((r + 1) % 3 * unit);
  }
  return counts;
}

TEST_P(ReduceBuffers, GatherPartsAndAddUpWhatIsBehindThem) {
  for (const std::int64_t unit : {0, 5, 1000, 200001}) {
    const std::vector<std::int64_t> counts = uneven_parts(size, unit);
    std::vector<at::Tensor> parts;
    for (int r = 0; r < size; ++r) {
      parts.push_back(at::arange(counts[static_cast<std::size_t>(r)], at::kFloat) + 1000.0 * r);
    }
    const at::Tensor expected = at::cat(parts);
    const std::int64_t numel = expected.numel();
    const auto own = static_cast<std::size_t>(rank);
    const std::int64_t start = std::accumulate(counts.begin(), counts.begin() + rank, std::int64_t{0});
    const auto buffer = comm->reduce_buffer(numel + 3, at::kFloat, at::kCPU);
    const auto lay_out = [&](const at::Tensor& place, int round) {
      buffer->input().fill_(rank + round);
      place.fill_(-1);
      place.narrow(0, start, counts[own]).copy_(parts[own] + round);
    };
    const auto check_tail = [&](int round) {
      const auto sum = 0.5 * size * (size - 1) + size * round;
      EXPECT_TRUE(at::equal(buffer->input().narrow(0, numel, 3), at::full({3}, sum, at::kFloat)));
    };
    at::Tensor output = at::empty({numel});
    for (int round = 0; round < 8; ++round) {
      lay_out(output, round);
      buffer->input().narrow(0, 0, numel).fill_(-1);
      buffer->all_gather(output, counts);
      EXPECT_TRUE(at::equal(output, expected + round)) << unit << " " << round;
      check_tail(round);
    }
    at::Tensor last;
    for (int round = 0; round < 8; ++round) {
      lay_out(buffer->input().narrow(0, 0, numel), round);
      const at::Tensor result = buffer->all_gather_shared(counts).narrow(0, 0, numel);
      EXPECT_TRUE(at::equal(result, expected + round)) << unit << " " << round;
      check_tail(round);
      if (last.defined()) {
        EXPECT_TRUE(at::equal(last, expected + (round - 1)));
      }
      last = result;
    }
  }
}

TEST_P(ReduceBuffers, CheckTheirParts) {
  const auto buffer = comm->reduce_buffer(10, at::kFloat, at::kCPU);
  const auto ranks = static_cast<std::size_t>(size);
  std::vector<std::int64_t> too_many(ranks, 0);
  too_many[0] = 11;
  std::vector<std::int64_t> negative(ranks, 0);
  negative[0] = -1;
  for (const std::vector<std::int64_t>& counts : {std::vector<std::int64_t>(ranks + 1), too_many, negative}) {
    at::Tensor output = at::empty({std::max<std::int64_t>(counts[0], 0)});
    EXPECT_THROW(buffer->all_gather(output, counts), InvalidArgument);
    EXPECT_THROW((void)buffer->all_gather_shared(counts), InvalidArgument);
  }
  at::Tensor longer = at::empty({3});
  EXPECT_THROW(buffer->all_gather(longer, std::vector<std::int64_t>(ranks, 0)), InvalidArgument);
}

TEST_P(ReduceBuffers, RanksGetTheSameBits) {
  const auto buffer = comm->reduce_buffer(10000, at::kFloat, at::kCPU);
  buffer->input().copy_(at::sin(at::arange(10000, at::kFloat) * (1.0 + rank)));
  at::Tensor output = at::empty({100, 100});
  buffer->all_reduce(output);
  at::Tensor of_root = output.clone();
  comm->broadcast(of_root, 0);
  EXPECT_TRUE(at::equal(output, of_root));
}

TEST_P(ReduceBuffers, InterleaveWithEachOtherAndWithOtherCollectives) {
  const auto a = comm->reduce_buffer(3000, at::kDouble, at::kCPU);
  const auto b = comm->reduce_buffer(40, at::kComplexFloat, at::kCPU);
  at::Tensor a_sum = at::empty({3000}, at::kDouble);
  at::Tensor b_sum = at::empty({40}, at::kComplexFloat);
  for (int round = 0; round < 20; ++round) {
    a->input().copy_(sample({3000}, at::kDouble, rank, round));
    b->input().copy_(sample({40}, at::kComplexFloat, rank, round));
    std::array<double, 2> numbers = {1.0, rank * 1.0};
    if (round % 3 != 0) {
      b->all_reduce(b_sum);
    }
    comm->all_reduce(numbers);
    a->all_reduce(a_sum);
    if (round % 3 == 0) {
      b->all_reduce(b_sum);
    }
    EXPECT_TRUE(at::equal(a_sum, expected_reduction({3000}, at::kDouble, size, ReduceOp::sum, round)));
    EXPECT_TRUE(at::equal(b_sum, expected_reduction({40}, at::kComplexFloat, size, ReduceOp::sum, round)));
    EXPECT_EQ(numbers[0], size);
    EXPECT_EQ(numbers[1], size * (size - 1) / 2.0);
  }
}

TEST_P(ReduceBuffers, AreDroppedInAnyOrderAndMadeAnew) {
  std::vector<std::unique_ptr<ReduceBuffer>> buffers;
  for (const std::int64_t numel : {1000, 2000, 4000}) {
    buffers.push_back(comm->reduce_buffer(numel, at::kFloat, at::kCPU));
  }
  // Each rank drops another one, and one rank keeps a tensor of it.
  const auto dropped = static_cast<std::size_t>(rank % 3);
  const at::Tensor kept = buffers[dropped]->input();
  kept.fill_(42);
  buffers[dropped].reset();
  for (const std::int64_t numel : {500, 1500, 6000}) {
    buffers.push_back(comm->reduce_buffer(numel, at::kFloat, at::kCPU));
  }
  for (std::size_t i = 3; i < buffers.size(); ++i) {
    const std::int64_t numel = buffers[i]->input().numel();
    buffers[i]->input().copy_(sample({numel}, at::kFloat, rank));
    at::Tensor output = at::empty({numel});
    buffers[i]->all_reduce(output);
    EXPECT_TRUE(at::equal(output, expected_reduction({numel}, at::kFloat, size, ReduceOp::sum)));
  }
  EXPECT_TRUE(at::equal(kept, at::full_like(kept, 42)));
}

TEST_P(ReduceBuffers, MemoryIsReused) {
  for (int i = 0; i < 50; ++i) {
    const auto buffer = comm->reduce_buffer(1 << 16, at::kFloat, at::kCPU);
    buffer->input().fill_(i);
    at::Tensor output = at::empty({1 << 16});
    buffer->all_reduce(output);
    EXPECT_EQ(output[i].item<float>(), static_cast<float>(i * size));
  }
}

TEST_P(ReduceBuffers, CountAsOneReduction) {
  const auto buffer = comm->reduce_buffer(1000, at::kFloat, at::kCPU);
  at::Tensor output = at::empty({1000});
  comm->reset_counters();
  buffer->all_reduce(output);
  EXPECT_EQ(comm->counters().collectives, 1);
  EXPECT_EQ(comm->counters().reductions, 1);
  EXPECT_EQ(comm->counters().bytes, 4000);
}

TEST_P(ReduceBuffers, MayBeEmpty) {
  const auto buffer = comm->reduce_buffer(0, at::kFloat, at::kCPU);
  at::Tensor output = at::empty({0, 2});
  buffer->all_reduce(output);
  EXPECT_EQ(buffer->input().numel(), 0);
}

TEST_P(ReduceBuffers, CheckTheirArguments) {
  const auto buffer = comm->reduce_buffer(10, at::kFloat, at::kCPU);
  at::Tensor undefined;
  at::Tensor longer = at::empty({11});
  at::Tensor wider = at::empty({10}, at::kDouble);
  at::Tensor strided = at::empty({20}).slice(0, 0, 20, 2);
  at::Tensor itself = buffer->input();
  for (at::Tensor* output : {&undefined, &longer, &wider, &strided, &itself}) {
    EXPECT_THROW(buffer->all_reduce(*output), InvalidArgument);
  }
  const auto complex = comm->reduce_buffer(10, at::kComplexFloat, at::kCPU);
  at::Tensor output = at::empty({10}, at::kComplexFloat);
  EXPECT_THROW(complex->all_reduce(output, ReduceOp::max), InvalidArgument);
  if (size > 1) {
    EXPECT_THROW(comm->reduce_buffer(rank == 0 ? 10 : 11, at::kFloat, at::kCPU), CallDisagreement);
    EXPECT_THROW(comm->reduce_buffer(10, rank == 0 ? at::kFloat : at::kDouble, at::kCPU), CallDisagreement);
  }
}

TEST(MpiReduceBuffers, LocalRanksFollowTheNodes) {
  for (const int per_node : {2, 3}) {
    const auto comm = make_mpi_communicator(MPI_COMM_WORLD, {.ranks_per_node = per_node});
    EXPECT_EQ(comm->local_rank(), comm->rank() % per_node);
    EXPECT_EQ(comm->local_size(), std::min(per_node, comm->size() - comm->rank() / per_node * per_node));
  }
}

}  // namespace

}  // namespace adjoin::test
