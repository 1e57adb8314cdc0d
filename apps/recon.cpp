// SPDX-License-Identifier: BSD-3-Clause
// The steps of `adjoin recon`: each slice's scan, its coils, a solve, and the files that show what was found.
#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/nufft/density_compensation.hpp"
#include "checkpoint.hpp"
#include "coils.hpp"
#include "commands.hpp"
#include "method.hpp"
#include "results.hpp"
#include "scan.hpp"

namespace adjoin {

namespace {

/// The middle of an image (sets, image) that is shown.
at::Tensor shown(at::Tensor image, const Sizes& size) {
  for (std::size_t i = 0; i < size.size(); ++i) {
    const auto axis = static_cast<std::int64_t>(i) + 1;
    const std::int64_t n = image.size(axis);
    image = image.narrow(axis, n / 2 - size[i] / 2, size[i]);
  }
  return image;
}

class Clock {
 public:
  /// Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> passed = now - std::exchange(start_, now);
    return passed.count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

struct Outcome {
  at::Tensor image;    // (sets, image), shown
  at::Tensor gridded;  // before the first iteration
  std::vector<IterationRecord> history;
  std::int64_t coils = 0;
};

/// The image of one scan, on every rank.
Outcome reconstruct(DistributedContext& context, const ReconOptions& options, const Method& method, Scan& scan,
                    const Checkpoint& checkpoint, std::map<std::string, double>& seconds, Clock& clock) {
  const at::Tensor density =
      scan.trajectory.defined() ? density_compensation(scan.trajectory, scan.image_size) : at::Tensor();
  const at::Tensor maps = prepare_coils(context, options, density, scan);
  seconds["coil maps"] += clock.lap();

  const DistributedStackedLinearPhysics stack = stack_of(context, scan, maps);
  // Measurements of the grid are weighted as the operators are.
  const at::Tensor weights = density.defined() ? density : scan.weights;
  TensorList weighed;
  for (const at::Tensor& coil : scan.kspace.unsqueeze(0).split(1, 1)) {
    weighed.push_back((coil * weights).contiguous());
  }
  // In units in which the image's largest value is about 1, λ means the same for every scanner.
  const at::Tensor gridded = stack.A_adjoint(stack.shard(weighed));
  const double scale = gridded.abs().max().item<double>();
  check(scale > 0.0 && std::isfinite(scale), "recon: ", options.kspace, " must be finite and not all zeros");
  TensorList scaled;
  for (std::size_t i = 0; i < weighed.size(); ++i) {
    const at::Tensor coil = scan.kspace.narrow(0, static_cast<std::int64_t>(i), 1).unsqueeze(0).contiguous();
    scaled.push_back((density.defined() ? coil : weighed[i]) / scale);
  }
  Solution solution =
      solve(context, method, stack, stack.shard(scaled), gridded, scan.trajectory.defined(), checkpoint);
  seconds["reconstruction"] += clock.lap();
  // What no coil sees is not known, and not zero in the minimum of every prior.
  const at::Tensor seen = (maps != 0).any(0);
  return {.image = shown((solution.x * scale)[0] * seen, scan.shown_size),
          .gridded = shown(gridded[0], scan.shown_size),
          .history = std::move(solution.history),
          .coils = scan.coils};
}

/// All of the options that an image depends on, but for the iterations, which a later run may add to.
std::string text_of(const ReconOptions& options, const Method& method) {
  return c10::str(options.kspace, options.trajectory.empty() ? "" : " --trajectory ", options.trajectory, " --maps ",
                  options.maps, " --sets ", options.sets, " --method ", method.name, " --lambda ", method.lambda,
                  options.denoiser.empty() ? "" : " --denoiser ", options.denoiser, " --size ",
                  at::IntArrayRef(options.size), " --calibration ", options.calibration, " --coils ", options.coils,
                  " --slice ", options.slice.value_or(-1), " --contrast ", options.contrast, " --phase ", options.phase,
                  " --repetition ", options.repetition, " --set ", options.set);
}

}  // namespace

int recon(DistributedContext& context, const ReconOptions& options) {
  check(options.voxel_size.empty() || (options.voxel_size.size() == 3 &&
                                       std::ranges::all_of(options.voxel_size, [](double d) { return d > 0.0; })),
        "recon: --voxel-size must be three positive numbers");
  const Method method(options);
  Checkpoint checkpoint(options.checkpoint, text_of(options, method));
  std::map<std::string, double> seconds;
  Clock clock;
  const ScanSource source(options);
  const std::int64_t slices = source.slices();
  const auto done = static_cast<std::int64_t>(checkpoint.images().size());
  check(done <= slices, "recon: --checkpoint has ", done, " slices, ", options.kspace, " has ", slices);
  Scan first;
  Outcome outcome;
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    if (slice > 0 && slice < done) {
      continue;
    }
    Scan scan = source.read(context, slice);
    check(slices == 1 || scan.image_size.size() == 2, "recon: ", options.kspace, " has ", slices,
          " slabs of volumes; --slice names one of them");
    seconds["reading"] += clock.lap();
    if (slice >= done) {
      outcome = reconstruct(context, options, method, scan, checkpoint, seconds, clock);
      checkpoint.add_slice(outcome.image, outcome.gridded, context.rank() == 0);
    }
    if (slice == 0) {
      first = std::move(scan);
    }
  }
  if (context.rank() != 0) {
    return 0;
  }
  const auto joined = [&](const std::vector<at::Tensor>& images) {
    return slices == 1 ? images[0] : at::stack(images, 1);
  };
  const std::int64_t coils = outcome.image.defined() ? outcome.coils : first.coils;
  const Results results{.image = joined(checkpoint.images()),
                        .gridded = joined(checkpoint.gridded()),
                        .history = std::move(outcome.history),
                        .table = {{"kspace", options.kspace},
                                  {"trajectory", options.trajectory},
                                  {"maps", options.maps},
                                  {"sets", checkpoint.images()[0].size(0)},
                                  {"coils", coils},
                                  {"prewhitened", first.noise.defined()},
                                  {"slices", slices},
                                  {"image_size", first.shown_size},
                                  {"method", options.method},
                                  {"lambda", method.lambda},
                                  {"iterations", method.iterations},
                                  {"resumed", checkpoint.is_resumed()},
                                  {"ranks", context.size()},
                                  {"seconds", seconds}}};
  write_results(options, first, results);
  checkpoint.remove();
  double total = 0.0;
  for (const auto& [part, time] : seconds) {
    total += time;
  }
  std::printf("%s: %s, %lld coils, %.2f s\n", options.out.c_str(), options.method.c_str(),
              static_cast<long long>(coils), total);
  return 0;
}

}  // namespace adjoin
