// SPDX-License-Identifier: BSD-3-Clause
// The collectives of the engines among several ranks.
#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "adjoin/comm/mpi.hpp"
#include "adjoin/core/errors.hpp"
#include "communicator_fixture.hpp"

namespace adjoin::test {

namespace {

std::vector<std::int64_t> uneven_counts(int size) {
  // Rank 1 contributes nothing.
  std::vector<std::int64_t> counts;
  for (int r = 0; r < size; ++r) {
    counts.push_back(r == 1 ? 0 : 3 + 2 * r);
  }
  return counts;
}

at::Tensor gathered_samples(const std::vector<std::int64_t>& counts, at::ScalarType dtype) {
  std::vector<at::Tensor> parts;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    parts.push_back(sample({counts[r]}, dtype, static_cast<int>(r)));
  }
  return at::cat(parts);
}

at::Tensor own_segment(const at::Tensor& buffer, const std::vector<std::int64_t>& counts, int rank) {
  return buffer.narrow(0, std::accumulate(counts.begin(), counts.begin() + rank, std::int64_t{0}),
                       counts[static_cast<std::size_t>(rank)]);
}

class Collectives : public EngineTest {};

INSTANTIATE_TEST_SUITE_P(Engines, Collectives,
                         ::testing::Values(mpi_engine("mpi"),
                                           mpi_engine("mpi_alone", {.shared_memory = {.sharing = Sharing::off}}),
                                           process_group_engine("process_group", Sharing::off),
                                           process_group_engine("process_group_shared_memory", Sharing::automatic)),
                         name_of);

TEST_P(Collectives, AllReduceCombinesEveryRealDtypeAndOperation) {
  for (const at::ScalarType dtype : real_dtypes) {
    for (const ReduceOp op : all_ops) {
      for (const std::int64_t rows : {1, 300}) {
        at::Tensor x = sample({rows, 3}, dtype, rank);
        comm->all_reduce(x, op);
        EXPECT_TRUE(at::equal(x, expected_reduction({rows, 3}, dtype, size, op)))
            << dtype << " " << static_cast<int>(op);
      }
    }
  }
}

// NaN on the first rank, on the last, and nowhere, with infinities about; with either sign.
TEST_P(Collectives, MinimaAndMaximaPassNaNOn) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    for (const ReduceOp op : {ReduceOp::min, ReduceOp::max}) {
      for (const std::int64_t repeats : {1, 3000}) {
        at::Tensor x = at::tensor({rank == 0 ? nan : -infinity, rank == size - 1 ? -nan : infinity, rank - 1.5,
                                   rank == 0 ? -infinity : 1.0, rank == 0 ? infinity : -1.0},
                                  at::kDouble);
        x = x.repeat(repeats).to(dtype);
        comm->all_reduce(x, op);
        const at::Tensor last = x.narrow(0, x.numel() - 5, 5).to(at::kDouble);
        EXPECT_TRUE(std::isnan(last[0].item<double>())) << dtype;
        EXPECT_TRUE(std::isnan(last[1].item<double>())) << dtype;
        EXPECT_EQ(last[2].item<double>(), op == ReduceOp::min ? -1.5 : size - 2.5);
        EXPECT_EQ(last[3].item<double>(), op == ReduceOp::min || size == 1 ? -infinity : 1.0);
        EXPECT_EQ(last[4].item<double>(), op == ReduceOp::max || size == 1 ? infinity : -1.0);
      }
    }
  }
}

TEST_P(Collectives, AllReduceSumsAndMultipliesComplexNumbers) {
  for (const at::ScalarType dtype : complex_dtypes) {
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::product}) {
      const c10::complex<double> turn(1.0, 2.0);
      at::Tensor x = (sample({20}, at::kComplexDouble, rank) * turn).to(dtype);
      comm->all_reduce(x, op);
      at::Tensor expected = expected_reduction({20}, at::kComplexDouble, size, op);
      for (int r = 0; r < (op == ReduceOp::sum ? 1 : size); ++r) {
        expected = expected * turn;
      }
      EXPECT_TRUE(at::equal(x.to(at::kComplexDouble), expected)) << dtype << " " << static_cast<int>(op);
    }
  }
}

