// SPDX-License-Identifier: BSD-3-Clause
// Algorithms for min_x f(x) + λ g(x): f a data term, g a prior. They know no ranks: what the data term does, it does on
// all of them. What fails on one rank, in the prior or between two calls, fails on all at the data term's next message.
// Options and x0 must be equal on all ranks, which is checked.
//
// Results have the dtype of x0, whatever that of the data. The images of a batch are independent problems
// (OptimOptions::items). Where an image is no longer finite, or a step is proved too long, Error names the iteration
// and what to change.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "adjoin/optim/data_term.hpp"
#include "adjoin/optim/optimise.hpp"
#include "adjoin/optim/prior.hpp"

namespace adjoin {

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
/// u ← prox_{σ F*}(u + σ A z), x⁺ = prox_{τ λ g}(x − τ Aᵀ u), z = 2 x⁺ − x. F need not be smooth. `step` is τ, and
/// σ = 1/(τ ‖A‖²). By default τ = 1/(κ ‖A‖²) with κ the Lipschitz constant of the gradients of F's terms, else about
/// what curves them between 0 and the data, for which 6 dual steps are made. One A and one Aᵀ, and one reduction, an
/// iteration.
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
