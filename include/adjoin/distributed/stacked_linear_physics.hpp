// SPDX-License-Identifier: BSD-3-Clause
// A stack of linear operators spread over ranks: the heart of adjoin.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/distributed/joint_normal.hpp"
#include "adjoin/distributed/stacked_physics.hpp"
#include "adjoin/physics/gamma.hpp"
#include "adjoin/physics/least_squares_problem.hpp"
#include "adjoin/physics/sqnorm.hpp"

namespace adjoin {

/// DaggerOptions, and how the ranks take part. Flat, so that every field can be named in a designated initialiser.
struct DistributedDaggerOptions {
  Solver solver = Solver::CG;
  int max_iter = 100;
  double tol = 1e-6;
  bool verbose = false;
  std::optional<at::Tensor> init = {};
  Params params = {};
  /// Returning false on one rank ends the solve on all. With local_only every operator's own solve calls it, on the
  /// rank that owns the operator, and ends by itself.
  Monitor monitor = {};
  /// Where to say how the solve ended, with local_only how the worst of this rank's; may be null.
  SolveInfo* info = nullptr;
  /// true: (1/n) Σ A_i† y_i, every rank solving for its own operators alone: cheap, one reduction, and only an
  /// approximation of the pseudoinverse. false: the exact least-squares solution of minimum norm.
  bool local_only = true;
  /// With local_only: false gives this rank's part of the sum, without any message.
  bool gather = true;
  /// Without local_only: how the solver keeps its images. They are cut as A_dagger_sharded cuts them.
  ImageLayout layout = ImageLayout::automatic;
};

/// DaggerOptions for solutions that are sharded.
struct SlabDaggerOptions {
  Solver solver = Solver::CG;
  int max_iter = 100;
  double tol = 1e-6;
  bool verbose = false;
  /// Start of the iteration; the solution is cut as it is.
  std::optional<ShardedImage> init = {};
  /// Without `init`: the axis along which the solution is cut; none: as the stack cuts images (image_space).
  std::optional<std::int64_t> axis = {};
  Params params = {};
  Monitor monitor = {};
  /// Where to say how the solve ended; may be null.
  SolveInfo* info = nullptr;
};

/// SqnormOptions, and how the ranks take part.
struct DistributedSqnormOptions {
  int max_iter = 50;
  double tol = 1e-3;
  bool verbose = false;
  Params params = {};
  /// true: an upper bound of ‖A‖², Σ ‖A_i‖² made safe. false: ‖A‖² itself, to a relative accuracy of tol.
  bool local_only = true;
  /// With local_only: false gives this rank's part of the sum, without any message.
  bool gather = true;
  /// Without local_only: how Lanczos keeps its images.
  ImageLayout layout = ImageLayout::automatic;
};

/// A = [A_1; …; A_n] with linear operators, each owned by one rank. Measurements y are all n tensors in a list, or just
/// this rank's, in a list or as a ShardedTensorList. Adjoint-like methods return the sum over all operators on every
/// rank by one reduction of the image's size; with gather = false this rank's part of it, without any message (a zero
/// scalar on a rank without operators). With Reduction::mean the measurement space is weighted by 1/n, so A_adjoint is
/// (1/n) Σ A_iᵀ y_i and stays a true adjoint.
///
/// On a grid (DistributedOptions::grid) only the methods on sharded images are there. Their slabs are those of
/// image_space, one a group of ranks; the measurements of a rank are of its operators and slices, and lists of all hold
/// all slices, or are the rank's own by their sizes. A_sharded sends nothing; A_adjoint_sharded and A_adjoint_A add up
/// slabs within the group, whose ranks alone throw what fails in them. Solves, norms, gathers and A of all measurements
/// are calls of all ranks.
class DistributedStackedLinearPhysics : public DistributedStackedPhysics {
 public:
  DistributedStackedLinearPhysics(DistributedContext& context, std::int64_t num_operators,
                                  const PhysicsFactory& factory, const DistributedOptions& options = {});
  ~DistributedStackedLinearPhysics() override;

  Reduction reduction() const { return reduction_; }
  /// This rank's operators, in the order of local_indices(), as a stack with sum reduction.
  const StackedLinearPhysics& local_operators() const { return local_; }

