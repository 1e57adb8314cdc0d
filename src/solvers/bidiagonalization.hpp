// SPDX-License-Identifier: BSD-3-Clause
// The Golub–Kahan bidiagonalisation A V = U B, started at y − A x0, on which LSQR and LSMR rest.
#pragma once

#include <ATen/core/Tensor.h>

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

/// y in the precision of x0, an image of either type.
template <class X>
at::Tensor in_precision_of(const X& x0, const at::Tensor& y) {
  const at::ScalarType real = c10::toRealValueType(x0.scalar_type());
  return y.to(y.is_complex() ? c10::toComplexType(real) : real);
}
template <class X>
TensorList in_precision_of(const X& x0, const TensorList& y) {
  TensorList result;
  for (const at::Tensor& entry : y) {
    result.push_back(in_precision_of(x0, entry));
  }
  return result;
}
template <class X>
ShardedTensorList in_precision_of(const X& x0, const ShardedTensorList& y) {
  ShardedTensorList result = y;
  result.local = in_precision_of(x0, y.local);
  return result;
}

/// Keeps û = β u and v̂ = α v instead of the unit vectors: the normalisations then ride on the updates, which saves a
/// pass over each vector in each step. Items that no longer run keep their vectors.
template <class Y, class X>
class Bidiagonalization {
 public:
  Bidiagonalization(BatchStatus& status, const LinearMap<X, Y>& A, const LinearMap<Y, X>& A_adjoint,
                    const Y& measurements, const std::optional<X>& x0)
      : status_(status),
        limits_(scale_limits(measurements)),
        y_units_(status.size()),
        A_units_(status.size()),
        A_(A, A_units_),
        A_adjoint_(A_adjoint, A_units_),
        items_(static_cast<std::int64_t>(status.size())),
        y_(x0 ? in_precision_of(*x0, measurements) : measurements),
        u_(adjoin::clone(y_)),
        alpha_(status.size(), 0.0),
        beta_(status.size(), 0.0),
        y_norm_(status.size(), 0.0),
        fresh_(status.size(), 0.0),
        kept_(status.size(), 0.0) {
    start_u(A, x0);
    for (std::size_t i = 0; i < status.size(); ++i) {
      fresh_[i] = beta_[i] > 0.0 ? 1.0 / beta_[i] : 0.0;
    }
    start_v(A_adjoint_(u_), x0);
    limits_.gain /= 2;  // of A, whose square may be that of a square map
    if (!fit(alpha_, Reals(status.size(), 1.0), status, limits_.gain)) [[unlikely]] {
      start_v(calibrate(A_units_, limits_, status, A_adjoint_, u_, A_adjoint_(u_)), x0);
    }
    status.check_finite(alpha_, "A_adjoint returned NaN or infinity");
  }

  /// β_{k+1} u_{k+1} = A v_k − α_k u_k and α_{k+1} v_{k+1} = Aᵀ u_{k+1} − β_{k+1} v_k: one application of each map.
  void step() {
    for (std::size_t i = 0; i < status_.size(); ++i) {
      const bool running = status_.running(i);
      fresh_[i] = running ? 1.0 / alpha_[i] : 0.0;
      kept_[i] = running ? -alpha_[i] / beta_[i] : 1.0;
    }
    adjoin::axpby(fresh_, A_(v_), kept_, u_);
    const Scalars u_squared = adjoin::squared_norm(u_, items_);
    status_.check_finite(u_squared, "A returned NaN or infinity");
    for (std::size_t i = 0; i < status_.size(); ++i) {
      if (status_.running(i)) {
        beta_[i] = std::sqrt(u_squared[i].real());
      }
      const bool runs_on = status_.running(i) && beta_[i] > 0.0;
      fresh_[i] = runs_on ? 1.0 / beta_[i] : 0.0;
      kept_[i] = runs_on ? -beta_[i] / alpha_[i] : 1.0;
    }
    adjoin::axpby(fresh_, A_adjoint_(u_), kept_, v_);
    update_alpha();
  }

