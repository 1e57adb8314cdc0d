// SPDX-License-Identifier: BSD-3-Clause
// The data term of an optimisation problem, as the algorithms see it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "adjoin/core/norms.hpp"
#include "adjoin/core/params.hpp"
#include "adjoin/core/sharded_image.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/optim/distributed_data_fidelity.hpp"
#include "adjoin/optim/optimise.hpp"
#include "adjoin/optim/stacked_data_fidelity.hpp"

namespace adjoin {

/// f as the algorithms see it. A member may be empty as long as no algorithm needs it. Images hold `items` independent
/// problems along dimension 0; values are those of each.
struct DataTerm {
  std::function<Reals(const at::Tensor& x, std::int64_t items)> values;
  std::function<at::Tensor(const at::Tensor& x)> grad;
  std::function<ItemValues(const at::Tensor& x, std::int64_t items)> values_and_grad;
  /// argmin_v γ f(v) + 1/2 ‖v − x‖², started from `init` (undefined: from x).
  std::function<at::Tensor(const at::Tensor& x, double gamma, const at::Tensor& init)> prox;
  /// The gradient of the terms of a subset.
  std::function<at::Tensor(const at::Tensor& x, const Subset& subset)> subset_grad;
  /// u ← prox_{σ F*}(u + σ A x), returns Aᵀ u; with f(x) = F(A x).
  std::function<at::Tensor(TensorList& u, const at::Tensor& x, double sigma)> dual_step;
  /// For images like x0, the Lipschitz constant of ∇f and ‖A‖², to a few percent; infinite where there is none.
  std::function<double(const at::Tensor& x0)> lipschitz;
  std::function<double(const at::Tensor& x0)> sqnorm;
  /// Whether f is convex, so that what theory says about steps holds.
  bool convex = false;
  /// How the images are cut of which the algorithm is given, and finds, this rank's slab; null: it has the whole.
  std::shared_ptr<const ImageSpace> space = {};
  /// For OptimOptions::layout: how images are cut along an axis, this term on such slabs, and the whole of one. Empty
  /// where there is one process, or operators are not linear.
  std::function<std::shared_ptr<const ImageSpace>(at::IntArrayRef sizes, std::optional<std::int64_t> axis)> cut = {};
  std::function<DataTerm(std::shared_ptr<const ImageSpace> space)> on_slabs = {};
  std::function<at::Tensor(const ShardedImage& x)> whole = {};

