// SPDX-License-Identifier: BSD-3-Clause
// Stacks of operators in one process: A = [A_1; …; A_n].
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "adjoin/core/derived.hpp"
#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/physics/fused.hpp"
#include "adjoin/physics/least_squares_problem.hpp"
#include "adjoin/physics/linear_physics.hpp"
#include "adjoin/physics/sqnorm.hpp"

namespace adjoin {

/// How a stack combines its operators. `mean` weighs the measurement space by 1/n: ⟨y, z⟩ = (1/n) Σ ⟨y_i, z_i⟩, so the
/// adjoint is (1/n) Σ A_iᵀ y_i and stays a true adjoint.
enum class Reduction : std::uint8_t { sum, mean };
/// Throws InvalidArgument naming the choices.
Reduction reduction_from_string(std::string_view name);
std::string_view to_string(Reduction reduction);

/// A stack of any measurement models. An exception in operator i becomes an OperatorFailure with index i. The
/// parameters of a call reach those operators that take them; one that none takes throws InvalidArgument.
class StackedPhysics {
 public:
  explicit StackedPhysics(std::vector<PhysicsPtr> operators);
  virtual ~StackedPhysics() = default;

  std::size_t size() const { return operators_.size(); }
  const Physics& operator[](std::size_t i) const { return *operators_[i]; }
  /// Grows with every version of an operator.
  std::int64_t version() const;
  /// Of all operators, and what accept() added: names that calls may have because others take them, on other ranks.
  ParameterNames parameter_names() const;
  void accept(const ParameterNames& names) { accepted_ += names; }
  /// What operator i takes of the parameters of a call; throws InvalidArgument for a name that none takes.
  Params taken(std::size_t i, const Params& params) const;

  TensorList A(const at::Tensor& x, const Params& params = {}) const;
  TensorList forward(const at::Tensor& x, const Params& params = {}) const;
  /// Σ J_i(x)ᵀ v_i. Undefined tensor for an empty stack.
  at::Tensor A_vjp(const at::Tensor& x, const TensorList& v, const Params& params = {}) const;

 protected:
  std::vector<PhysicsPtr> operators_;
  ParameterNames accepted_;
};

struct StackOptions {
  Reduction reduction = Reduction::sum;
  /// Use fused forms of the operators where they exist.
  bool fuse = true;
};

/// A stack of linear operators, its calls with parameters as of StackedPhysics. May be empty, as on a rank that owns
/// none: then the sums are undefined tensors. Several threads may call it at once, as its operators.
class StackedLinearPhysics {
 public:
  explicit StackedLinearPhysics(std::vector<LinearPhysicsPtr> operators, const StackOptions& options = {});
  StackedLinearPhysics(StackedLinearPhysics&&) noexcept;
  StackedLinearPhysics& operator=(StackedLinearPhysics&&) noexcept;
  ~StackedLinearPhysics();

  std::size_t size() const { return operators_.size(); }
  LinearPhysics& operator[](std::size_t i) const { return *operators_[i]; }
  Reduction reduction() const { return options_.reduction; }
  /// As of StackedPhysics.
  ParameterNames parameter_names() const;
  void accept(const ParameterNames& names) { accepted_ += names; }
  /// What operator i takes of the parameters of a call; throws InvalidArgument for a name that none takes.
  Params taken(std::size_t i, const Params& params) const;

  TensorList A(const at::Tensor& x, const Params& params = {}) const;
  /// A x, each result written into that of `out` where it may be, as in FusedStack; returns where the results are.
  TensorList A_into(const TensorList& out, const at::Tensor& x, const Params& params = {}) const;
  /// The same into the tensors of `kept` where nobody else holds them; the results are then kept there.
  TensorList A_reusing(TensorList& kept, const at::Tensor& x, const Params& params = {}) const;
  TensorList forward(const at::Tensor& x, const Params& params = {}) const;
  /// Σ A_iᵀ y_i, times 1/n for mean reduction; likewise A_vjp, A_adjoint_A and the inner adjoint of A_A_adjoint.
  at::Tensor A_adjoint(const TensorList& y, const Params& params = {}) const;
  /// The same as A_adjoint for images like `image`, where the measurements do not tell their size.
  at::Tensor A_adjoint_for(const TensorList& y, const at::Tensor& image, const Params& params = {}) const;
  at::Tensor A_vjp(const at::Tensor& x, const TensorList& v, const Params& params = {}) const;
  at::Tensor A_adjoint_A(const at::Tensor& x, const Params& params = {}) const;
  /// Σ A_iᵀ W_i A_i x, the normal operator of weighted measurements: one real tensor an operator, a number or one for
  /// each sample, which broadcasts to A_i x. With numbers, operators have the fused forms of A_adjoint_A.
  at::Tensor A_adjoint_W_A(const at::Tensor& x, const TensorList& weights, const Params& params = {}) const;
  /// Σ A_iᵀ W_i (A_i x − y_i), the gradient of ½ Σ ‖A_i x − y_i‖² in the norms of the weights; in the space of x, as
  /// A_vjp.
  at::Tensor A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                  const Params& params = {}) const;
  TensorList A_A_adjoint(const TensorList& y, const Params& params = {}) const;

