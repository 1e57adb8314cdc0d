// SPDX-License-Identifier: BSD-3-Clause
// What the solvers for square systems begin with.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/norms.hpp"
#include "adjoin/core/sharded_image.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/solvers/solver.hpp"
#include "solvers/batch_status.hpp"
#include "solvers/scaling.hpp"

namespace adjoin {

/// b in the dtype of x0, which is that of the solution.
inline at::Tensor in_dtype_of(const at::Tensor& x0, const at::Tensor& b) {
  check(x0.sizes() == b.sizes(), "x0: must have the shape of the right-hand side, ", b.sizes(), ", got ", x0.sizes());
  check(x0.is_complex() || !b.is_complex(), "x0: must be complex as the right-hand side is, got ", x0.scalar_type());
  return b.to(x0.scalar_type());
}
inline TensorList in_dtype_of(const TensorList& x0, const TensorList& b) {
  check(x0.size() == b.size(), "x0: must hold ", b.size(), " tensors as the right-hand side does, got ", x0.size());
  TensorList result;
  for (std::size_t i = 0; i < b.size(); ++i) {
    result.push_back(in_dtype_of(x0[i], b[i]));
  }
  return result;
}
inline ShardedTensorList in_dtype_of(const ShardedTensorList& x0, const ShardedTensorList& b) {
  ShardedTensorList result = b;
  result.local = in_dtype_of(x0.local, b.local);
  return result;
}

inline ShardedImage in_dtype_of(const ShardedImage& x0, const ShardedImage& b) {
  return {in_dtype_of(x0.local, b.local), b.space};
}

/// b, x = x0 (or zero), and r = b − H x in units in which b is of order 1, as the squares are.
template <class V>
struct KrylovStart {
  V b;
  V x;
  V r;
  Scalars b_squared;
  Scalars r_squared;
  Units units;
};

/// Items whose right-hand side is zero get x = r = 0; those at their solution stop.
template <class V>
KrylovStart<V> krylov_start(BatchStatus& status, const LinearMap<V, V>& H, const V& right_hand_side,
                            const std::optional<V>& x0) {
  const auto items = static_cast<std::int64_t>(status.size());
  KrylovStart<V> s{.b = x0 ? in_dtype_of(*x0, right_hand_side) : right_hand_side,
                   .x = x0 ? adjoin::clone(*x0) : adjoin::zeros_like(right_hand_side),
                   .r = {},
                   .b_squared = {},
                   .r_squared = {},
                   .units = Units(status.size())};
  const V& b = s.b;
  s.r = adjoin::clone(b);
  if (x0) {
    adjoin::axpy(Scalars(status.size(), -1.0), H(s.x), s.r);
    auto squares = adjoin::dots({{&b, &b}, {&s.r, &s.r}}, items);
    s.b_squared = std::move(squares[0]);
    s.r_squared = std::move(squares[1]);
  } else {
    s.b_squared = s.r_squared = adjoin::squared_norm(b, items);
  }
  const int limit = scale_limits(b).vector;
  if (!std::ranges::all_of(s.b_squared, [&](const auto& z) { return within(z.real(), 2 * limit); })) [[unlikely]] {
    const Reals norms = adjoin::norms(b, items);
    s.units = Units::normalising(norms, limit);
    if (!s.units.trivial()) {
      s.units.scale(s.r);
      s.b_squared = adjoin::squared_norm(s.units.scaled(b), items);
      s.r_squared = x0 ? adjoin::squared_norm(s.r, items) : s.b_squared;
    }
  }
  status.check_finite(s.b_squared, "the right-hand side holds NaN or infinity");
  status.check_finite(s.r_squared, "x0 holds NaN or infinity, or the operator returned them for x0");
  Scalars keep(status.size(), 1.0);
  for (std::size_t i = 0; i < status.size(); ++i) {
    if (s.b_squared[i].real() == 0.0) {
      keep[i] = s.r_squared[i] = 0.0;
    }
    status.set_residual(i, std::sqrt(ratio(s.r_squared[i].real(), s.b_squared[i].real())));
  }
  if (x0 && std::ranges::any_of(keep, [](const auto& k) { return k.real() == 0.0; })) {
    adjoin::scale(keep, s.x);
    adjoin::scale(keep, s.r);
  }
  return s;
}

}  // namespace adjoin
