// SPDX-License-Identifier: BSD-3-Clause
// Dense problems, their references, and a stand-in for vectors that are spread over ranks.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <span>
#include <vector>

#include "adjoin/solvers/solver.hpp"

namespace adjoin::testing {

inline at::Tensor randn(at::IntArrayRef shape, at::ScalarType dtype = at::kDouble, std::uint64_t seed = 0) {
  return adjoin::randn_like(at::zeros(shape, dtype), seed);
}

inline double relative_error(const at::Tensor& x, const at::Tensor& truth) {
  return (x - truth).norm().item<double>() / truth.norm().item<double>();
}

/// An m × n matrix with the given singular values and random singular vectors.
inline at::Tensor with_singular_values(std::int64_t m, std::int64_t n, const std::vector<double>& values,
                                       at::ScalarType dtype = at::kDouble, std::uint64_t seed = 0) {
  const auto k = static_cast<std::int64_t>(values.size());
  const at::Tensor u = std::get<0>(at::linalg_qr(randn({m, k}, dtype, seed)));
  const at::Tensor v = std::get<0>(at::linalg_qr(randn({n, k}, dtype, seed + 1)));
  return at::matmul(u * at::tensor(values, at::kDouble).to(dtype), v.mH());
}

/// A Hermitian matrix with the given eigenvalues.
inline at::Tensor with_eigenvalues(const std::vector<double>& values, at::ScalarType dtype = at::kDouble,
                                   std::uint64_t seed = 0) {
  const auto n = static_cast<std::int64_t>(values.size());
  const at::Tensor q = std::get<0>(at::linalg_qr(randn({n, n}, dtype, seed)));
  return at::matmul(q * at::tensor(values, at::kDouble).to(dtype), q.mH());
}

/// `count` values from `first` to `last` in geometric progression.
inline std::vector<double> geometric(double first, double last, std::size_t count) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = first * std::pow(last / first, static_cast<double>(i) / static_cast<double>(count - 1));
  }
  return values;
}

inline LinearMap<at::Tensor, at::Tensor> map_of(const at::Tensor& matrix) {
  return [matrix](const at::Tensor& x) { return at::matmul(matrix, x); };
}
inline LinearMap<at::Tensor, at::Tensor> adjoint_of(const at::Tensor& matrix) { return map_of(matrix.mH()); }

/// The rows of a matrix as a list of blocks of the given heights.
inline TensorList blocks(const at::Tensor& rows, const std::vector<std::int64_t>& heights) {
  return TensorList(at::split_with_sizes(rows, heights));
}

/// Stands for a sum over ranks of which the others hold nothing; counts its calls.
class CountingSum : public ScalarSum {
 public:
  void sum(std::span<c10::complex<double>> values) override {
    ++calls;
    largest = std::max(largest, values.size());
  }
  int calls = 0;
  std::size_t largest = 0;
};

inline ShardedTensorList sharded(TensorList local, std::shared_ptr<ScalarSum> reducer = nullptr, double weight = 1.0) {
  MeasurementSpace space;
  space.total = static_cast<std::int64_t>(local.size());
  for (std::int64_t i = 0; i < space.total; ++i) {
    space.indices.push_back(i);
  }
  space.weight = weight;
  space.reducer = std::move(reducer);
  return {.local = std::move(local), .space = std::make_shared<const MeasurementSpace>(std::move(space))};
}

}  // namespace adjoin::testing
