// SPDX-License-Identifier: BSD-3-Clause
// What the tests of the communicators share: a communicator over all ranks, and data that tells ranks apart.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/comm/mpi.hpp"
#include "mpi_backed_group.hpp"

namespace adjoin::test {

/// A way to make a communicator over all ranks.
struct Engine {
  std::string name;
  std::function<std::unique_ptr<Communicator>(std::optional<std::chrono::milliseconds> timeout)> make;
};

inline Engine mpi_engine(const std::string& name, const MpiOptions& options = {}) {
  return {name, [options](std::optional<std::chrono::milliseconds> timeout) {
            MpiOptions with_timeout = options;
            with_timeout.timeout = timeout;
            return make_mpi_communicator(MPI_COMM_WORLD, with_timeout);
          }};
}

/// That of torch.distributed.
inline Engine process_group_engine(const std::string& name, Sharing sharing, int ranks_per_node = 0) {
  return {name, [=](std::optional<std::chrono::milliseconds> timeout) {
            return make_mpi_backed_communicator(MPI_COMM_WORLD, sharing, timeout, ranks_per_node);
          }};
}

/// Every way to reduce and gather in a group: shared memory, whether in the way that is quicker here or in a given one,
/// the network, and both (pretended nodes).
inline std::vector<Engine> all_engines() {
  return {mpi_engine("mpi_automatic"),
          mpi_engine("mpi_in_place", {.shared_memory = {.sharing = Sharing::in_place}}),
          mpi_engine("mpi_in_pieces", {.shared_memory = {.sharing = Sharing::in_pieces, .stores = Stores::streamed}}),
          mpi_engine("mpi_alone", {.shared_memory = {.sharing = Sharing::off}}),
          mpi_engine("mpi_2_ranks_a_node", {.ranks_per_node = 2}),
          mpi_engine("mpi_3_ranks_a_node", {.ranks_per_node = 3}),
          mpi_engine("mpi_1000_elements_a_call", {.ranks_per_node = 2, .max_count = 1000}),
          process_group_engine("process_group", Sharing::off),
          process_group_engine("process_group_shared_memory", Sharing::automatic),
          process_group_engine("process_group_2_ranks_a_node", Sharing::automatic, 2)};
}

class EngineTest : public ::testing::TestWithParam<Engine> {
 protected:
  EngineTest() : comm(GetParam().make({})), rank(comm->rank()), size(comm->size()) {}

  std::unique_ptr<Communicator> comm;
  int rank;
  int size;
};

inline std::string name_of(const ::testing::TestParamInfo<Engine>& test) { return test.param.name; }

/// Small integers, exact in every dtype, that differ between ranks, positions and rounds: values 0 … 3.
inline at::Tensor sample(at::IntArrayRef shape, at::ScalarType dtype, int rank, std::int64_t round = 0) {
  std::int64_t numel = 1;
  for (const std::int64_t length : shape) {
    numel *= length;
  }
  const at::Tensor values = (at::arange(numel, at::kLong) * 7 + 3 * rank + 5 * round + rank * round) % 4;
  return values.reshape(shape).to(dtype);
}

/// What an all_reduce of sample() over `size` ranks gives, computed here.
inline at::Tensor expected_reduction(at::IntArrayRef shape, at::ScalarType dtype, int size, ReduceOp op,
                                     std::int64_t round = 0) {
  const at::ScalarType exact = at::isComplexType(dtype) ? at::kComplexDouble : at::kDouble;
  at::Tensor result = sample(shape, dtype, 0, round).to(exact);
  for (int r = 1; r < size; ++r) {
    const at::Tensor next = sample(shape, dtype, r, round).to(exact);
    switch (op) {
      case ReduceOp::sum:
        result = result + next;
        break;
      case ReduceOp::product:
        result = result * next;
        break;
      case ReduceOp::min:
        result = at::minimum(result, next);
        break;
      case ReduceOp::max:
        result = at::maximum(result, next);
        break;
    }
  }
  return result.to(dtype);
}

inline constexpr std::array real_dtypes = {at::kFloat, at::kDouble, at::kHalf,  at::kBFloat16, at::kBool,
                                           at::kByte,  at::kChar,   at::kShort, at::kInt,      at::kLong};
inline constexpr std::array complex_dtypes = {at::kComplexFloat, at::kComplexDouble, at::kComplexHalf};
inline constexpr std::array all_ops = {ReduceOp::sum, ReduceOp::product, ReduceOp::min, ReduceOp::max};

}  // namespace adjoin::test
