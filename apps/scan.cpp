// SPDX-License-Identifier: BSD-3-Clause
// Scans as BART and ISMRMRD files have them, brought to one form, each rank's own coils alone.
#include "scan.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/io/cfl.hpp"
#include "adjoin/io/mrd.hpp"

namespace adjoin {

namespace {

constexpr std::int64_t coil_axis = 3;  // of BART's files

/// The array with so many of BART's axes, the first one last.
at::Tensor with_axes(at::Tensor array, std::int64_t count) {
  while (array.dim() < count) {
    array = array.unsqueeze(-1);
  }
  std::vector<std::int64_t> order;
  for (std::int64_t axis = count; axis-- > 0;) {
    order.push_back(axis);
  }
  return array.permute(order);
}

/// Those of slices lose the axis of their one plane.
at::Tensor image_axes(const at::Tensor& array) { return array.size(-3) == 1 ? array.squeeze(-3) : array; }

/// The trajectory in cycles a pixel of images of `size`, which is filled in where it is empty: the smallest even size
/// that the samples reach to the border of, as BART has it.
at::Tensor bart_trajectory(const std::string& file, Sizes& size) {
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

Scan read_bart(const ReconOptions& options, const DistributedContext& context) {
  Scan scan;
  const Sizes sizes = cfl_sizes(options.kspace);
  check(sizes.size() <= 4, "recon: ", options.kspace,
        " must have at most four axes, readout, phase 1, phase 2 and coils (slices and frames are not taken), got ",
        at::IntArrayRef(sizes));
  scan.coils = sizes.size() == 4 ? sizes[coil_axis] : 1;
  scan.own = context.local_indices(scan.coils);
  at::Tensor kspace = with_axes(read_cfl(options.kspace, CflPart{.axis = coil_axis, .indices = scan.own}), 4);
  if (options.trajectory.empty()) {
    check(options.size.empty(), "recon: --size goes with --trajectory; on the grid the image has the size of k-space");
    kspace = image_axes(kspace);
    // What no coil measured is exactly zero.
    scan.weights = (kspace != 0).any(0).to(at::kFloat).contiguous();
    context.communicator().all_reduce(scan.weights, ReduceOp::max);
    scan.image_size = kspace.sizes().slice(1).vec();
  } else {
    check(kspace.size(3) == 1, "recon: ", options.kspace, " must be (1, samples, shots, coils) with a trajectory, got ",
          "a first axis of ", kspace.size(3));
    kspace = kspace.squeeze(3);
    scan.image_size = Sizes(options.size.rbegin(), options.size.rend());
    scan.trajectory = bart_trajectory(options.trajectory, scan.image_size).contiguous();
    check(scan.trajectory.sizes().slice(0, 2) == kspace.sizes().slice(1), "recon: ", options.trajectory, " has ",
          scan.trajectory.sizes().slice(0, 2), " shots and samples, ", options.kspace, " has ",
          kspace.sizes().slice(1));
  }
  scan.kspace = kspace.contiguous();
  scan.shown_size = scan.image_size;
  return scan;
}

/// This rank's coils of a part of the file; where it has none, of no coils.
MrdScan read_own(const MrdFile& file, MrdSelection selection, const Sizes& own) {
  selection.coils = own.empty() ? Sizes{0} : own;
  MrdScan scan = file.read(selection);
  scan.kspace = scan.kspace.narrow(0, 0, static_cast<std::int64_t>(own.size()));
  return scan;
}

/// From indices (x, y, z) of what is written to millimetres to the patient's right, front and head, which is where
/// NIfTI looks from. `step` leads from one slice to the next.
Affine affine_of(const MrdScan& scan, const std::array<double, 3>& step) {
  Affine affine{};
  const std::size_t axes = scan.shown_size.size();
  for (std::size_t row = 0; row < 3; ++row) {
    const double sign = row < 2 ? -1.0 : 1.0;
    double origin = scan.position[row];
    for (std::size_t axis = 0; axis < 3; ++axis) {  // x, y, z
      const std::size_t own = 2 - axis;
      double by_pixel = scan.directions[own][row] * scan.voxel_size[own];
      if (axis < axes) {
        origin -= by_pixel * static_cast<double>(scan.shown_size[axes - 1 - axis] / 2);
      } else {
        by_pixel = step[row];
      }
      affine[row][axis] = sign * by_pixel;
    }
    affine[row][3] = sign * origin;
  }
  return affine;
}

Scan read_mrd(const ReconOptions& options, const DistributedContext& context, const MrdFile& file, std::int64_t slice,
              bool alone) {
  check(options.size.empty(), "recon: --size goes with --trajectory; ", options.kspace, " says how large its image is");
  MrdSelection selection{.slice = slice,
                         .contrast = options.contrast,
                         .phase = options.phase,
                         .repetition = options.repetition,
                         .set = options.set};
  Scan scan;
  scan.coils = file.coils();
  scan.own = context.local_indices(scan.coils);
  const MrdScan read = read_own(file, selection, scan.own);
  scan.kspace = read.kspace;
  scan.weights = read.weights;
  scan.trajectory = read.trajectory;
  scan.image_size = read.image_size;
  scan.shown_size = read.shown_size;
  scan.voxel_size = read.voxel_size;
  scan.noise = file.noise();
  if (file.has_calibration() && !scan.trajectory.defined()) {
    selection.calibration = true;
    const MrdScan calibration = read_own(file, selection, scan.own);
    check(calibration.image_size == read.image_size, "recon: ", options.kspace, " has calibration lines of ",
          at::IntArrayRef(calibration.image_size), " beside images of ", at::IntArrayRef(read.image_size));
    scan.calibration = calibration.kspace;
  }
  const bool placed = std::ranges::any_of(read.directions[2], [](double part) { return part != 0.0; });
  if (placed) {
    std::array<double, 3> step{};
    for (std::size_t row = 0; row < 3; ++row) {
      step[row] = read.directions[0][row] * read.voxel_size[0];
    }
    if (!alone) {
      MrdSelection beside = selection;
      beside.coils = {0};
      beside.slice = slice == 0 ? 1 : 0;
      beside.calibration = false;
      const MrdScan other = file.read(beside);
      for (std::size_t row = 0; row < 3; ++row) {
        step[row] = (other.position[row] - read.position[row]) / static_cast<double>(beside.slice - slice);
      }
      scan.voxel_size[0] = std::hypot(step[0], step[1], step[2]);
    }
    scan.affine = affine_of(read, step);
  }
  return scan;
}

}  // namespace

at::Tensor read_bart_maps(const std::string& file) {
  const at::Tensor array = read_cfl(file);
  check(array.dim() <= 5, "recon: ", file,
        " must have at most five axes, readout, phase 1, phase 2, coils and sets of maps, got ", array.sizes());
  return image_axes(with_axes(array, 5)).transpose(0, 1).contiguous();
}

ScanSource::ScanSource(const ReconOptions& options) : options_(options) {
  const std::string extension = std::filesystem::path(options.kspace).extension().string();
  if (extension == ".h5" || extension == ".hdf5" || extension == ".mrd" || extension == ".ismrmrd") {
    check(options.trajectory.empty(), "recon: --trajectory goes with BART's files; ", options.kspace, " has its own");
    mrd_ = std::make_unique<MrdFile>(options.kspace);
    check(!options.slice || (*options.slice >= 0 && *options.slice < mrd_->slices()),
          "recon: --slice must be from 0 to ", mrd_->slices() - 1, ", got ", options.slice.value_or(0));
  } else {
    check(options.slice.value_or(0) == 0 && options.contrast == 0 && options.phase == 0 && options.repetition == 0 &&
              options.set == 0,
          "recon: --slice, --contrast, --phase, --repetition and --set go with ISMRMRD files");
  }
}

ScanSource::~ScanSource() = default;

std::int64_t ScanSource::slices() const { return mrd_ && !options_.slice ? mrd_->slices() : 1; }

Scan ScanSource::read(const DistributedContext& context, std::int64_t slice) const {
  return mrd_ ? read_mrd(options_, context, *mrd_, options_.slice.value_or(slice), slices() == 1)
              : read_bart(options_, context);
}

}  // namespace adjoin
