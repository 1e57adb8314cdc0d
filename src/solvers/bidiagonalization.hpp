// The Golub–Kahan bidiagonalisation of A started at y − A x0, on which LSQR and LSMR rest: A V = U B.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <optional>

#include "adjoin/core/vector_space.hpp"
#include "adjoin/solvers/solver.hpp"
#include "solvers/batch_status.hpp"

namespace adjoin {

/// Keeps û = β u and v̂ = α v instead of the unit vectors: the normalisations then ride on the updates, which saves a
/// pass over each vector in each step. Items that no longer run keep their vectors.
template <class Y>
class Bidiagonalization {
 public:
  Bidiagonalization(BatchStatus& status, const LinearMap<at::Tensor, Y>& A, const LinearMap<Y, at::Tensor>& A_adjoint,
                    const Y& y, const std::optional<at::Tensor>& x0)
      : status_(status),
        A_(A),
        A_adjoint_(A_adjoint),
        items_(static_cast<std::int64_t>(status.size())),
        u_(adjoin::clone(y)),
        alpha_(status.size(), 0.0),
        beta_(status.size(), 0.0),
        y_norm_(status.size(), 0.0),
        fresh_(status.size(), 0.0),
        kept_(status.size(), 0.0) {
    Scalars y_squared;
    Scalars u_squared;
    if (x0) {
      adjoin::axpy(Scalars(status.size(), -1.0), A(*x0), u_);
      auto squares = adjoin::dots({{&y, &y}, {&u_, &u_}}, items_);
      y_squared = std::move(squares[0]);
      u_squared = std::move(squares[1]);
    } else {
      y_squared = u_squared = adjoin::squared_norm(u_, items_);
    }
    status.check_finite(y_squared, "y holds NaN or infinity");
    status.check_finite(u_squared, "x0 holds NaN or infinity, or A returned them for x0");
    v_ = adjoin::clone(A_adjoint(u_));
    for (std::size_t i = 0; i < status.size(); ++i) {
      y_norm_[i] = std::sqrt(y_squared[i].real());
      beta_[i] = std::sqrt(u_squared[i].real());
      fresh_[i] = beta_[i] > 0.0 ? 1.0 / beta_[i] : 0.0;
    }
    adjoin::scale(fresh_, v_);
    update_alpha();
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
  const at::Tensor& scaled_v() const { return v_; }

 private:
  void update_alpha() {
    const Scalars v_squared = adjoin::squared_norm(v_, items_);
    status_.check_finite(v_squared, "A_adjoint returned NaN or infinity");
    for (std::size_t i = 0; i < status_.size(); ++i) {
      if (status_.running(i)) {
        alpha_[i] = beta_[i] > 0.0 ? std::sqrt(v_squared[i].real()) : 0.0;
      }
    }
  }

  using Reals = c10::SmallVector<double, 2>;

  BatchStatus& status_;
  const LinearMap<at::Tensor, Y>& A_;
  const LinearMap<Y, at::Tensor>& A_adjoint_;
  std::int64_t items_;
  Y u_;
  at::Tensor v_;
  Reals alpha_;
  Reals beta_;
  Reals y_norm_;
  Scalars fresh_;
  Scalars kept_;
};

}  // namespace adjoin
