// SPDX-License-Identifier: BSD-3-Clause
// Measurement models that are linear, and so have an adjoint, a norm and a pseudoinverse.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "adjoin/physics/gamma.hpp"
#include "adjoin/physics/physics.hpp"
#include "adjoin/solvers/solver.hpp"

namespace adjoin {

/// The least-squares solvers that A_dagger and prox_l2 can use. CG, BiCGStab and MINRES work on the normal equations.
enum class Solver : std::uint8_t { CG, LSQR, LSMR, BiCGStab, MINRES };
/// "CG", "lsqr", "LSMR" …, whatever the case of the letters. Throws InvalidArgument naming the choices.
Solver solver_from_string(std::string_view name);
std::string_view to_string(Solver solver);

struct DaggerOptions {
  Solver solver = Solver::CG;
  int max_iter = 100;
  /// Relative tolerance of the solver's own stopping rule.
  double tol = 1e-6;
  /// Draw a progress bar (on a terminal).
  bool verbose = false;
  /// Start of the iteration, of the image's shape and dtype; zero gives the minimum-norm solution. When it is given,
  /// closed forms are not used.
  std::optional<at::Tensor> init = {};
  Params params = {};
  Monitor monitor = {};
  /// Of the measurements, whose norm is then ‖y‖² = Σ w |y|²: for each operator one real tensor that broadcasts to its
  /// measurement, a number or one for each sample, none below zero. None: 1. Closed forms are not used with weights.
  TensorList weights = {};
  /// Where to say how the solve ended; may be null.
  SolveInfo* info = nullptr;
};

struct SqnormOptions {
  int max_iter = 50;
  double tol = 1e-3;
  bool verbose = false;
  Params params = {};
};

/// Lower and upper bound of a squared spectral norm.
struct SqnormBounds {
  double lower = 0.0;
  double upper = 0.0;
};

/// `image`, or its real part where images like `like` are real: the projection into their space.
at::Tensor in_space_of(const at::Tensor& like, const at::Tensor& image);

class FusedStack;
class LinearPhysics;

/// How an operator acts on images slice by slice along an axis: slice i of A x is made of slice i of x alone.
struct SliceWise {
  /// The axis of A x along which its slices lie.
  std::int64_t measurement_axis = 0;
  /// The operator on some of the slices, where it holds something for each of them; null: it is the operator itself.
  std::shared_ptr<LinearPhysics> part = {};
};

/// A linear operator A with its adjoint under the Euclidean inner product (conjugate transpose for complex).
///
/// Complex operators take real images, too: A x, Aᵀ y and AᵀA x are then complex, while A_vjp, the solutions of solves
/// that have a real image and compute_sqnorm stay in the space of real images, where the adjoint is the real part of
/// Aᵀ.
///
/// An operator of your own overrides A_impl, and A_adjoint_impl or image_like; with A_impl alone, whatever is given an
/// image works (A_vjp, A_adjoint_A, A_adjoint_for, prox_l2, A_dagger with `init`, norms).
class LinearPhysics : public Physics, public std::enable_shared_from_this<LinearPhysics> {
 public:
  std::string name() const override { return "LinearPhysics"; }

  /// Aᵀ y. By automatic differentiation unless overridden. Throws InvalidArgument, saying what is missing, when y does
  /// not tell the size of the image; A_adjoint_for does not need it to.
  at::Tensor A_adjoint(const at::Tensor& y, const Params& params = {}) const;
  /// Aᵀ y for images of the sizes, dtype and device of `image`, whose values do not count.
  at::Tensor A_adjoint_for(const at::Tensor& y, const at::Tensor& image, const Params& params = {}) const;
  /// Aᵀ A x.
  at::Tensor A_adjoint_A(const at::Tensor& x, const Params& params = {}) const;
  /// A Aᵀ y.
  at::Tensor A_A_adjoint(const at::Tensor& y, const Params& params = {}) const;
  /// Minimum-norm least-squares solution of A x = y; closed form where the operator has one, else by `options.solver`.
  /// Differentiable by the implicit function theorem with respect to y and leaves that A is made of, but not to init.
  at::Tensor A_dagger(const at::Tensor& y, const DaggerOptions& options = {}) const;
  /// argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖², γ > 0 and finite, one number or one for each item of a batch.
  /// Differentiable likewise, with respect to z and γ, too.
  at::Tensor prox_l2(const at::Tensor& z, const at::Tensor& y, const Gamma& gamma,
                     const DaggerOptions& options = {}) const;

