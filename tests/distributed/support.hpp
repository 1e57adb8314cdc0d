// SPDX-License-Identifier: BSD-3-Clause
// Small stacks with known dense matrices, and comparisons, for the tests of the distributed room.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "adjoin/core/vector_space.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/operators/matrix.hpp"

namespace adjoin::test {

inline at::Tensor random_tensor(at::IntArrayRef sizes, at::ScalarType dtype, std::uint64_t seed) {
  return adjoin::randn_like(at::empty(sizes, dtype), seed);
}

// Images of shape (2, 3, 4) without the batch dimension.
inline const std::vector<std::int64_t> image_shape = {2, 3, 4};
constexpr std::int64_t image_size = 24;

inline at::Tensor random_image(at::ScalarType dtype, std::uint64_t seed, std::int64_t batch = 1) {
  return random_tensor({batch, 2, 3, 4}, dtype, seed);
}

// Operator i has 3 + 2 (i mod 4) rows: measurements of mixed shapes.
inline at::Tensor matrix_of(std::int64_t i, at::ScalarType dtype) {
  return random_tensor({3 + 2 * (i % 4), image_size}, dtype, 100 + static_cast<std::uint64_t>(i)) / 5.0;
}

inline PhysicsFactory matrices(at::ScalarType dtype) {
  return [dtype](std::int64_t index, at::Device, const Params&) {
    return std::make_shared<Matrix>(matrix_of(index, dtype), image_shape);
  };
}

// The single-process twin.
inline StackedLinearPhysics twin(std::int64_t n, at::ScalarType dtype, Reduction reduction = Reduction::sum) {
  std::vector<LinearPhysicsPtr> operators;
  for (std::int64_t i = 0; i < n; ++i) {
    operators.push_back(std::make_shared<Matrix>(matrix_of(i, dtype), image_shape));
  }
  return StackedLinearPhysics(operators, {.reduction = reduction});
}

inline at::Tensor dense_stack(std::int64_t n, at::ScalarType dtype) {
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < n; ++i) {
    rows.push_back(matrix_of(i, dtype));
  }
  return at::cat(rows);
}

inline double tolerance(at::ScalarType dtype) { return c10::toRealValueType(dtype) == at::kDouble ? 1e-12 : 1e-5; }

// ‖a − b‖ ≤ tol ‖b‖, and equal shapes and dtypes.
inline void expect_near(const at::Tensor& a, const at::Tensor& b, double tol, const std::string& what = "") {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  ASSERT_EQ(a.scalar_type(), b.scalar_type()) << what;
  EXPECT_LE(adjoin::norm(a - b), tol * std::max(adjoin::norm(b), 1e-30)) << what;
}

inline void expect_near(const TensorList& a, const TensorList& b, double tol, const std::string& what = "") {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) {
    expect_near(a[i], b[i], tol, what + " entry " + std::to_string(i));
  }
}

// This rank's entries of a list of all.
inline TensorList part_of(const TensorList& all, const std::vector<std::int64_t>& indices) {
  TensorList part;
  for (const std::int64_t i : indices) {
    part.push_back(all[static_cast<std::size_t>(i)]);
  }
  return part;
}

// The sum of every rank's tensor; scalars (of ranks without operators) count as zero.
inline at::Tensor sum_over_ranks(Communicator& communicator, const at::Tensor& mine, const at::Tensor& like) {
  at::Tensor sum = mine.dim() == 0 ? at::zeros_like(like) : mine.clone();
  communicator.all_reduce(sum);
  return sum;
}

// Every rank throws a RankFailure with the same text, within a second.
template <class Call>
RankFailure expect_failure_everywhere(DistributedContext& context, Call&& call) {
  const auto start = std::chrono::steady_clock::now();
  RankFailure failure(-1, -1, "nothing was thrown");
  try {
    call();
    ADD_FAILURE() << "rank " << context.rank() << ": nothing was thrown";
  } catch (const RankFailure& e) {
    failure = e;
  } catch (const std::exception& e) {
    ADD_FAILURE() << "rank " << context.rank() << ": not a RankFailure but: " << e.what();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  const std::vector<std::string> texts = context.communicator().all_gather_bytes(failure.what());
  for (const std::string& text : texts) {
    EXPECT_EQ(text, texts[0]);
  }
  return failure;
}

// Names a test by its gather strategy.
inline std::string strategy_name(const testing::TestParamInfo<GatherStrategy>& test) {
  return std::string(to_string(test.param));
}

}  // namespace adjoin::test