  /// The unreduced terms [A_iᵀ y_i], [J_iᵀ v_i] and [A_iᵀ A_i x].
  TensorList A_adjoint_each(const TensorList& y, const Params& params = {}) const;
  TensorList A_vjp_each(const at::Tensor& x, const TensorList& v, const Params& params = {}) const;
  TensorList A_adjoint_A_each(const at::Tensor& x, const Params& params = {}) const;

  /// The plain sums (no 1/n), written into `out` when it is defined and of the right shape and dtype (its contents are
  /// overwritten), else into a new tensor; returns where the sum is, which for one operator is what that returned.
  /// `out` must not share memory with the other arguments; it is ignored where gradients are recorded. Undefined for an
  /// empty stack.
  at::Tensor A_adjoint_sum(const TensorList& y, const at::Tensor& out = {}, const Params& params = {}) const;
  at::Tensor A_adjoint_for_sum(const TensorList& y, const at::Tensor& image, const at::Tensor& out = {},
                               const Params& params = {}) const;
  at::Tensor A_vjp_sum(const at::Tensor& x, const TensorList& v, const at::Tensor& out = {},
                       const Params& params = {}) const;
  at::Tensor A_adjoint_A_sum(const at::Tensor& x, const at::Tensor& out = {}, const Params& params = {}) const;
  /// An empty list y stands for zeros.
  at::Tensor A_adjoint_W_residual_sum(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                      const at::Tensor& out = {}, const Params& params = {}) const;

  /// The fused form of the normal operator that adds up over stacks, and a part of what such a sum gives: as in
  /// FusedStack. Undefined where the operators have none for x; then there is no part either, but InvalidArgument.
  at::Tensor normal_form(const at::Tensor& x, const Params& params = {}) const;
  at::Tensor apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                               const at::Tensor& out = {}) const;
  /// Whether there are images that the operators have a normal form for.
  bool has_normal_forms() const;
  /// Grows with every version of an operator.
  std::int64_t version() const;

  /// The exact minimum-norm least-squares solution. The solves differentiate; the stack outlives their backward passes.
  at::Tensor A_dagger(const TensorList& y, const DaggerOptions& options = {}) const;
  /// (1/n) Σ A_i† y_i: cheap, and only an approximation of the pseudoinverse.
  at::Tensor A_dagger_mean(const TensorList& y, const DaggerOptions& options = {}) const;
  /// argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖², the norm of measurements being that of the stack's inner product.
  at::Tensor prox_l2(const at::Tensor& z, const TensorList& y, const Gamma& gamma,
                     const DaggerOptions& options = {}) const;
  /// ‖A‖² to a relative accuracy of tol; 0 for an empty stack.
  double compute_sqnorm(const at::Tensor& x0, const SqnormOptions& options = {}) const;
  /// ‖A‖² to a few percent (guess_sqnorm), for 4 products with AᵀA; kept until an operator changes. 0 for an empty
  /// stack.
  double guess_sqnorm(const at::Tensor& x0, const Params& params = {}) const;
  /// Lower: max_i ‖A_i‖². Upper: Σ_i ‖A_i‖². (Both times 1/n for mean reduction.)
  SqnormBounds sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options = {}) const;
  /// As LinearPhysics::adjointness_test; v_i is drawn with seed + i.
  double adjointness_test(const at::Tensor& u, std::uint64_t seed = 0, const Params& params = {}) const;

 private:
  /// A fused form, and what keeps it for the duration of a call where the stack itself does not.
  struct Fused {
    const FusedStack* form = nullptr;
    std::shared_ptr<const FusedStack> kept = nullptr;
    const FusedStack* operator->() const { return form; }
    explicit operator bool() const { return form != nullptr; }
  };
  /// The current form; null where there is none, or where it may not see these arguments.
  template <class... Arguments>
  Fused fused(const Params& params, const Arguments&... arguments) const;
  double weight() const;  // of the inner product of measurements
  at::Tensor weighted(at::Tensor sum) const;
  ShardedTensorList as_vector(TensorList y) const;
  LeastSquaresProblem<ShardedTensorList> least_squares_problem(const TensorList& y, at::Tensor image,
                                                               const DaggerOptions& options) const;
  LeastSquaresProblem<ShardedTensorList> weighted_least_squares_problem(const TensorList& y, at::Tensor image,
                                                                        const DaggerOptions& options) const;
  void check_solvable(const char* method, const TensorList& y) const;

  std::vector<LinearPhysicsPtr> operators_;
  ParameterNames accepted_;
  StackOptions options_;
  std::shared_ptr<const MeasurementSpace> space_;
  mutable KeptSqnorm kept_sqnorm_;
  struct Forms {
    Lazy<std::shared_ptr<const FusedStack>> following;  // null where a form does not follow its operators
    Derived<FusedStack> by_version;
  };
  std::unique_ptr<Forms> forms_;  // null where the operators do not fuse
};

}  // namespace adjoin
