#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/core/vector_space.hpp"
#include "adjoin/io/cfl.hpp"
#include "adjoin/io/image.hpp"
#include "adjoin/io/nifti.hpp"
#include "adjoin/io/npy.hpp"
#include "adjoin/io/report.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/operators/nufft/density_compensation.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distribute.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "coils.hpp"
#include "commands.hpp"
#include "scan.hpp"

namespace adjoin {

namespace {

/// One operator a coil, each rank's own ones.
DistributedStackedLinearPhysics stack_of(DistributedContext& context, const Scan& scan, const at::Tensor& maps) {
  const auto operator_of = [&](std::int64_t coil, at::Device /*device*/, const Params& /*shared*/) -> LinearPhysicsPtr {
    const at::Tensor map = maps.narrow(0, coil, 1);
    if (scan.trajectory.defined()) {
      return std::make_shared<NonCartesianMRI>(scan.trajectory, map);
    }
    return std::make_shared<MultiCoilMRI>(scan.weights, map.unsqueeze(0),
                                          MultiCoilMRIOptions{.three_d = scan.image_size.size() == 3});
  };
  return distribute(operator_of, context, scan.coils);
}

/// The magnitude, of a volume in its middle slice, (1, H, W) from 0 to 1.
at::Tensor as_picture(const at::Tensor& image) {
  const at::Tensor size = image.abs();
  const at::Tensor plane = size.dim() == 3 ? size.select(0, size.size(0) / 2) : size;
  return (plane / plane.max().clamp_min(1e-30)).unsqueeze(0);
}

/// The middle of an image that is shown.
at::Tensor shown(at::Tensor image, const Sizes& size) {
  for (std::size_t i = 0; i < size.size(); ++i) {
    const auto axis = static_cast<std::int64_t>(i);
    const std::int64_t n = image.size(axis);
    image = image.narrow(axis, n / 2 - size[i] / 2, size[i]);
  }
  return image;
}

/// (image) to BART's axes, or a picture by the file's name.
void write_image(const std::string& file, const at::Tensor& image, const ReconOptions& options, const Scan& scan) {
  const auto ends_with = [&](const char* extension) { return file.ends_with(extension); };
  if (ends_with(".png")) {
    write_png(file, as_picture(image));
  } else if (ends_with(".npy")) {
    write_npy(file, image.contiguous());
  } else if (ends_with(".nii")) {
    NiftiOptions own{.voxel_size = scan.voxel_size, .affine = scan.affine};
    if (!options.voxel_size.empty()) {
      std::ranges::reverse_copy(options.voxel_size, own.voxel_size.begin());
      own.affine.reset();
    }
    write_nifti(file, image.abs(), own);
  } else {
    write_cfl(file, image.dim() == 3 ? image.permute({2, 1, 0}) : image.t());
  }
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

struct Settings {
  double lambda;
  int iterations;
};

struct Outcome {
  at::Tensor image;    // (image), shown
  at::Tensor gridded;  // before the first iteration
  std::vector<IterationRecord> history;
  std::int64_t coils = 0;
};

/// The image of one scan, on every rank.
Outcome reconstruct(DistributedContext& context, const ReconOptions& options, const Settings& settings, Scan& scan,
                    std::map<std::string, double>& seconds, Clock& clock) {
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
  const ShardedTensorList y = stack.shard(scaled);
  const bool verbose = context.rank() == 0;
  const bool least_squares = options.method == "sense";
  at::Tensor x = stack.prox_l2(
      at::zeros_like(gridded), y, 1.0 / (least_squares ? settings.lambda : 1e-3),
      {.max_iter = least_squares ? settings.iterations : 10, .tol = 1e-6, .verbose = verbose && least_squares});
  Outcome outcome;
  if (!least_squares) {
    const DistributedDataFidelity f = distribute(L2(), stack);
    const OptimOptions own = {
        .max_iter = settings.iterations, .tol = 1e-5, .lambda = settings.lambda, .verbose = verbose};
    OptimResult result = options.method == "tv" ? fista(data_term(f, y), TotalVariation(), x, own)
                                                : fista(data_term(f, y), WaveletPrior({.wavelet = "db4"}), x, own);
    x = result.x;
    outcome.history = std::move(result.history);
  }
  seconds["reconstruction"] += clock.lap();
  // What no coil sees is not known, and not zero in the minimum of every prior.
  const at::Tensor seen = (maps != 0).any(0);
  outcome.image = shown((x * scale)[0][0] * seen, scan.shown_size);
  outcome.gridded = shown(gridded[0][0], scan.shown_size);
  outcome.coils = scan.coils;
  return outcome;
}

}  // namespace

int recon(DistributedContext& context, const ReconOptions& options) {
  check(options.method == "sense" || options.method == "tv" || options.method == "l1-wavelet",
        "recon: --method must be sense, tv or l1-wavelet, got '", options.method, "'");
  const bool least_squares = options.method == "sense";
  const Settings settings{.lambda = options.lambda.value_or(least_squares ? 1e-3 : 2e-3),
                          .iterations = options.iterations.value_or(least_squares ? 30 : 100)};
  check(std::isfinite(settings.lambda) && settings.lambda > 0.0, "recon: --lambda must be positive, got ",
        settings.lambda);
  check(settings.iterations > 0, "recon: --iterations must be positive, got ", settings.iterations);
  check(options.voxel_size.empty() || (options.voxel_size.size() == 3 &&
                                       std::ranges::all_of(options.voxel_size, [](double d) { return d > 0.0; })),
        "recon: --voxel-size must be three positive numbers");
  std::map<std::string, double> seconds;
  Clock clock;
  const ScanSource source(options);
  const std::int64_t slices = source.slices();
  Scan first;
  std::vector<at::Tensor> images;
  std::vector<at::Tensor> gridded;
  Outcome outcome;
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    Scan scan = source.read(context, slice);
    check(slices == 1 || scan.image_size.size() == 2, "recon: ", options.kspace, " has ", slices,
          " slabs of volumes; --slice names one of them");
    seconds["reading"] += clock.lap();
    outcome = reconstruct(context, options, settings, scan, seconds, clock);
    images.push_back(outcome.image);
    gridded.push_back(outcome.gridded);
    if (slice == 0) {
      first = std::move(scan);
    }
  }
  if (context.rank() != 0) {
    return 0;
  }
  const at::Tensor image = slices == 1 ? images[0] : at::stack(images);
  write_image(options.out, image, options, first);
  nlohmann::ordered_json table_of = {{"kspace", options.kspace},
                                     {"trajectory", options.trajectory},
                                     {"maps", options.maps},
                                     {"coils", outcome.coils},
                                     {"prewhitened", first.noise.defined()},
                                     {"slices", slices},
                                     {"image_size", first.shown_size},
                                     {"method", options.method},
                                     {"lambda", settings.lambda},
                                     {"iterations", settings.iterations},
                                     {"ranks", context.size()},
                                     {"seconds", seconds}};
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << table_of.dump(2) << "\n";
    if (!file) {
      throw Error(c10::str("recon: cannot write ", options.json));
    }
  }
  if (!options.report.empty()) {
    Table table{.header = {"", ""}};
    for (const auto& [name, value] : table_of.items()) {
      table.rows.push_back({name, value.is_string() ? value.get<std::string>() : value.dump()});
    }
    Report report("Reconstruction of " + options.kspace);
    report.table(table).pictures(
        {{"gridding", as_picture(slices == 1 ? gridded[0] : at::stack(gridded))}, {options.method, as_picture(image)}});
    if (!outcome.history.empty()) {
      Curve change{"relative change", {}};
      for (const IterationRecord& record : outcome.history) {
        change.y.push_back(record.change);
      }
      report.curves({change}, {.log_y = true});
    }
    report.write(options.report);
  }
  double total = 0.0;
  for (const auto& [part, time] : seconds) {
    total += time;
  }
  std::printf("%s: %s, %lld coils, %.2f s\n", options.out.c_str(), options.method.c_str(),
              static_cast<long long>(outcome.coils), total);
  return 0;
}

}  // namespace adjoin