  /// Aᵀ y = Σ A_iᵀ y_i.
  at::Tensor A_adjoint(const Measurements& y, const CallOptions& options = {}) const;
  /// Σ J_i(x)ᵀ v_i.
  at::Tensor A_vjp(const at::Tensor& x, const Measurements& v, const CallOptions& options = {}) const;
  /// Aᵀ A x = Σ A_iᵀ A_i x. Measurements are neither kept nor sent.
  at::Tensor A_adjoint_A(const at::Tensor& x, const CallOptions& options = {}) const;
  /// A Aᵀ y = [A_1 Aᵀ y, …, A_n Aᵀ y]. The inner adjoint is always the global one; `gather` concerns the outer step.
  TensorList A_A_adjoint(const TensorList& y, const CallOptions& options = {}) const;
  ShardedTensorList A_A_adjoint(const ShardedTensorList& y, const Params& params = {}) const;

  /// This rank's unreduced terms [A_iᵀ y_i], [J_i(x)ᵀ v_i], [A_iᵀ A_i x], without the factor 1/n; with gather, those of
  /// all ranks.
  TensorList A_adjoint_each(const Measurements& y, const CallOptions& options = {}) const;
  TensorList A_vjp_each(const at::Tensor& x, const Measurements& v, const CallOptions& options = {}) const;
  TensorList A_adjoint_A_each(const at::Tensor& x, const CallOptions& options = {}) const;

  /// Pseudoinverse of the stack, exact or by local approximation. Measurements stay on their ranks; with the solvers CG
  /// and MINRES an iteration is one image reduction, with LSQR and LSMR one image and one small reduction, with
  /// BiCGStab two image reductions. `verbose` draws a progress bar on rank 0.
  at::Tensor A_dagger(const Measurements& y, const DistributedDaggerOptions& options = {}) const;
  /// argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖², γ > 0, in the norm of the measurement space; γ may be one number for each
  /// item of a batch.
  at::Tensor prox_l2(const at::Tensor& z, const Measurements& y, const Gamma& gamma, const DaggerOptions& options = {},
                     ImageLayout layout = ImageLayout::automatic) const;

  /// ‖A‖²: an upper bound, for which only a few numbers are sent, or the value by Lanczos, one image reduction an
  /// iteration. `x0` gives shape, dtype and device of an image.
  double compute_sqnorm(const at::Tensor& x0, const DistributedSqnormOptions& options = {}) const;
  /// ‖A‖² to a few percent, seldom less than it is and then by little: 4 Lanczos steps, each one image reduction, once
  /// for images of one layout until an operator changes; else one small message.
  double guess_sqnorm(const at::Tensor& x0, const Params& params = {}) const;
  /// max_i ‖A_i‖² from below and Σ ‖A_i‖² from above (both times 1/n for mean), by one message of a few numbers.
  SqnormBounds sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options = {}) const;
  /// |⟨A u, v⟩ − ⟨u, Aᵀ v⟩| / (‖A u‖ ‖v‖) for random v, which does not depend on the number of ranks.
  double adjointness_test(const at::Tensor& u, std::uint64_t seed = 0, const Params& params = {}) const;

  /// This rank's measurements, picked from a list of all or of its own, as a vector with a global inner product.
  ShardedTensorList shard(const Measurements& y) const;
  /// All measurements on every rank, by one collective.
  TensorList gather(const ShardedTensorList& y) const;

  // ---- Sharded images: each rank holds a slab ----
  // An image in is one all-gather, an image out one reduce-scatter, of which on one node neither copies the whole. With
  // a joint normal form (circular blurs) and slabs of whole images, A_adjoint_A sends a few numbers only. What follows
  // differentiates with respect to images and measurements, as often as asked, but for the solves, and not with respect
  // to what operators are made of: what cannot be differentiated throws InvalidArgument. The gradient of a slab is the
  // slab of the gradient.

