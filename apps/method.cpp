// SPDX-License-Identifier: BSD-3-Clause
// Least squares by conjugate gradients, sparse images by FISTA, and plug-and-play by ADMM, all on the same stack.
#include "method.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/distributed/distribute.hpp"
#include "adjoin/operators/function.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distribute.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "adjoin/physics/algebra.hpp"

namespace adjoin {

namespace {

/// What a method is called, the weight of its prior, and its iterations, unless the options say.
struct Default {
  const char* name;
  double lambda;
  int iterations;
};
constexpr std::array<Default, 4> defaults = {
    {{"sense", 1e-3, 30}, {"tv", 2e-3, 100}, {"l1-wavelet", 2e-3, 100}, {"pnp", 0.03, 15}}};

/// What coils see of several sets of maps: Σ_m s_m · x_m, (1, sets, image) to (1, 1, image).
LinearPhysicsPtr sum_of_sets(const at::Tensor& maps) {
  return make_function([maps](const at::Tensor& x) { return (x * maps).sum(1, true); },
                       [conjugate = maps.conj()](const at::Tensor& y) { return y * conjugate; }, {.name = "sets"});
}

/// A denoiser of grey images on the real and imaginary parts of complex ones, plane by plane.
at::Tensor denoised_parts(const Denoiser& denoiser, const at::Tensor& x, double sigma) {
  const at::Tensor planes = at::view_as_real(x.contiguous()).movedim(-1, 0).flatten(0, -3).unsqueeze(1);
  const at::Tensor parts = denoiser(planes.contiguous(), sigma).view({2, -1});
  return at::complex(parts[0], parts[1]).view(x.sizes());
}

}  // namespace

Method::Method(const ReconOptions& options) : name(options.method), lambda(0.0), iterations(0) {
  const auto* const own = std::ranges::find(defaults, name, &Default::name);
  check(own != defaults.end(), "recon: --method must be sense, tv, l1-wavelet or pnp, got '", name, "'");
  lambda = options.lambda.value_or(own->lambda);
  iterations = options.iterations.value_or(own->iterations);
  check(std::isfinite(lambda) && lambda > 0.0, "recon: --lambda must be positive, got ", lambda);
  check(iterations > 0, "recon: --iterations must be positive, got ", iterations);
  check((name == "pnp") == !options.denoiser.empty(), "recon: --method pnp and --denoiser go together");
  if (!options.denoiser.empty()) {
    denoiser = load_denoiser(options.denoiser);
  }
}

DistributedStackedLinearPhysics stack_of(DistributedContext& context, const Scan& scan, const at::Tensor& maps) {
  const std::int64_t sets = maps.size(1);
  const auto seen_by = [&](const at::Tensor& map) -> LinearPhysicsPtr {  // (1, image)
    if (scan.trajectory.defined()) {
      return std::make_shared<NonCartesianMRI>(scan.trajectory, map);
    }
    return std::make_shared<MultiCoilMRI>(scan.weights, map.unsqueeze(0),
                                          MultiCoilMRIOptions{.three_d = scan.image_size.size() == 3});
  };
  // Sets are added up as images, so that one transform, and one convolution, serves all coils.
  const LinearPhysicsPtr plain = sets > 1 ? seen_by(at::ones_like(maps[0].narrow(0, 0, 1))) : nullptr;
  const auto operator_of = [&](std::int64_t coil, at::Device /*device*/, const Params& /*shared*/) -> LinearPhysicsPtr {
    return sets > 1 ? plain * sum_of_sets(maps[coil].unsqueeze(0)) : seen_by(maps[coil]);
  };
  return distribute(operator_of, context, scan.coils);
}

Solution solve(DistributedContext& context, const Method& method, const DistributedStackedLinearPhysics& stack,
               const ShardedTensorList& y, const at::Tensor& like, bool normal, const Checkpoint& checkpoint) {
  const bool shows = context.rank() == 0;
  const at::Tensor zero = at::zeros_like(like);
  if (method.is_least_squares()) {
    const DaggerOptions options{.max_iter = method.iterations, .tol = 1e-6, .verbose = shows};
    return {.x = stack.prox_l2(zero, y, 1.0 / method.lambda, options), .history = {}};
  }
  // The start of the others is a little least squares, or what a run before this one has come to.
  const bool goes_on = checkpoint.running().defined();
  const at::Tensor x0 = goes_on ? checkpoint.running().to(like.scalar_type())
                                : stack.prox_l2(zero, y, 1e3, {.max_iter = 10, .tol = 1e-6});
  check(x0.sizes() == like.sizes(), "recon: --checkpoint has an image of ", x0.sizes(), ", not of ", like.sizes());
  const int done = goes_on ? checkpoint.iterations() : 0;
  OptimOptions options = {.max_iter = std::max(0, method.iterations - done),
                          .tol = 1e-5,
                          .lambda = method.denoiser ? 1.0 : method.lambda,
                          .verbose = shows};
  if (checkpoint.is_kept()) {
    options.monitor = [&](const IterationRecord& record, const at::Tensor& x) {
      constexpr int often = 10;
      if (shows && record.iteration % often == 0) {
        checkpoint.write_running(x, done + record.iteration);
      }
      return true;
    };
  }
  const DistributedDataFidelity f = distribute(L2(), stack);
  DataTerm term = data_term(f, y, {.prox = {.max_iter = 15, .tol = 1e-5}});
  OptimResult result;
  if (method.denoiser) {
    const DistributedProcessing tiled = distribute(*method.denoiser, context);
    const Denoiser planes = [&](const at::Tensor& parts, double sigma) { return tiled(parts, sigma); };
    const PnP prior([&](const at::Tensor& x, double sigma) { return denoised_parts(planes, x, sigma); }, method.lambda);
    result = admm(term, prior, x0, 10.0, options);
  } else {
    if (normal) {
      term.on_slabs = {};  // which has no part in this gradient
      term.grad = [&stack, adjoint = stack.A_adjoint(y)](const at::Tensor& x) {
        return stack.A_adjoint_A(x) - adjoint;
      };
    }
    result = method.name == "tv" ? fista(term, TotalVariation(), x0, options)
                                 : fista(term, WaveletPrior({.wavelet = "db4"}), x0, options);
  }
  return {.x = result.x, .history = std::move(result.history)};
}

}  // namespace adjoin