TEST_P(Collectives, ComplexNumbersHaveNoMinimum) {
  at::Tensor x = at::zeros({2}, at::kComplexFloat);
  EXPECT_THROW(comm->all_reduce(x, ReduceOp::min), InvalidArgument);
  EXPECT_THROW(comm->reduce_scatter(at::zeros({4 * size}, at::kComplexFloat), ReduceOp::max), InvalidArgument);
}

TEST_P(Collectives, AllReduceTakesViewsAndLazyConjugates) {
  at::Tensor transposed = sample({4, 6}, at::kFloat, rank).t();
  comm->all_reduce(transposed);
  EXPECT_TRUE(at::equal(transposed, expected_reduction({4, 6}, at::kFloat, size, ReduceOp::sum).t()));

  const at::Tensor base = sample({5}, at::kComplexFloat, rank) * c10::complex<double>(1.0, 1.0);
  at::Tensor conjugate = base.conj();
  comm->all_reduce(conjugate);
  const at::Tensor sum = expected_reduction({5}, at::kComplexFloat, size, ReduceOp::sum);
  EXPECT_TRUE(at::equal(conjugate.resolve_conj(), sum * c10::complex<double>(1.0, -1.0)));
}

TEST_P(Collectives, AllReduceOfNumbers) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{1000}}) {
    for (int round = 0; round < 5; ++round) {
      std::vector<double> values(count);
      std::iota(values.begin(), values.end(), 10.0 * rank + round);
      comm->all_reduce(std::span<double>(values));
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(values[i], size * (static_cast<double>(i) + round) + 5.0 * size * (size - 1));
      }
    }
    std::vector<double> largest(count, rank);
    comm->all_reduce(std::span<double>(largest), ReduceOp::max);
    EXPECT_EQ(largest, std::vector<double>(count, size - 1));
  }
}

TEST_P(Collectives, EmptyTensorsPassThroughEveryCollective) {
  at::Tensor nothing = at::empty({0, 3});
  comm->all_reduce(nothing);
  comm->start_all_reduce(nothing).wait();
  comm->broadcast(nothing, 0);
  EXPECT_EQ(comm->all_gather(nothing).sizes(), at::IntArrayRef({size, 0, 3}));
  EXPECT_EQ(comm->all_gather_v(at::empty({0}), std::vector<std::int64_t>(static_cast<std::size_t>(size), 0)).numel(),
            0);
  EXPECT_EQ(comm->reduce_scatter(nothing).sizes(), at::IntArrayRef({0, 3}));
}

TEST_P(Collectives, AllGatherStacksAlongANewDimension) {
  for (const at::ScalarType dtype : {at::kFloat, at::kComplexDouble, at::kHalf, at::kBool, at::kShort}) {
    const at::Tensor gathered = comm->all_gather(sample({3, 2}, dtype, rank).t());
    ASSERT_EQ(gathered.sizes(), at::IntArrayRef({size, 2, 3}));
    for (int r = 0; r < size; ++r) {
      EXPECT_TRUE(at::equal(gathered[r], sample({3, 2}, dtype, r).t()));
    }
  }
  EXPECT_EQ(comm->all_gather(at::full({}, rank)).sizes(), at::IntArrayRef({size}));
}

TEST_P(Collectives, AllGatherVJoinsUnlikeLengths) {
  const auto counts = uneven_counts(size);
  for (const at::ScalarType dtype : {at::kFloat, at::kComplexDouble, at::kBFloat16, at::kByte}) {
    const auto own = counts[static_cast<std::size_t>(rank)];
    EXPECT_TRUE(at::equal(comm->all_gather_v(sample({own}, dtype, rank), counts), gathered_samples(counts, dtype)));

    at::Tensor buffer = at::zeros({std::accumulate(counts.begin(), counts.end(), std::int64_t{0})}, dtype);
    own_segment(buffer, counts, rank).copy_(sample({own}, dtype, rank));
    comm->all_gather_v_inplace(buffer, counts);
    EXPECT_TRUE(at::equal(buffer, gathered_samples(counts, dtype)));
  }
}