  /// α_k and β_k of an item, never negative; α is 0 where β is.
  double alpha(std::size_t item) const { return alpha_[item]; }
  double beta(std::size_t item) const { return beta_[item]; }
  /// ‖y‖ of an item.
  double y_norm(std::size_t item) const { return y_norm_[item]; }
  /// α_k v_k.
  const X& scaled_v() const { return v_; }

  /// The problem is solved in units in which y and A are of order 1. In these: lengths of images, and a damping.
  double in_units(double length, std::size_t item) const { return std::ldexp(length, y_units_[item] - A_units_[item]); }
  double damping_in_units(double damping, std::size_t item) const { return std::ldexp(damping, A_units_[item]); }
  /// What brings a solution in them to its own.
  Units units() const { return y_units_.inverse() * A_units_; }

 private:
  // u = y − A x0, with the norms of both; u is y so far.
  void start_u(const LinearMap<X, Y>& A, const std::optional<X>& x0) {
    Scalars y_squared;
    Scalars u_squared;
    if (x0) {
      adjoin::axpy(Scalars(status_.size(), -1.0), A(*x0), u_);
      auto squares = adjoin::dots({{&y_, &y_}, {&u_, &u_}}, items_);
      y_squared = std::move(squares[0]);
      u_squared = std::move(squares[1]);
    } else {
      y_squared = u_squared = adjoin::squared_norm(u_, items_);
    }
    if (!std::ranges::all_of(y_squared, [&](const auto& z) { return within(z.real(), 2 * limits_.vector); }))
        [[unlikely]] {
      const Reals norms = adjoin::norms(y_, items_);
      y_units_ = Units::normalising(norms, limits_.vector);
      if (!y_units_.trivial()) {
        y_units_.scale(u_);
        u_squared = adjoin::squared_norm(u_, items_);
        y_squared = adjoin::squared_norm(y_units_.scaled(y_), items_);
      }
    }
    status_.check_finite(y_squared, "y holds NaN or infinity");
    status_.check_finite(u_squared, "x0 holds NaN or infinity, or A returned them for x0");
    for (std::size_t i = 0; i < status_.size(); ++i) {
      y_norm_[i] = std::sqrt(y_squared[i].real());
      beta_[i] = std::sqrt(u_squared[i].real());
    }
  }

  // v, in the dtype of x0, which is that of the solution.
  void start_v(const X& A_adjoint_u, const std::optional<X>& x0) {
    check(!x0 || x0->sizes() == A_adjoint_u.sizes(), "x0: must have the shape of A_adjoint's results, ",
          A_adjoint_u.sizes(), ", got ", x0.value_or(A_adjoint_u).sizes());
    check(!x0 || x0->is_complex() || !A_adjoint_u.is_complex(), "x0: must be complex as A_adjoint's results are, got ",
          x0.value_or(A_adjoint_u).scalar_type());
    v_ = adjoin::clone(x0 ? A_adjoint_u.to(x0->scalar_type()) : A_adjoint_u);
    adjoin::scale(fresh_, v_);
    const Scalars v_squared = adjoin::squared_norm(v_, items_);
    for (std::size_t i = 0; i < status_.size(); ++i) {
      alpha_[i] = beta_[i] > 0.0 ? std::sqrt(v_squared[i].real()) : 0.0;
    }
  }

  void update_alpha() {
    const Scalars v_squared = adjoin::squared_norm(v_, items_);
    status_.check_finite(v_squared, "A_adjoint returned NaN or infinity");
    for (std::size_t i = 0; i < status_.size(); ++i) {
      if (status_.running(i)) {
        alpha_[i] = beta_[i] > 0.0 ? std::sqrt(v_squared[i].real()) : 0.0;
      }
    }
  }

  BatchStatus& status_;
  ScaleLimits limits_;
  Units y_units_;
  Units A_units_;
  ScaledMap<X, Y> A_;
  ScaledMap<Y, X> A_adjoint_;
  std::int64_t items_;
  Y y_;
  Y u_;
  X v_;
  Reals alpha_;
  Reals beta_;
  Reals y_norm_;
  Scalars fresh_;
  Scalars kept_;
};

}  // namespace adjoin