  /// ‖A‖², the squared spectral norm, to a relative accuracy of tol. `x0` gives shape, dtype and device of the image.
  double compute_sqnorm(const at::Tensor& x0, const SqnormOptions& options = {}) const;
  /// Bounds of ‖A‖²: exact where known in closed form, else by Lanczos with max_iter steps (at least 24, fewer prove
  /// no useful upper bound); the upper one fails with probability 1e-6. `tol` is not used.
  SqnormBounds sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options = {}) const;

  /// |⟨A u, v⟩ − ⟨u, Aᵀ v⟩| / (‖A u‖ ‖v‖) for a random v drawn with `seed`: of the order of the dtype's precision. For
  /// real u and complex A u, of the real parts.
  double adjointness_test(const at::Tensor& u, std::uint64_t seed = 0, const Params& params = {}) const;

  /// A fused form of `operators`, all of this operator's dynamic type and *this among them, or null when there is none.
  virtual std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const;

  /// What acts on slices [begin, end) along `axis`, counted from the first one, of images of these sizes; none where
  /// the operator does not act on these slices one by one. Of no slices, a part may be that of one.
  virtual std::optional<SliceWise> on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t begin,
                                             std::int64_t end) const;

  /// A tensor with the shape and dtype of the image that belongs to measurements y (values unspecified); undefined when
  /// not known.
  virtual at::Tensor image_like(const at::Tensor& y) const;

 protected:
  /// Aᵀ y, or an undefined tensor when that takes an image: then A_adjoint_for_impl gets one, that of the call or
  /// image_like(y).
  virtual at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const;
  /// Aᵀ y for images like `image`: A_adjoint_impl(y), or the derivative of A at `image` where that is undefined.
  virtual at::Tensor A_adjoint_for_impl(const at::Tensor& y, const at::Tensor& image, const Params& params) const;
  /// What is missing where A_adjoint_impl is undefined and image_like, too, for messages.
  virtual std::string missing_image() const { return {}; }
  virtual at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const;
  virtual at::Tensor A_A_adjoint_impl(const at::Tensor& y, const Params& params) const;
  /// Closed-form pseudoinverse, or an undefined tensor when there is none.
  virtual at::Tensor A_dagger_impl(const at::Tensor& y, const Params& params) const;
  /// Closed-form ‖A‖² on images like x0, when known.
  virtual std::optional<double> sqnorm_impl(const at::Tensor& x0, const Params& params) const;
  /// The adjoint applied to v for images like x; its real part when x is real.
  at::Tensor A_vjp_impl(const at::Tensor& x, const at::Tensor& v, const Params& params) const override;

  /// The closed forms of another operator, for those made of it.
  static std::optional<double> closed_sqnorm(const LinearPhysics& other, const at::Tensor& x0, const Params& params) {
    return other.sqnorm_impl(x0, params);
  }
  static at::Tensor closed_dagger(const LinearPhysics& other, const at::Tensor& y, const Params& params) {
    return other.A_dagger_impl(y, params);
  }
  static std::string missing_image_of(const LinearPhysics& other) { return other.missing_image(); }
  /// Its Aᵀ y, or an undefined tensor when that takes an image that y does not tell.
  static at::Tensor adjoint_if_known(const LinearPhysics& other, const at::Tensor& y, const Params& params);

 private:
  at::Tensor adjoint_or_undefined(const at::Tensor& y, const Params& params) const;
  at::Tensor adjoint_from(const at::Tensor& y, const Params& params) const;  // throws in place of undefined
};

using LinearPhysicsPtr = std::shared_ptr<LinearPhysics>;

}  // namespace adjoin