  /// How this stack cuts images of these sizes: evenly along `axis`; or, without one, at whole images (batch and
  /// channels) where the ranks have a joint normal form and there is an image for each rank, else the flat image. On a
  /// grid evenly along its axis, in a slab for each group.
  std::shared_ptr<const ImageSpace> image_space(at::IntArrayRef sizes, std::optional<std::int64_t> axis = {}) const;
  /// This rank's slab of a replicated image. No message.
  ShardedImage shard_image(const at::Tensor& x, std::optional<std::int64_t> axis = {}) const;
  /// The whole image on every rank, by one collective.
  at::Tensor gather(const ShardedImage& x) const;
  /// x, whose inner products then are sums by this stack. Throws InvalidArgument, in which `argument` names x, where it
  /// is not an image of these ranks. No message.
  ShardedImage own_slab(const char* argument, const ShardedImage& x) const;

  using DistributedStackedPhysics::A;
  using DistributedStackedPhysics::A_sharded;
  TensorList A(const ShardedImage& x, const CallOptions& options = {}) const;
  ShardedTensorList A_sharded(const ShardedImage& x, const Params& params = {}) const;
  /// A_adjoint as a sharded image, cut as image_space says.
  ShardedImage A_adjoint_sharded(const Measurements& y, std::optional<std::int64_t> axis = {},
                                 const Params& params = {}) const;
  ShardedImage A_adjoint_A(const ShardedImage& x, const Params& params = {}) const;
  /// A_dagger without local_only, whose solution and all vectors of the solver are sharded. The first iteration of a
  /// stack or a shape apart, an iteration of CG is one all-gather, one reduce-scatter and one small reduction.
  ShardedImage A_dagger_sharded(const Measurements& y, const SlabDaggerOptions& options = {}) const;
  /// Cut as z is.
  ShardedImage prox_l2(const ShardedImage& z, const Measurements& y, const Gamma& gamma,
                       const SlabDaggerOptions& options = {}) const;
  /// ‖A‖² by Lanczos on sharded images.
  double compute_sqnorm(const ShardedImage& x0, const SqnormOptions& options = {}) const;
  /// As guess_sqnorm of replicated images, with which it shares what it keeps.
  double guess_sqnorm(const ShardedImage& x0, const Params& params = {}) const;

 protected:
  bool is_linear() const override { return true; }
  at::Tensor pulled_back(const at::Tensor& x, const TensorList& v, const Params& params) const override;

 private:
  double weight() const { return space_->weight; }
  double weight_of(const CallOptions& options) const;
  at::Tensor weighted(const at::Tensor& sum, const at::Tensor& out, double weight) const;
  at::Tensor or_nothing(const at::Tensor& sum) const;

  struct Transposed;  // A_adjoint or A_vjp
  static const Transposed adjoint;
  static const Transposed vjp;
  static const Transposed gradient;
  at::Tensor transposed(const Transposed& kind, const at::Tensor& x, const Measurements& v, const CallOptions& options,
                        double weight) const;
  at::Tensor followed(const Transposed& kind, const at::Tensor& x, const Measurements& v, const Params& params,
                      double weight) const;
  at::Tensor normal_part(const at::Tensor& x, const at::Tensor& out, const Params& params, double weight) const;
  at::Tensor normal(Exchange::Memory memory, const at::Tensor& x, const Params& params, double weight) const;
  template <class Part>
  TensorList each(const char* name, const RecordedInputs& inputs, const CallOptions& options, const Part& part) const;

  // By the implicit function theorem; see stacked_solve_gradients.cpp.
  at::Tensor followed_prox(const at::Tensor& z, const Measurements& y, const Gamma& gamma,
                           const DaggerOptions& options) const;
  at::Tensor followed_dagger(const Measurements& y, const DistributedDaggerOptions& options) const;
  /// (A†)ᵀ g: this rank's measurements, or with `whole` all of them.
  TensorList dagger_transposed(const at::Tensor& g, bool whole, const DistributedDaggerOptions& options) const;
  /// Contributions to the gradients of what the operators use: of keyword tensors, summed over the ranks, then of
  /// parameters. `value` is this rank's part of what is differentiated.
  Tensors parameter_gradients(const Params& params, const std::function<at::Tensor(const Params& params)>& value) const;