TEST_P(Collectives, ReduceScatterGivesEachRankItsPart) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kHalf, at::kInt}) {
    const at::Tensor part = comm->reduce_scatter(sample({2 * size, 3}, dtype, rank));
    EXPECT_TRUE(at::equal(part, expected_reduction({2 * size, 3}, dtype, size, ReduceOp::sum).narrow(0, 2 * rank, 2)));
  }
}

TEST_P(Collectives, BroadcastFromEveryRoot) {
  for (int root = 0; root < size; ++root) {
    at::Tensor x = sample({3, 5}, at::kComplexFloat, rank).t();
    comm->broadcast(x, root);
    EXPECT_TRUE(at::equal(x, sample({3, 5}, at::kComplexFloat, root).t()));
    at::Tensor y = sample({5}, at::kBool, rank);
    comm->start_broadcast(y, root).wait();
    EXPECT_TRUE(at::equal(y, sample({5}, at::kBool, root)));
  }
}

TEST_P(Collectives, BytesOfOneRankAndOfAll) {
  const std::string own = std::string(static_cast<std::size_t>(rank), 'x') + "\0end"[0] + std::to_string(rank);
  const int last = size - 1;
  const std::string of_last = std::string(static_cast<std::size_t>(last), 'x') + '\0' + std::to_string(last);
  EXPECT_EQ(comm->broadcast_bytes(own, last), of_last);
  EXPECT_EQ(comm->broadcast_bytes("", 0), "");
  const auto all = comm->all_gather_bytes(rank == 0 ? std::string() : own);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(size));
  EXPECT_EQ(all.front(), "");
  if (size > 1) {
    EXPECT_EQ(all.back(), of_last);
  }
}

TEST_P(Collectives, StartedCollectivesMayBeFinishedInAnyOrder) {
  at::Tensor a = sample({50}, at::kFloat, rank);
  at::Tensor b = sample({6, 2}, at::kHalf, rank).t();
  const auto counts = uneven_counts(size);
  at::Tensor c = at::zeros({std::accumulate(counts.begin(), counts.end(), std::int64_t{0})});
  own_segment(c, counts, rank).copy_(sample({counts[static_cast<std::size_t>(rank)]}, at::kFloat, rank));

  Pending first = comm->start_all_reduce(a);
  Pending second = comm->start_all_reduce(b, ReduceOp::max);
  Pending third = comm->start_all_gather_v_inplace(c, counts);
  third.wait();
  while (!second.test()) {
  }
  first.wait();
  first.wait();
  EXPECT_TRUE(at::equal(a, expected_reduction({50}, at::kFloat, size, ReduceOp::sum)));
  EXPECT_TRUE(at::equal(b, expected_reduction({6, 2}, at::kHalf, size, ReduceOp::max).t()));
  EXPECT_TRUE(at::equal(c, gathered_samples(counts, at::kFloat)));
}

// A group gathers parts of equal length only: these differ so much that it broadcasts instead of padding, or so little
// that it pads.
TEST_P(Collectives, StartedGathersOfVeryUnlikeLengths) {
  for (const std::int64_t length_of_last : {1000, 12}) {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(size), 10);
    counts.back() = length_of_last;
    at::Tensor buffer = at::zeros({std::accumulate(counts.begin(), counts.end(), std::int64_t{0})}, at::kComplexFloat);
    own_segment(buffer, counts, rank).copy_(sample({counts[static_cast<std::size_t>(rank)]}, at::kComplexFloat, rank));
    comm->start_all_gather_v_inplace(buffer, counts).wait();
    EXPECT_TRUE(at::equal(buffer, gathered_samples(counts, at::kComplexFloat)));
  }
}

