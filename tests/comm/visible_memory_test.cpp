// SPDX-License-Identifier: BSD-3-Clause
// Memory that the other ranks see: gathers and broadcasts from there, and whose it is afterwards.
#include <ATen/ATen.h>

#include <memory>
#include <numeric>
#include <vector>

#include "adjoin/comm/mpi.hpp"
#include "adjoin/core/errors.hpp"
#include "communicator_fixture.hpp"

namespace adjoin::test {

namespace {

class VisibleMemory : public EngineTest {
 protected:
  /// A million bytes for each rank, and a few more for some.
  VisibleMemory() : counts(static_cast<std::size_t>(size)) {
    for (int r = 0; r < size; ++r) {
      counts[static_cast<std::size_t>(r)] = 250'000 + 3 * r;
    }
    numel = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  }

  /// Fills this rank's segment, and what is not its own with something else.
  void fill(const at::Tensor& buffer, int round) const {
    buffer.fill_(-1);
    segment(buffer, rank).fill_(10.0 * round + rank);
  }
  bool is_gathered(const at::Tensor& buffer, int round) const {
    bool right = true;
    for (int r = 0; r < size; ++r) {
      const at::Tensor part = segment(buffer, r);
      right = right && at::equal(part, at::full_like(part, 10.0 * round + r));
    }
    return right;
  }
  at::Tensor segment(const at::Tensor& buffer, int r) const {
    const auto begin = std::accumulate(counts.begin(), counts.begin() + r, std::int64_t{0});
    return buffer.narrow(0, begin, counts[static_cast<std::size_t>(r)]);
  }
  /// Visible memory, or where this engine has none, ordinary.
  at::Tensor memory() {
    at::Tensor visible = comm->visible(numel, at::kFloat);
    return visible.defined() ? visible : at::empty({numel});
  }

  std::vector<std::int64_t> counts;
  std::int64_t numel;
};

INSTANTIATE_TEST_SUITE_P(Engines, VisibleMemory, ::testing::ValuesIn(all_engines()), name_of);

TEST_P(VisibleMemory, IsThereWhereAskedForOnOneNode) {
  const at::Tensor visible = comm->visible(numel, at::kFloat);
  if (size > 1 && GetParam().name == "mpi_in_place") {
    ASSERT_TRUE(visible.defined());
    EXPECT_EQ(visible.sizes(), at::IntArrayRef({numel}));
    EXPECT_EQ(visible.scalar_type(), at::kFloat);
  } else if (size == 1 || GetParam().name == "mpi_in_pieces" || GetParam().name == "mpi_alone") {
    EXPECT_FALSE(visible.defined());
  }
}

// Two results in turn, as in use: the one before is still held, and changed, while the next is gathered.
TEST_P(VisibleMemory, IsGatheredFromAndIsThenThisRanksOwn) {
  std::vector<at::Tensor> results = {memory(), memory()};
  for (int round = 0; round < 20; ++round) {
    at::Tensor& now = results[static_cast<std::size_t>(round % 2)];
    const at::Tensor& before = results[static_cast<std::size_t>(1 - round % 2)];
    fill(now, round);
    comm->all_gather_v_inplace(now, counts);
    EXPECT_TRUE(is_gathered(now, round)) << round;
    if (round > 0) {
      EXPECT_EQ(before.min().item<float>(), static_cast<float>(-1 - rank)) << round;
    }
    now.fill_(-1 - rank);  // at once, while slower ranks may still be reading
  }
}

TEST_P(VisibleMemory, RanksThatHaveNoneGatherWithThoseThatHave) {
  const at::Tensor visible = memory();
  for (int round = 0; round < 8; ++round) {
    at::Tensor buffer = (rank + round) % 2 == 0 ? visible : at::empty({numel});
    fill(buffer, round);
    comm->all_gather_v_inplace(buffer, counts);
    EXPECT_TRUE(is_gathered(buffer, round)) << round;
    buffer.fill_(-1);
  }
}

TEST_P(VisibleMemory, IsBroadcastFrom) {
  at::Tensor buffer = memory();
  for (int root = 0; root < size; ++root) {
    buffer.fill_(rank);
    comm->broadcast(buffer, root);
    EXPECT_TRUE(at::equal(buffer, at::full_like(buffer, root)));
    buffer.fill_(-1);
  }
}

TEST_P(VisibleMemory, IsReducedLikeAnyOther) {
  at::Tensor buffer = memory();
  buffer.fill_(rank + 1);
  comm->all_reduce(buffer);
  EXPECT_TRUE(at::equal(buffer, at::full_like(buffer, 0.5 * size * (size + 1))));
}

// Contributions of whole numbers, whose sums are exact in any order. The sum is changed at once, while slower ranks may
// still be reading, and the last one is still held; in some rounds ranks have memory that others do not see.
TEST_P(VisibleMemory, TakesSumsOfContributionsAndIsThenThisRanksOwn) {
  const auto buffer = comm->reduce_buffer(numel, at::kFloat, at::kCPU);
  const std::vector<at::Tensor> results = {memory(), memory()};
  const at::Tensor pattern = at::arange(numel, at::kFloat).remainder(1000);
  for (int round = 0; round < 12; ++round) {
    buffer->input().copy_(pattern * (rank + 1) + round);
    const bool seen = round % 3 != 2 || rank == 0;
    at::Tensor now = seen ? results[static_cast<std::size_t>(round % 2)] : at::empty({numel});
    const at::Tensor& before = results[static_cast<std::size_t>(1 - round % 2)];
    now.fill_(-1);
    buffer->all_reduce(now);
    EXPECT_TRUE(at::equal(now, pattern * (0.5 * size * (size + 1)) + size * round)) << round;
    if (round > 1) {
      EXPECT_TRUE(at::equal(before, at::full_like(before, -2 - rank))) << round;
    }
    now.fill_(-2 - rank);
  }
}

TEST_P(VisibleMemory, OutlivesItsCommunicator) {
  const at::Tensor kept = memory();
  kept.fill_(rank);
  comm.reset();
  EXPECT_TRUE(at::equal(kept, at::full_like(kept, rank)));
}

TEST_P(VisibleMemory, MustBeAskedForByAllAlike) {
  EXPECT_THROW((void)comm->visible(-1, at::kFloat), InvalidArgument);
  if (size > 1) {
    EXPECT_THROW((void)comm->visible(rank == 0 ? numel : numel + 1, at::kFloat), CallDisagreement);
  }
}

}  // namespace

}  // namespace adjoin::test
