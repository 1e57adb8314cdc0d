// SPDX-License-Identifier: BSD-3-Clause
// Data fidelities: how far clean measurements u = A x are from the observed ones, y.
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>
#include <memory>
#include <string>

#include "adjoin/core/recipe.hpp"

namespace adjoin {

/// A value, and the gradient where it was taken.
struct ValueAndGradient {
  double value = 0.0;
  at::Tensor grad;
};

/// d(u, y), a function of u in the space of measurements. Tensors u and y have one shape; y is taken in the dtype of u,
/// which is that of every result but the value's. Public methods validate; `…_impl` do the work, with y in the dtype of
/// u. Gradients follow torch's convention: for complex u, ∂d/∂Re u + i ∂d/∂Im u. NaN in u or y gives NaN.
class DataFidelity {
 public:
  virtual ~DataFidelity() = default;

  /// Name for messages, such as "L2".
  virtual std::string name() const = 0;
  /// How to make another like this one; copies and files are made so.
  virtual Recipe recipe() const { return {.maker = name()}; }

  /// d(u, y), summed over all entries, batch included: a scalar tensor of dtype double. Differentiable.
  at::Tensor fn(const at::Tensor& u, const at::Tensor& y) const;
  /// ∇_u d(u, y), of the shape of u. Throws InvalidArgument where d has none.
  at::Tensor grad(const at::Tensor& u, const at::Tensor& y) const;
  /// Both at the cost of little more than one. Cut off from autograd.
  ValueAndGradient fn_and_grad(const at::Tensor& u, const at::Tensor& y) const;
  /// argmin_v γ d(v, y) + 1/2 ‖v − u‖², γ > 0 and finite.
  at::Tensor prox(const at::Tensor& u, const at::Tensor& y, double gamma) const;
  /// argmin_v γ d*(v) + 1/2 ‖v − u‖² with d* the convex conjugate of d(·, y), by Moreau's identity
  /// u − γ prox_{d/γ}(u/γ). For convex d.
  at::Tensor prox_conjugate(const at::Tensor& u, const at::Tensor& y, double gamma) const;

  /// The Lipschitz constant of ∇d, whatever y; infinite where there is none.
  virtual double lipschitz() const { return std::numeric_limits<double>::infinity(); }

 protected:
  virtual at::Tensor fn_impl(const at::Tensor& u, const at::Tensor& y) const = 0;
  virtual at::Tensor grad_impl(const at::Tensor& u, const at::Tensor& y) const;
  virtual ValueAndGradient fn_and_grad_impl(const at::Tensor& u, const at::Tensor& y) const;
  virtual at::Tensor prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const = 0;
};

using DataFidelityPtr = std::shared_ptr<const DataFidelity>;

/// Σ |u − y|² / (2σ²): Gaussian noise of standard deviation σ > 0, one for all samples, or one for each.
class L2 : public DataFidelity {
 public:
  explicit L2(double sigma = 1.0);
  /// A real tensor that broadcasts to the measurements, whose entries are positive; infinite ones leave samples out. It
  /// is copied.
  explicit L2(const at::Tensor& sigma);
  std::string name() const override { return "L2"; }
  Recipe recipe() const override;
  /// The σ of all samples; NaN where there is one for each.
  double sigma() const { return sigma_; }
  /// 1/σ² where there is one for each sample; else undefined.
  const at::Tensor& weights() const { return weights_; }
  /// The largest 1/σ².
  double lipschitz() const override { return scale_; }

 protected:
  at::Tensor fn_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor grad_impl(const at::Tensor& u, const at::Tensor& y) const override;
  ValueAndGradient fn_and_grad_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const override;

 private:
  at::Tensor weights_for(const at::Tensor& u) const;

  double sigma_;
  double scale_;  // 1/σ², its largest value where there are several
  at::Tensor sigmas_;
  at::Tensor weights_;
};

/// ‖u − y‖₁. `grad` is a subgradient: zero where u = y.
class L1 : public DataFidelity {
 public:
  std::string name() const override { return "L1"; }

 protected:
  at::Tensor fn_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor grad_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const override;
};

/// The indicator of the ball ‖u − y‖_∞ ≤ r: 0 within (up to round-off), infinite without. Has no gradient; its prox is
/// the projection, whatever γ.
class IndicatorLInf : public DataFidelity {
 public:
  explicit IndicatorLInf(double radius);
  std::string name() const override { return "IndicatorLInf"; }
  Recipe recipe() const override { return {.maker = name(), .arguments = {{"radius", radius_}}}; }

 protected:
  at::Tensor fn_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const override;

 private:
  double radius_;
};

struct PoissonOptions {
  /// Measurements are `gain` times counts: u/gain + background is the expected count. > 0.
  double gain = 1.0;
  /// Expected count without any signal, ≥ 0.
  double background = 0.0;
  /// Whether y is measured in the units of u, so that y/gain are the counts; false when y are counts.
  bool denormalize = false;
};

/// Kullback-Leibler divergence Σ t − c + c log(c/t) of the counts c from their expectation t = u/gain + background: the
/// negative log-likelihood of Poisson noise, up to a constant that makes the least value 0. Where c = 0 it is t, with
/// gradient 1/gain. Infinite where t < 0, and where t = 0 and c > 0; a t below zero by no more than round-off (16 units
/// of the last digit of the largest of its item, or of 1) counts as zero, and so does a c, below which the results are
/// NaN. Prox: Combettes and Pesquet, Inverse Problems 23 (2007), table 2. Real u and y.
class PoissonLikelihood : public DataFidelity {
 public:
  explicit PoissonLikelihood(const PoissonOptions& options = {});
  std::string name() const override { return "PoissonLikelihood"; }
  Recipe recipe() const override;

 protected:
  at::Tensor fn_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor grad_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const override;

 private:
  at::Tensor expectation(const at::Tensor& u) const;
  at::Tensor counts(const at::Tensor& y) const;
  PoissonOptions options_;
};

/// Σ h(|u − y|) with h(r) = r²/2 for r ≤ δ and δ (r − δ/2) beyond (Huber, Ann. Math. Stat. 35, 1964). δ > 0.
class Huber : public DataFidelity {
 public:
  explicit Huber(double delta = 1.0);
  std::string name() const override { return "Huber"; }
  Recipe recipe() const override { return {.maker = name(), .arguments = {{"delta", delta_}}}; }
  double lipschitz() const override { return 1.0; }

 protected:
  at::Tensor fn_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor grad_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const override;

 private:
  double delta_;
};

/// ‖√u − √y‖² of intensities u, y ≥ 0 (phase retrieval), with u + 10⁻¹² for u, so that there is a gradient at 0.
/// Convex in u, infinite where u < 0; round-off below zero counts as zero (16 units of the last digit of the largest of
/// its item, or of 10⁻¹²), and so it does in y, below which the results are NaN. Real u and y.
class AmplitudeLoss : public DataFidelity {
 public:
  std::string name() const override { return "AmplitudeLoss"; }

 protected:
  at::Tensor fn_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor grad_impl(const at::Tensor& u, const at::Tensor& y) const override;
  at::Tensor prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const override;
};

}  // namespace adjoin