  LeastSquaresProblem<ShardedTensorList> problem(const TensorList& part, at::Tensor image, const Params& params) const;
  /// The same on sharded images, like `image` if that is given, else cut along `axis`, for a solver.
  LeastSquaresProblem<ShardedTensorList, ShardedImage> slab_problem(const TensorList& part,
                                                                    const std::optional<ShardedImage>& image,
                                                                    std::optional<std::int64_t> axis, Solver solver,
                                                                    const Params& params) const;
  /// This rank's part of A x, in a distributed iteration; `kept` is memory of the last one.
  ShardedTensorList measured_in_solve(TensorList& kept, const at::Tensor& x, const TensorList& part,
                                      const Params& params) const;
  DaggerOptions options_for(const SlabDaggerOptions& options) const;
  /// The least-squares solution for replicated images; of `part`, this rank's measurements.
  at::Tensor dagger_by_layout(const TensorList& part, const DaggerOptions& options, ImageLayout layout) const;
  at::Tensor whole(const ShardedImage& x) const;
  /// A call of all ranks, on a grid, too: `prepare` reads this rank's arguments, then `body` works.
  template <class Prepare, class Body>
  auto everywhere(const char* method, const CallArguments& arguments, const Prepare& prepare, const Body& body) const
      -> decltype(body());
  /// The image that this rank's operators read: the whole one, or on a grid the slab.
  at::Tensor read_by_operators(const ShardedImage& x) const;
  /// The sum of the ranks' parts, of which each gets its slab.
  ShardedImage sum_to_slab(Exchange::Partial part, Exchange::Cut cut) const;
  /// `sum`, the sum over a group, as this rank's slab.
  ShardedImage as_slab(const at::Tensor& sum) const;
  /// What `own` measures of this rank's slices, on a grid, as the measurements of all operators and slices.
  TensorList gather_slices(const char* method, const CallArguments& arguments,
                           const std::function<TensorList()>& own) const;
  /// Whether a solve with images of this shape is likely to be quicker on slabs, or they are asked for.
  bool uses_slabs(ImageLayout layout, at::IntArrayRef sizes, at::ScalarType dtype) const;

  ShardedImage normal(const ShardedImage& x, const Params& params, double weight) const;
  at::Tensor normal_of_whole(const at::Tensor& x, const at::Tensor& out, const Params& params, double weight) const;
  /// How an image is cut, once all ranks know of it; may send a few numbers.
  std::shared_ptr<const ImageSpace> chosen_space(at::IntArrayRef sizes, at::ScalarType dtype,
                                                 std::optional<std::int64_t> axis, const Params& params) const;
  std::shared_ptr<const ImageSpace> kept_space(ImageSpace space) const;
  /// Aᵀ y times a weight, cut as `cut` says.
  ShardedImage scattered(const char* name, const Measurements& y, Exchange::Cut cut, const CallArguments& arguments,
                         const Params& params, double weight) const;
  TensorList measured_slab(const ShardedImage& x, const Params& params, bool all) const;
  template <class Of, class Back>
  at::Tensor followed_slab(const at::Tensor& local, const Of& of, const Back& back) const;
  void check_not_followed(const char* method, bool records, const Params& params) const;
  DaggerOptions with_common_monitor(const DaggerOptions& options) const;
  /// What `guess` finds for images like x0, which `checked` gives; kept until an operator changes.
  double kept_guess(const std::function<at::Tensor()>& checked, const Params& params,
                    const std::function<double()>& guess) const;
  SqnormBounds local_bounds(const at::Tensor& x0, const SqnormOptions& options) const;

  Reduction reduction_;
  const StackedLinearPhysics& local_;  // of the base's local()
  mutable KeptSqnorm kept_sqnorm_;
  mutable JointNormal joint_normal_;
  mutable std::vector<std::shared_ptr<const ImageSpace>> spaces_;           // of the latest sharded images
  std::shared_ptr<CallPlans> image_plans_ = std::make_shared<CallPlans>();  // every sum that is an image shares them
  std::shared_ptr<CallPlans> keyword_plans_ = std::make_shared<CallPlans>();
  std::shared_ptr<CallPlans> each_plans_ = std::make_shared<CallPlans>();
  std::shared_ptr<CallPlans> measurement_plans_ = std::make_shared<CallPlans>();
  std::shared_ptr<CallPlans> whole_plans_ = std::make_shared<CallPlans>();  // of whole images of a grid
};

}  // namespace adjoin
