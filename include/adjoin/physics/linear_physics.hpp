// Linear measurement models.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

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

class FusedStack;

/// A linear operator A with its adjoint under the Euclidean inner product (conjugate transpose for complex).
class LinearPhysics : public Physics, public std::enable_shared_from_this<LinearPhysics> {
 public:
  std::string name() const override { return "LinearPhysics"; }

  /// Aᵀ y. By automatic differentiation unless overridden; that needs the image shape, see image_like().
  at::Tensor A_adjoint(const at::Tensor& y, const Params& params = {}) const;
  /// Aᵀ A x.
  at::Tensor A_adjoint_A(const at::Tensor& x, const Params& params = {}) const;
  /// A Aᵀ y.
  at::Tensor A_A_adjoint(const at::Tensor& y, const Params& params = {}) const;
  /// Minimum-norm least-squares solution of A x = y; closed form where the operator has one, else by `options.solver`,
  /// and then cut off from autograd.
  at::Tensor A_dagger(const at::Tensor& y, const DaggerOptions& options = {}) const;
  /// argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖², γ > 0 and finite. Cut off from autograd.
  at::Tensor prox_l2(const at::Tensor& z, const at::Tensor& y, double gamma, const DaggerOptions& options = {}) const;

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

  /// A tensor with the shape and dtype of the image that belongs to measurements y (values unspecified); undefined when
  /// not known.
  virtual at::Tensor image_like(const at::Tensor& y) const;

 protected:
  virtual at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const;
  virtual at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const;
  virtual at::Tensor A_A_adjoint_impl(const at::Tensor& y, const Params& params) const;
  /// Closed-form pseudoinverse, or an undefined tensor when there is none.
  virtual at::Tensor A_dagger_impl(const at::Tensor& y, const Params& params) const;
  /// Closed-form ‖A‖² on images like x0, when known.
  virtual std::optional<double> sqnorm_impl(const at::Tensor& x0, const Params& params) const;
  /// The adjoint applied to v; its real part when x is real.
  at::Tensor A_vjp_impl(const at::Tensor& x, const at::Tensor& v, const Params& params) const override;

  /// The closed forms of another operator, for those made of it.
  static std::optional<double> closed_sqnorm(const LinearPhysics& other, const at::Tensor& x0, const Params& params) {
    return other.sqnorm_impl(x0, params);
  }
  static at::Tensor closed_dagger(const LinearPhysics& other, const at::Tensor& y, const Params& params) {
    return other.A_dagger_impl(y, params);
  }
};

using LinearPhysicsPtr = std::shared_ptr<LinearPhysics>;

}  // namespace adjoin