// Shared memory takes these in pieces.
TEST_P(Collectives, LargeTensors) {
  const std::int64_t numel = (1 << 18) + 5;
  at::Tensor x = sample({numel}, at::kDouble, rank);
  comm->all_reduce(x);
  EXPECT_TRUE(at::equal(x, expected_reduction({numel}, at::kDouble, size, ReduceOp::sum)));
  std::vector<std::int64_t> counts(static_cast<std::size_t>(size), numel);
  counts.front() = numel / 3;
  const std::int64_t own = counts[static_cast<std::size_t>(rank)];
  EXPECT_TRUE(at::equal(comm->all_gather_v(sample({own}, at::kInt, rank), counts), gathered_samples(counts, at::kInt)));
  x = sample({numel}, at::kFloat, rank);
  comm->broadcast(x, size - 1);
  EXPECT_TRUE(at::equal(x, sample({numel}, at::kFloat, size - 1)));
}

TEST_P(Collectives, StartedReductionsOfEveryDtype) {
  for (const at::ScalarType dtype : real_dtypes) {
    for (const ReduceOp op : all_ops) {
      at::Tensor x = sample({7}, dtype, rank);
      comm->start_all_reduce(x, op).wait();
      EXPECT_TRUE(at::equal(x, expected_reduction({7}, dtype, size, op))) << dtype << " " << static_cast<int>(op);
    }
  }
  for (const at::ScalarType dtype : complex_dtypes) {
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::product}) {
      at::Tensor x = sample({7}, dtype, rank);
      Pending work = comm->start_all_reduce(x, op);
      while (!work.test()) {
      }
      EXPECT_TRUE(at::equal(x.to(at::kComplexDouble), expected_reduction({7}, dtype, size, op).to(at::kComplexDouble)));
    }
  }
}

TEST_P(Collectives, DestructionOfAPendingWaits) {
  at::Tensor x = sample({1000}, at::kFloat, rank);
  const at::Tensor same = x;
  {
    Pending work = comm->start_all_reduce(x);
    x = at::Tensor();  // the operation keeps its memory
    Pending moved = std::move(work);
  }
  EXPECT_TRUE(at::equal(same, expected_reduction({1000}, at::kFloat, size, ReduceOp::sum)));
}

TEST(MpiCollectives, LargeTensorsGoInPieces) {
  const auto pieces =
      make_mpi_communicator(MPI_COMM_WORLD, {.shared_memory = {.sharing = Sharing::off}, .max_count = 3});
  const int rank = pieces->rank();
  const int size = pieces->size();
  at::Tensor x = sample({10}, at::kHalf, rank);
  pieces->all_reduce(x);
  EXPECT_TRUE(at::equal(x, expected_reduction({10}, at::kHalf, size, ReduceOp::sum)));
  x = sample({10}, at::kFloat, rank);
  pieces->start_all_reduce(x, ReduceOp::max).wait();
  EXPECT_TRUE(at::equal(x, expected_reduction({10}, at::kFloat, size, ReduceOp::max)));

  const at::Tensor part = pieces->reduce_scatter(sample({5 * size}, at::kInt, rank));
  EXPECT_TRUE(at::equal(part, expected_reduction({5 * size}, at::kInt, size, ReduceOp::sum).narrow(0, 5 * rank, 5)));

  const auto counts = uneven_counts(size);
  const at::Tensor own = sample({counts[static_cast<std::size_t>(rank)]}, at::kDouble, rank);
  EXPECT_TRUE(at::equal(pieces->all_gather_v(own, counts), gathered_samples(counts, at::kDouble)));
  at::Tensor buffer = at::zeros({std::accumulate(counts.begin(), counts.end(), std::int64_t{0})}, at::kDouble);
  own_segment(buffer, counts, rank).copy_(own);
  pieces->start_all_gather_v_inplace(buffer, counts).wait();
  EXPECT_TRUE(at::equal(buffer, gathered_samples(counts, at::kDouble)));

  x = sample({10}, at::kLong, rank);
  pieces->broadcast(x, size - 1);
  EXPECT_TRUE(at::equal(x, sample({10}, at::kLong, size - 1)));
  x = sample({10}, at::kLong, rank);
  pieces->start_broadcast(x, 0).wait();
  EXPECT_TRUE(at::equal(x, sample({10}, at::kLong, 0)));

  const auto reduction = pieces->reduce_buffer(10, at::kFloat, at::kCPU);
  reduction->input().copy_(sample({10}, at::kFloat, rank));
  at::Tensor output = at::empty({10});
  reduction->all_reduce(output);
  EXPECT_TRUE(at::equal(output, expected_reduction({10}, at::kFloat, size, ReduceOp::sum)));
}

