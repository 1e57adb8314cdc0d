// SPDX-License-Identifier: BSD-3-Clause
// Reductions of which each rank gets a part, and gathers of such parts, through every engine.
#include <ATen/ATen.h>

#include <numeric>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "communicator_fixture.hpp"

namespace adjoin::test::reduce_scatter_test {
namespace {

class ReduceScatter : public EngineTest {
 protected:
  // Lengths of the ranks' parts: unlike, and that of one rank zero where there are several.
  std::vector<std::int64_t> unlike(std::int64_t about) const {
    std::vector<std::int64_t> counts;
    for (int r = 0; r < size; ++r) {
      counts.push_back(size > 1 && r == 1 ? 0 : about + 3 * r);
    }
    return counts;
  }
  at::Tensor own_part(const at::Tensor& whole, const std::vector<std::int64_t>& counts) const {
    const auto begin = std::accumulate(counts.begin(), counts.begin() + rank, std::int64_t{0});
    return whole.narrow(0, begin, counts[static_cast<std::size_t>(rank)]);
  }
  static std::int64_t total(const std::vector<std::int64_t>& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  }
};

INSTANTIATE_TEST_SUITE_P(Engines, ReduceScatter, ::testing::ValuesIn(all_engines()), name_of);

TEST_P(ReduceScatter, GivesEachRankItsPartInEveryDtypeAndOperation) {
  for (const ReduceOp op : all_ops) {
    for (const at::ScalarType dtype : real_dtypes) {
      for (const std::int64_t about : {0, 5, 3000}) {
        const auto counts = unlike(about);
        const std::vector<std::int64_t> shape = {total(counts)};
        const at::Tensor mine = comm->reduce_scatter_v(sample(shape, dtype, rank), counts, op);
        EXPECT_TRUE(at::equal(mine, own_part(expected_reduction(shape, dtype, size, op), counts)))
            << dtype << " " << static_cast<int>(op) << " " << about;
      }
    }
  }
}

TEST_P(ReduceScatter, IsCountedOnce) {
  comm->reset_counters();
  (void)comm->reduce_scatter_v(sample({total(unlike(10))}, at::kFloat, rank), unlike(10));
  EXPECT_EQ(comm->counters().collectives, 1);
  EXPECT_EQ(comm->counters().scatters, 1);
  EXPECT_EQ(comm->counters().reductions, 1);
}

// The next contribution is written at once while slower ranks may still be reading, and parts are written into while
// they read the whole.
TEST_P(ReduceScatter, BuffersScatterAndGatherInTurns) {
  constexpr std::int64_t behind = 3;
  for (const at::ScalarType dtype : {at::kFloat, at::kComplexDouble}) {
    for (const std::int64_t about : {4, 2000, 100000}) {  // the last beyond what stays in each rank's own memory
      const auto counts = unlike(about);
      const std::int64_t numel = total(counts);
      const auto buffer = comm->reduce_buffer(numel + behind, dtype, at::kCPU);
      const at::Tensor positions = at::arange(numel, at::kDouble).to(dtype);
      const at::Tensor expected = size * positions + 0.5 * static_cast<double>(size * (size - 1));
      at::Tensor part = at::empty({counts[static_cast<std::size_t>(rank)]}, dtype);
      int wrong = 0;
      for (int round = 0; round < 20; ++round) {
        // A rank that stopped here would leave the others waiting: failures are only counted.
        const at::Tensor& input = buffer->input();
        input.narrow(0, numel, behind).fill_(rank + round);
        input.narrow(0, 0, numel).copy_(positions + rank + round);
        buffer->reduce_scatter(part, counts);
        wrong += at::equal(part, own_part(expected + size * round, counts)) ? 0 : 1;
        const double tail = 0.5 * size * (size - 1) + size * round;
        wrong += at::equal(input.narrow(0, numel, behind), at::full({behind}, tail, dtype)) ? 0 : 1;

        input.narrow(0, numel, behind).fill_(rank);
        const at::Tensor& whole = buffer->all_gather_shared(part, counts);
        wrong += at::equal(whole.narrow(0, 0, numel), expected + size * round) ? 0 : 1;
        wrong += at::equal(input.narrow(0, numel, behind), at::full({behind}, 0.5 * size * (size - 1), dtype)) ? 0 : 1;
        part.fill_(-1);
      }
      EXPECT_EQ(wrong, 0) << about << " " << dtype;
    }
  }
}

TEST_P(ReduceScatter, RefusesWhatDoesNotFit) {
  if (size == 1) {
    return;
  }
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(size), 4);
  EXPECT_THROW((void)comm->reduce_scatter_v(at::zeros({4 * size + 1}), counts), Error);
  const auto buffer = comm->reduce_buffer(4 * size, at::kFloat, at::kCPU);
  at::Tensor part = at::zeros({3});
  EXPECT_THROW(buffer->reduce_scatter(part, counts), Error);
  EXPECT_THROW((void)buffer->all_gather_shared(part, counts), Error);
  // One rank's part alone does not fit: every rank hears of it, and the next collective works.
  at::Tensor fitting = at::zeros({rank == 0 ? 3 : 4});
  EXPECT_THROW(buffer->reduce_scatter(fitting, counts), Error);
  at::Tensor right = at::zeros({4});
  buffer->input().fill_(1);
  buffer->reduce_scatter(right, counts);
  EXPECT_TRUE(at::equal(right, at::full({4}, static_cast<float>(size))));
}

}  // namespace
}  // namespace adjoin::test::reduce_scatter_test
