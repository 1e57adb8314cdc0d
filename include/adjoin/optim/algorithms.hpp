// Algorithms for min_x f(x) + λ g(x): f a data term, g a prior. They know no ranks: what the data term does, it does on
// all of them. A prior that fails on one rank fails on all, too: its failure travels with the data term's next message.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "adjoin/core/tensor_list.hpp"
#include "adjoin/optim/data_fidelity.hpp"
#include "adjoin/optim/optimise.hpp"
#include "adjoin/optim/prior.hpp"
#include "adjoin/optim/stacked_data_fidelity.hpp"

namespace adjoin {

/// f as the algorithms see it. A member may be empty as long as no algorithm needs it.
struct DataTerm {
  std::function<double(const at::Tensor& x)> fn;
  std::function<at::Tensor(const at::Tensor& x)> grad;
  std::function<ValueAndGradient(const at::Tensor& x)> fn_and_grad;
  /// argmin_v γ f(v) + 1/2 ‖v − x‖², started from `init` (undefined: from x).
  std::function<at::Tensor(const at::Tensor& x, double gamma, const at::Tensor& init)> prox;
  /// The gradient of the terms of a subset.
  std::function<at::Tensor(const at::Tensor& x, const Subset& subset)> subset_grad;
  /// u ← prox_{σ F*}(u + σ A x), returns Aᵀ u; with f(x) = F(A x).
  std::function<at::Tensor(TensorList& u, const at::Tensor& x, double sigma)> dual_step;
  /// Upper bounds, for images like x0, of the Lipschitz constant of ∇f and of ‖A‖².
  std::function<double(const at::Tensor& x0)> lipschitz;
  std::function<double(const at::Tensor& x0)> sqnorm;
  OnAllRanks on_all_ranks;
  /// Runs work that is every rank's own, such as a prior's. Among ranks an exception is kept, and f's next message
  /// throws it on all. Empty: exceptions pass.
  std::function<void(const std::function<void()>& work)> deferring;
  /// Throws on all ranks what was kept since f's last message, at the end of a loop whose next message would be this
  /// one.
  std::function<void(NextMessage next)> settle;
};

struct DataTermOptions {
  /// Of the inner solver of the prox.
  DaggerOptions prox = {};
  /// Of the norm bounds.
  SqnormOptions sqnorm = {};
  /// Handed to every operator.
  Params params = {};
};

/// The data term of a StackedDataFidelity or DistributedDataFidelity, which must outlive it, with measurements y.
template <class Fidelity, class Measurements>
DataTerm data_term(const Fidelity& fidelity, const Measurements& y, const DataTermOptions& options = {}) {
  return {
      .fn = [=, &fidelity](const at::Tensor& x) { return fidelity.fn(x, y, options.params).template item<double>(); },
      .grad = [=, &fidelity](const at::Tensor& x) { return fidelity.grad(x, y, options.params); },
      .fn_and_grad = [=, &fidelity](const at::Tensor& x) { return fidelity.fn_and_grad(x, y, options.params); },
      .prox =
          [=, &fidelity, inner = options.prox](const at::Tensor& x, double gamma, const at::Tensor& init) mutable {
            inner.init = init.defined() ? std::optional<at::Tensor>(init) : std::nullopt;
            return fidelity.prox(x, y, gamma, inner);
          },
      .subset_grad = [=, &fidelity](const at::Tensor& x,
                                    const Subset& subset) { return fidelity.grad(x, y, subset, options.params); },
      .dual_step = [=, &fidelity](TensorList& u, const at::Tensor& x,
                                  double sigma) { return fidelity.dual_step(u, x, y, sigma, options.params); },
      .lipschitz = [=, &fidelity](const at::Tensor& x0) { return fidelity.lipschitz(x0, options.sqnorm); },
      .sqnorm = [=,
                 &fidelity](const at::Tensor& x0) { return fidelity.stack().sqnorm_bounds(x0, options.sqnorm).upper; },
      .on_all_ranks = [&fidelity](const std::function<bool()>& question) { return fidelity.on_all_ranks(question); },
      .deferring = [&fidelity](const std::function<void()>& work) { fidelity.deferring(work); },
      .settle = [&fidelity](NextMessage next) { fidelity.settle(next); }};
}

/// x ← x − τ (∇f(x) + λ ∇g(x)). Default step τ = 1 / (Lip(∇f) + λ Lip(∇g)). One gradient of f an iteration.
OptimResult gradient_descent(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options = {});

/// Proximal gradient descent (ISTA): x ← prox_{τ λ g}(x − τ ∇f(x)). Default step 1 / Lip(∇f). With a PnP prior it is
/// plug-and-play. One gradient of f an iteration.
OptimResult proximal_gradient(const DataTerm& f, const Prior& g, const at::Tensor& x0,
                              const OptimOptions& options = {});

/// FISTA (Beck and Teboulle, SIAM J. Imaging Sci. 2, 2009): proximal gradient steps from an extrapolated point. Default
/// step 1 / Lip(∇f). One gradient of f an iteration.
OptimResult fista(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options = {});

/// Monotone FISTA (Beck and Teboulle, IEEE Trans. Image Process. 18, 2009, section V.A): the objective never rises. One
/// gradient and one value of f an iteration. The prior must have a value.
OptimResult monotone_fista(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options = {});

/// Half-quadratic splitting (Geman and Yang, IEEE Trans. Image Process. 4, 1995): u = prox_{γ f}(x), x = prox_{γ λ
/// g}(u), with γ from `gammas`, one an iteration, the last one for all that follow. Falling γ, with a PnP prior whose
/// sigma is left out, are DPIR's schedule. `step` and `backtracking` are not used.
OptimResult hqs(const DataTerm& f, const Prior& g, const at::Tensor& x0, const std::vector<double>& gammas,
                const OptimOptions& options = {});

/// Alternating direction method of multipliers (Boyd et al., Found. Trends Mach. Learn. 3, 2011, section 3.1.1, scaled
/// form): u = prox_{γ f}(x − z), x = prox_{γ λ g}(u + z), z ← z + u − x. The change measures ‖u − x‖ as well. `step`
/// and `backtracking` are not used.
OptimResult admm(const DataTerm& f, const Prior& g, const at::Tensor& x0, double gamma,
                 const OptimOptions& options = {});

/// The primal-dual algorithm of Chambolle and Pock (J. Math. Imaging Vis. 40, 2011, algorithm 1) with f(x) = F(A x):
/// u ← prox_{σ F*}(u + σ A z), x⁺ = prox_{τ λ g}(x − τ Aᵀ u), z = 2 x⁺ − x. F need not be smooth. `step` is τ, by
/// default 1/‖A‖, and σ = 1/(τ ‖A‖²). One A and one Aᵀ, and one reduction, an iteration.
OptimResult primal_dual(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OptimOptions& options = {});

struct OrderedSubsets {
  /// Number of subsets.
  std::int64_t count = 4;
  /// The step of pass k is that of the first one over 1 + decay (k − 1). Without decay the iteration ends in a cycle
  /// around the minimum, the wider the less the subsets agree.
  double decay = 0.1;
};

/// Ordered subsets (Hudson and Larkin, IEEE Trans. Med. Imaging 13, 1994, in gradient form): an iteration passes over
/// the subsets of the operators, x ← prox_{τ λ g}(x − τ count ∇f_s(x)) for each: as much work as one gradient, for a
/// progress of up to `count` steps. One reduction a subset. Default step 1 / Lip(∇f).
OptimResult ordered_subsets(const DataTerm& f, const Prior& g, const at::Tensor& x0, const OrderedSubsets& subsets = {},
                            const OptimOptions& options = {});

}  // namespace adjoin
