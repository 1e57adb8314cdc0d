#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
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
#include "adjoin/operators/mri/coil_maps.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/operators/nufft/density_compensation.hpp"
#include "adjoin/operators/split.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distribute.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "commands.hpp"

namespace adjoin {

namespace {

using Sizes = std::vector<std::int64_t>;

/// What the files hold, with adjoin's axes: those of BART reversed.
struct Scan {
  at::Tensor kspace;      // (coils, image) on the grid, or (coils, shots, samples)
  at::Tensor trajectory;  // (shots, samples, axes) in cycles a pixel; undefined on the grid
  Sizes image_size;
};

/// The array with BART's axes from coils to the first one, (coils, z, y, x). Throws InvalidArgument where it has more.
at::Tensor four_axes(const std::string& file, at::Tensor array) {
  check(array.dim() <= 4, "recon: ", file,
        " must have at most four axes, readout, phase 1, phase 2 and coils (slices, frames and sets of maps are not "
        "taken), got ",
        array.sizes());
  while (array.dim() < 4) {
    array = array.unsqueeze(-1);
  }
  return array.permute({3, 2, 1, 0});
}

/// Slices lose the axis of their one plane.
at::Tensor image_axes(const at::Tensor& array) { return array.size(1) == 1 ? array.squeeze(1) : array; }

/// The trajectory in cycles a pixel of images of `size`, which is filled in where it is empty: the smallest even size
/// that the samples reach to the border of, as BART has it.
at::Tensor trajectory_of(const std::string& file, Sizes& size) {
  const at::Tensor array = read_cfl(file);
  check(array.dim() >= 2 && array.dim() <= 3 && array.size(0) == 3, "recon: ", file,
        " must be (3, samples, shots), cycles a field of view along readout, phase 1 and phase 2, got ", array.sizes());
  const at::Tensor cycles = at::real(array.dim() == 2 ? array.unsqueeze(-1) : array).flip(0).permute({2, 1, 0});
  const bool flat = cycles.select(-1, 0).abs().max().item<float>() == 0.0F;
  const at::Tensor used = flat ? cycles.slice(-1, 1) : cycles;
  if (size.empty()) {
    for (std::int64_t axis = 0; axis < used.size(-1); ++axis) {
      size.push_back(2 * static_cast<std::int64_t>(std::ceil(used.select(-1, axis).abs().max().item<double>())));
    }
  }
  check(static_cast<std::int64_t>(size.size()) == used.size(-1), "recon: --size must have ", used.size(-1),
        " numbers for the trajectory, got ", at::IntArrayRef(size));
  return used / at::tensor(size, at::kFloat);
}

Scan read(const ReconOptions& options) {
  Scan scan;
  const at::Tensor kspace = four_axes(options.kspace, read_cfl(options.kspace));
  if (options.trajectory.empty()) {
    check(options.size.empty(), "recon: --size goes with --trajectory; on the grid the image has the size of k-space");
    scan.kspace = image_axes(kspace).contiguous();
    scan.image_size = scan.kspace.sizes().slice(1).vec();
    return scan;
  }
  check(kspace.size(3) == 1, "recon: ", options.kspace, " must be (1, samples, shots, coils) with a trajectory, got ",
        "a first axis of ", kspace.size(3));
  scan.kspace = kspace.squeeze(3).contiguous();
  scan.image_size = Sizes(options.size.rbegin(), options.size.rend());
  scan.trajectory = trajectory_of(options.trajectory, scan.image_size).contiguous();
  check(scan.trajectory.sizes().slice(0, 2) == scan.kspace.sizes().slice(1), "recon: ", options.trajectory, " has ",
        scan.trajectory.sizes().slice(0, 2), " shots and samples, ", options.kspace, " has ",
        scan.kspace.sizes().slice(1));
  return scan;
}

/// The transform of all axes behind the coils, centred.
at::Tensor centred_transform(const at::Tensor& coil_images) {
  Sizes axes;
  for (std::int64_t axis = 1; axis < coil_images.dim(); ++axis) {
    axes.push_back(axis);
  }
  return at::fft_fftshift(at::fft_fftn(at::fft_ifftshift(coil_images, axes), {}, axes, "ortho"), axes);
}

/// Coil maps (coils, image): those of the file, or ESPIRiT's.
at::Tensor maps_of(const ReconOptions& options, const Scan& scan, const at::Tensor& density) {
  if (options.maps != "espirit") {
    const at::Tensor maps = image_axes(four_axes(options.maps, read_cfl(options.maps))).contiguous();
    check(maps.size(0) == scan.kspace.size(0) && maps.sizes().slice(1) == at::IntArrayRef(scan.image_size),
          "recon: ", options.maps, " must hold maps of ", scan.kspace.size(0), " coils for images of ",
          at::IntArrayRef(scan.image_size), ", got ", maps.sizes());
    return maps;
  }
  if (scan.kspace.size(0) == 1) {
    Sizes sizes = scan.image_size;
    sizes.insert(sizes.begin(), 1);
    return at::ones(sizes, at::kComplexFloat);
  }
  if (!scan.trajectory.defined()) {
    return espirit_maps(scan.kspace, {.calibration = options.calibration})[0];
  }
  const NonuniformFourier fourier(scan.trajectory, scan.image_size);
  const at::Tensor coil_images = fourier.A_adjoint((scan.kspace * density).unsqueeze(0))[0];
  return espirit_maps(centred_transform(coil_images), {.calibration = options.calibration})[0];
}

/// One operator a coil, and its measurements.
std::pair<std::vector<LinearPhysicsPtr>, TensorList> stack_of(const Scan& scan, const at::Tensor& maps) {
  const std::int64_t coils = scan.kspace.size(0);
  TensorList y(scan.kspace.unsqueeze(0).split(1, 1));
  for (at::Tensor& coil : y) {
    coil = coil.contiguous();
  }
  if (scan.trajectory.defined()) {
    return {split(NonCartesianMRI(scan.trajectory, maps), coils), y};
  }
  // What no coil measured is exactly zero.
  const at::Tensor mask = (scan.kspace.abs().sum(0) > 0).to(at::kFloat);
  const MultiCoilMRI whole(mask, maps.unsqueeze(0), {.three_d = scan.image_size.size() == 3});
  return {split(whole, coils), y};
}

/// The magnitude, of a volume in its middle slice, (1, H, W) from 0 to 1.
at::Tensor as_picture(const at::Tensor& image) {
  const at::Tensor size = image.abs();
  const at::Tensor plane = size.dim() == 3 ? size.select(0, size.size(0) / 2) : size;
  return (plane / plane.max().clamp_min(1e-30)).unsqueeze(0);
}

/// (image) to BART's axes, or a picture by the file's name.
void write_image(const std::string& file, const at::Tensor& image, const std::vector<double>& voxel_size) {
  const auto ends_with = [&](const char* extension) { return file.ends_with(extension); };
  if (ends_with(".png")) {
    write_png(file, as_picture(image));
  } else if (ends_with(".npy")) {
    write_npy(file, image);
  } else if (ends_with(".nii")) {
    NiftiOptions options;
    std::ranges::reverse_copy(voxel_size, options.voxel_size.begin());
    write_nifti(file, image.abs(), options);
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

}  // namespace

int recon(DistributedContext& context, const ReconOptions& options) {
  check(options.method == "sense" || options.method == "tv" || options.method == "l1-wavelet",
        "recon: --method must be sense, tv or l1-wavelet, got '", options.method, "'");
  const bool least_squares = options.method == "sense";
  const double lambda = options.lambda.value_or(least_squares ? 1e-3 : 2e-3);
  const int iterations = options.iterations.value_or(least_squares ? 30 : 100);
  check(std::isfinite(lambda) && lambda > 0.0, "recon: --lambda must be positive, got ", lambda);
  check(iterations > 0, "recon: --iterations must be positive, got ", iterations);
  check(options.voxel_size.size() == 3 && std::ranges::all_of(options.voxel_size, [](double d) { return d > 0.0; }),
        "recon: --voxel-size must be three positive numbers");
  nlohmann::ordered_json seconds;
  Clock clock;
  const Scan scan = read(options);
  seconds["reading"] = clock.lap();
  const at::Tensor density =
      scan.trajectory.defined() ? density_compensation(scan.trajectory, scan.image_size) : at::Tensor();
  const at::Tensor maps = maps_of(options, scan, density);
  seconds["coil maps"] = clock.lap();

  const auto [operators, measured] = stack_of(scan, maps);
  const DistributedStackedLinearPhysics stack = distribute(operators, context);
  TensorList weighed;
  for (const at::Tensor& coil : measured) {
    weighed.push_back(density.defined() ? coil * density : coil);
  }
  // In units in which the image's largest value is about 1, λ means the same for every scanner.
  const at::Tensor gridded = stack.A_adjoint(stack.shard(weighed));
  const double scale = gridded.abs().max().item<double>();
  check(scale > 0.0 && std::isfinite(scale), "recon: ", options.kspace, " must be finite and not all zeros");
  TensorList scaled;
  for (const at::Tensor& coil : measured) {
    scaled.push_back(coil / scale);
  }
  const ShardedTensorList y = stack.shard(scaled);
  const bool verbose = context.rank() == 0;
  const int first_iterations = least_squares ? iterations : 10;
  at::Tensor x = stack.prox_l2(at::zeros_like(gridded), y, 1.0 / (least_squares ? lambda : 1e-3),
                               {.max_iter = first_iterations, .tol = 1e-6, .verbose = verbose && least_squares});
  std::vector<IterationRecord> history;
  if (!least_squares) {
    const DistributedDataFidelity f = distribute(L2(), stack);
    const OptimOptions own = {.max_iter = iterations, .tol = 1e-5, .lambda = lambda, .verbose = verbose};
    OptimResult result = options.method == "tv" ? fista(data_term(f, y), TotalVariation(), x, own)
                                                : fista(data_term(f, y), WaveletPrior({.wavelet = "db4"}), x, own);
    x = result.x;
    history = std::move(result.history);
  }
  seconds["reconstruction"] = clock.lap();
  if (context.rank() != 0) {
    return 0;
  }
  const at::Tensor image = (x * scale)[0][0];
  write_image(options.out, image, options.voxel_size);
  nlohmann::ordered_json settings = {{"kspace", options.kspace},
                                     {"trajectory", options.trajectory},
                                     {"maps", options.maps},
                                     {"coils", scan.kspace.size(0)},
                                     {"image_size", scan.image_size},
                                     {"method", options.method},
                                     {"lambda", lambda},
                                     {"iterations", iterations},
                                     {"ranks", context.size()},
                                     {"seconds", seconds}};
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << settings.dump(2) << "\n";
    if (!file) {
      throw Error(c10::str("recon: cannot write ", options.json));
    }
  }
  if (!options.report.empty()) {
    Table table{.header = {"", ""}};
    for (const auto& [name, value] : settings.items()) {
      table.rows.push_back({name, value.is_string() ? value.get<std::string>() : value.dump()});
    }
    Report report("Reconstruction of " + options.kspace);
    report.table(table).pictures({{"gridding", as_picture(gridded[0][0])}, {options.method, as_picture(image)}});
    if (!history.empty()) {
      Curve change{"relative change", {}};
      for (const IterationRecord& record : history) {
        change.y.push_back(record.change);
      }
      report.curves({change}, {.log_y = true});
    }
    report.write(options.report);
  }
  std::printf(
      "%s: %s, %lld coils, %.2f s\n", options.out.c_str(), options.method.c_str(),
      static_cast<long long>(scan.kspace.size(0)),
      seconds["reading"].get<double>() + seconds["coil maps"].get<double>() + seconds["reconstruction"].get<double>());
  return 0;
}

}  // namespace adjoin
