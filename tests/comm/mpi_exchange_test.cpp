// SPDX-License-Identifier: BSD-3-Clause
// Reductions by messages between pairs of ranks: the order of their sums, parts of any length, memory.
#include "comm/backend/mpi_exchange.hpp"

#include <ATen/ATen.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <numeric>

#include "communicator_fixture.hpp"
#include "kernels/reduce_kernels.hpp"

namespace adjoin::test {

namespace {

using Counts = std::vector<std::int64_t>;

class PairwiseCollectivesTest : public ::testing::Test {
 protected:
  /// Different on every rank, and such that sums depend on their order.
  at::Tensor contribution(std::int64_t numel, at::ScalarType dtype, int of) const {
    const at::Tensor values = at::sin(at::arange(numel, at::kDouble) * (of + 1) + of);
    return (at::isIntegralType(dtype, false) ? values * 100 : values).to(dtype);
  }
  /// The reduction in the order of the ranks.
  at::Tensor expected(std::int64_t numel, at::ScalarType dtype, ReduceOp op) const {
    std::vector<at::Tensor> contributions;
    std::vector<const void*> sources;
    for (int r = 0; r < size; ++r) {
      contributions.push_back(contribution(numel, dtype, r));
      sources.push_back(contributions.back().const_data_ptr());
    }
    at::Tensor result = at::empty_like(contributions.front());
    reduce_arrays(dtype, op, result.mutable_data_ptr(), sources, static_cast<std::size_t>(numel));
    return result;
  }

  mpi::OwnedComm comm = mpi::OwnedComm::duplicate(MPI_COMM_WORLD);
  int rank = comm.rank();
  int size = comm.size();
  std::shared_ptr<mpi::Waiter> waiter = std::make_shared<mpi::Waiter>(
      comm, std::chrono::seconds(60), [] { return "a test"; }, [](int r) { return c10::str("rank ", r); });
  mpi::PairwiseCollectives pairwise{waiter};
};

TEST_F(PairwiseCollectivesTest, AllRanksGetTheReductionInTheirOrder) {
  for (const std::int64_t numel : {std::int64_t{0}, std::int64_t{1}, std::int64_t{7}, std::int64_t{1000},
                                   std::int64_t{262'144}, std::int64_t{1'234'567}}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kHalf, at::kComplexFloat, at::kInt}) {
      for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max}) {
        if (op == ReduceOp::max && at::isComplexType(dtype)) {
          continue;
        }
        const at::Tensor input = contribution(numel, dtype, rank);
        const at::Tensor before = input.clone();
        at::Tensor output = at::empty_like(input);
        pairwise.all_reduce(input, output, op);
        EXPECT_TRUE(at::equal(output, expected(numel, dtype, op))) << numel << " " << dtype;
        EXPECT_TRUE(at::equal(input, before)) << "the input changed";
        at::Tensor in_place = input;
        pairwise.all_reduce(in_place, in_place, op);
        EXPECT_TRUE(at::equal(in_place, output)) << numel << " " << dtype << " in place";
      }
    }
  }
}

TEST_F(PairwiseCollectivesTest, EachRankGetsItsPartHoweverLongTheOthersAre) {
  for (const std::int64_t longest : {std::int64_t{1}, std::int64_t{5000}, std::int64_t{700'001}}) {
    for (int full = 0; full < size; ++full) {
      Counts counts(static_cast<std::size_t>(size), 3);
      counts[static_cast<std::size_t>(full)] = longest;
      counts[static_cast<std::size_t>((full + 1) % size)] = size == 1 ? longest : 0;
      const std::int64_t numel = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
      const std::int64_t begin = std::accumulate(counts.begin(), counts.begin() + rank, std::int64_t{0});
      at::Tensor part = at::empty({counts[static_cast<std::size_t>(rank)]}, at::kFloat);
      pairwise.reduce_scatter(contribution(numel, at::kFloat, rank), part, counts, ReduceOp::sum);
      EXPECT_TRUE(at::equal(part, expected(numel, at::kFloat, ReduceOp::sum).narrow(0, begin, part.numel())));
    }
  }
}

// Sanitizers take memory of their own for any, and have taken most addresses.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(PairwiseCollectivesTest, TakeNoMemoryOfTheSizeOfTheArray) {
  at::Tensor values = at::ones({16 << 20});
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  if (rank == size - 1) {
    const rlimit little{static_cast<rlim_t>(pages * getpagesize() + (8 << 20)), before.rlim_max};
    setrlimit(RLIMIT_AS, &little);
  }
  pairwise.all_reduce(values, values, ReduceOp::sum);
  setrlimit(RLIMIT_AS, &before);
  EXPECT_TRUE(at::equal(values, at::full_like(values, size)));
}
#endif

}  // namespace

}  // namespace adjoin::test