TEST_P(Collectives, SplitMakesCommunicatorsOfEqualColour) {
  const auto half = comm->split(rank % 2, -rank);
  EXPECT_EQ(half->size(), (size + (rank % 2 == 0 ? 1 : 0)) / 2);
  at::Tensor x = at::full({1}, rank, at::kLong);
  half->all_reduce(x);
  std::int64_t expected = 0;
  for (int r = rank % 2; r < size; r += 2) {
    expected += r;
  }
  EXPECT_EQ(x.item<std::int64_t>(), expected);
  // A descending key reverses the order of the ranks.
  const at::Tensor order = half->all_gather(at::full({}, rank, at::kLong));
  EXPECT_TRUE(at::equal(order, std::get<0>(order.sort(0, true))));
  EXPECT_THROW(comm->split(-1, 0), InvalidArgument);
}

TEST_P(Collectives, CountsWhatItSends) {
  at::Tensor x = at::zeros({10});
  comm->reset_counters();
  comm->all_reduce(x);
  EXPECT_EQ(comm->counters().reductions, 1);
  EXPECT_EQ(comm->counters().last_bytes, 40);
  std::array<double, 3> values{};
  comm->all_reduce(values);
  comm->all_gather(x);
  comm->broadcast(x, 0);
  comm->barrier();
  EXPECT_EQ(comm->counters().collectives, 5);
  EXPECT_EQ(comm->counters().reductions, 2);
  EXPECT_EQ(comm->counters().gathers, 1);
  EXPECT_EQ(comm->counters().bytes, 40 + 24 + 40 * size + 40);
  comm->reset_counters();
  EXPECT_EQ(comm->counters().collectives, 0);
}

TEST_P(Collectives, BadArgumentsAreNamed) {
  at::Tensor undefined;
  at::Tensor x = at::zeros({3});
  EXPECT_THROW(comm->all_reduce(undefined), InvalidArgument);
  EXPECT_THROW(comm->broadcast(x, size), InvalidArgument);
  EXPECT_THROW(comm->broadcast(x, -1), InvalidArgument);
  EXPECT_THROW(comm->broadcast_bytes("", size), InvalidArgument);
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(size), 3);
  EXPECT_THROW(comm->all_gather_v(at::zeros({4}), counts), InvalidArgument);
  EXPECT_THROW(comm->all_gather_v(x, {}), InvalidArgument);
  EXPECT_THROW(comm->all_gather_v(x, std::vector<std::int64_t>(static_cast<std::size_t>(size), -1)), InvalidArgument);
  at::Tensor wrong = at::zeros({3 * size + 1});
  EXPECT_THROW(comm->all_gather_v_inplace(wrong, counts), InvalidArgument);
  at::Tensor strided = at::zeros({6 * size}).slice(0, 0, 6 * size, 2);
  EXPECT_THROW(comm->all_gather_v_inplace(strided, counts), InvalidArgument);
  if (size > 1) {
    EXPECT_THROW(comm->reduce_scatter(at::zeros({size + 1})), InvalidArgument);
  }
  EXPECT_THROW(comm->reduce_scatter(at::zeros({})), InvalidArgument);
  EXPECT_THROW(comm->reduce_buffer(-1, at::kFloat, at::kCPU), InvalidArgument);
  try {
    comm->broadcast(x, 99);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("root"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("99"), std::string::npos);
  }
}

TEST_P(Collectives, DescriptionNamesLibraryAndRanks) {
  EXPECT_NE(comm->description().find(GetParam().name.starts_with("mpi") ? "MPI" : "torch.distributed"),
            std::string::npos);
  EXPECT_NE(comm->description().find(std::to_string(size) + (size == 1 ? " rank" : " ranks")), std::string::npos);
}

TEST_P(Collectives, LocalRanksAreThoseOfThisMachine) {
  EXPECT_EQ(comm->local_rank(), rank);
  EXPECT_EQ(comm->local_size(), size);
}

}  // namespace

}  // namespace adjoin::test