  /// How many independent problems images like x0 hold; 1 where empty.
  std::function<std::int64_t(const at::Tensor& x0)> items;
  /// Runs the algorithm `what`, first `begin`, then `work`. Among ranks an exception of one is thrown on all, and so is
  /// a difference between the options, which begin() returns as text. Empty: there is one process.
  std::function<void(const char* what, const std::function<std::string()>& begin, const std::function<void()>& work)>
      run;
  OnAllRanks on_all_ranks;
};

struct DataTermOptions {
  /// Of the inner solver of the prox.
  DaggerOptions prox = {};
  /// Handed to every operator.
  Params params = {};
};

template <class Y>
DataTerm slab_data_term(const DistributedDataFidelity& fidelity, const Y& y, std::shared_ptr<const ImageSpace> space,
                        const DataTermOptions& options = {});

/// The data term of a StackedDataFidelity or DistributedDataFidelity, which must outlive it, with measurements y.
template <class Fidelity, class Y>
DataTerm data_term(const Fidelity& fidelity, const Y& y, const DataTermOptions& options = {}) {
  DataTerm f = {
      .values = [=, &fidelity](const at::Tensor& x,
                               std::int64_t items) { return fidelity.item_values(x, y, items, options.params); },
      .grad = [=, &fidelity](const at::Tensor& x) { return fidelity.grad(x, y, options.params); },
      .values_and_grad = [=, &fidelity](
                             const at::Tensor& x,
                             std::int64_t items) { return fidelity.item_values_and_grad(x, y, items, options.params); },
      .prox =
          [=, &fidelity, inner = options.prox](const at::Tensor& x, double gamma, const at::Tensor& init) mutable {
            inner.init = init.defined() ? std::optional<at::Tensor>(init) : std::nullopt;
            return fidelity.prox(x, y, gamma, inner);
          },
      .subset_grad = [=, &fidelity](const at::Tensor& x,
                                    const Subset& subset) { return fidelity.grad(x, y, subset, options.params); },
      .dual_step = [=, &fidelity](TensorList& u, const at::Tensor& x,
                                  double sigma) { return fidelity.dual_step(u, x, y, sigma, options.params); },
      .lipschitz = [=, &fidelity](const at::Tensor& x0) { return fidelity.lipschitz(x0, options.params); },
      .sqnorm = [=, &fidelity](const at::Tensor& x0) { return fidelity.sqnorm(x0, options.params); },
      .convex = fidelity.is_linear(),
      .items = [=, &fidelity](const at::Tensor& x0) { return fidelity.items(x0, y); },
      .run =
          [&fidelity, prox = options.prox](const char* what, const std::function<std::string()>& begin,
                                           const std::function<void()>& work) {
            const auto all_options = [&] {
              return c10::str(begin(), ", prox_max_iter ", prox.max_iter, ", prox_tol ", prox.tol);
            };
            fidelity.run(what, all_options, work);
          },
      .on_all_ranks = [&fidelity](const std::function<bool()>& question) { return fidelity.on_all_ranks(question); }};
  if constexpr (std::is_same_v<Fidelity, DistributedDataFidelity>) {
    if (const DistributedStackedLinearPhysics* const stack = fidelity.linear_stack()) {
      f.cut = [stack](at::IntArrayRef sizes, std::optional<std::int64_t> axis) {
        return stack->image_space(sizes, axis);
      };
      f.on_slabs = [=, &fidelity](std::shared_ptr<const ImageSpace> space) {
        return slab_data_term(fidelity, y, std::move(space), options);
      };
      f.whole = [stack](const ShardedImage& x) { return stack->gather(x); };
    }
  }
  return f;
}

/// The data term on sharded images that are cut as `space` says, which a stack or another sharded image gives: an
/// algorithm then starts from this rank's slab, `truth` is one, a monitor sees one, and OptimResult::x is one. Priors
/// act on slabs (Prior::prox of a ShardedImage). Each evaluation is one all-gather of an image and one reduce-scatter.
template <class Y>
DataTerm slab_data_term(const DistributedDataFidelity& fidelity, const Y& y, std::shared_ptr<const ImageSpace> space,
                        const DataTermOptions& options) {
  const auto slab = [space](const at::Tensor& local) { return ShardedImage{local, space}; };
  DataTerm f = data_term(fidelity, y, options);
  f.space = space;
  f.values = [=, &fidelity](const at::Tensor& x, std::int64_t items) {
    return fidelity.item_values(slab(x), y, items, options.params);
  };
  f.grad = [=, &fidelity](const at::Tensor& x) { return fidelity.grad(slab(x), y, options.params).local; };
  f.values_and_grad = [=, &fidelity](const at::Tensor& x, std::int64_t items) {
    return fidelity.item_values_and_grad(slab(x), y, items, options.params);
  };
  f.prox = [=, &fidelity](const at::Tensor& x, double gamma, const at::Tensor& init) {
    return fidelity
        .prox(slab(x), y, gamma,
              {.solver = options.prox.solver,
               .max_iter = options.prox.max_iter,
               .tol = options.prox.tol,
               .init = init.defined() ? std::optional<ShardedImage>(slab(init)) : std::nullopt,
               .params = options.prox.params})
        .local;
  };
  f.subset_grad = [=, &fidelity](const at::Tensor& x, const Subset& subset) {
    return fidelity.grad(slab(x), y, subset, options.params).local;
  };
  f.dual_step = [=, &fidelity](TensorList& u, const at::Tensor& x, double sigma) {
    return fidelity.dual_step(u, slab(x), y, sigma, options.params).local;
  };
  f.lipschitz = [=, &fidelity](const at::Tensor& x0) { return fidelity.lipschitz(slab(x0), options.params); };
  f.sqnorm = [=, &fidelity](const at::Tensor& x0) { return fidelity.sqnorm(slab(x0), options.params); };
  f.items = [=, &fidelity](const at::Tensor& x0) { return fidelity.items(slab(x0), y); };
  return f;
}

}  // namespace adjoin
