// SPDX-License-Identifier: BSD-3-Clause
// The subcommands of the program `adjoin`. Each is collective over the ranks and returns an exit status.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/distributed/context.hpp"

namespace adjoin {

/// Prints versions, and the engine, host and device of each rank; as JSON when asked.
int info(const DistributedContext& context, bool json);

struct ReconOptions {
  /// An ISMRMRD file (.h5, .hdf5, .mrd or .ismrmrd), or BART's files, without or with their extension: k-space on the
  /// grid (readout, phase 1, phase 2, coils), zero where nothing was measured, or with a trajectory (3, samples, shots)
  /// in cycles a field of view (1, samples, shots, coils).
  std::string kspace;
  std::string trajectory;
  /// "espirit", or a file (readout, phase 1, phase 2, coils), with a fifth axis where there are several sets.
  std::string maps = "espirit";
  /// Sets of maps that are found; 2 where the field of view folds.
  std::int64_t sets = 1;
  /// .cfl, .npy (complex, axes reversed), .nii, .nii.gz or .png (magnitude; of a volume the middle slice).
  std::string out;
  /// Millimetres between pixels, readout first, for .nii; empty: those of the file, or 1.
  std::vector<double> voxel_size = {};
  /// sense: ‖A x − y‖² + λ ‖x‖² by conjugate gradients; tv, l1-wavelet: ½ ‖A x − y‖² + λ g(x) by FISTA; pnp:
  /// plug-and-play ADMM, with a denoiser on the real and imaginary parts.
  std::string method = "sense";
  /// Of pnp: a file of load_denoiser, of grey images.
  std::string denoiser = {};
  /// In units in which the image's largest value is about 1; by default 1e-3 for sense, 2e-3 for tv and l1-wavelet. Of
  /// pnp the standard deviation of what the denoiser takes for noise, by default 0.03.
  std::optional<double> lambda = {};
  /// By default 30 for sense, 100 for tv and l1-wavelet, 15 for pnp.
  std::optional<int> iterations = {};
  /// A file that is written after each slice, and after every ten iterations of methods other than sense, and removed
  /// at the end. A run that finds it, with options that differ in nothing but the iterations, goes on from there.
  std::string checkpoint = {};
  /// Of the image, readout first, with a trajectory; by default what its samples reach to.
  std::vector<std::int64_t> size = {};
  /// Samples of the calibration region along each axis.
  std::int64_t calibration = 24;
  /// Virtual coils that take the place of those of the file; 0: as many as there are. On the grid they differ along the
  /// readout, where that was measured from end to end.
  std::int64_t coils = 0;
  /// Of ISMRMRD files. All slices, one after another, unless one is named.
  std::optional<std::int64_t> slice = {};
  std::int64_t contrast = 0;
  std::int64_t phase = 0;
  std::int64_t repetition = 0;
  std::int64_t set = 0;
  std::string report = {};
  std::string json = {};
};

/// Reconstructs an image from the k-space of an MRI scanner, its coils spread over the ranks, and writes it.
int recon(DistributedContext& context, const ReconOptions& options);

/// Prints how many messages and bytes each method, and an iteration of each solver, sends in the steady state; as JSON
/// when asked.
int messages(DistributedContext& context, bool json);

}  // namespace adjoin
