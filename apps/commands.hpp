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
  /// "espirit", or a file (readout, phase 1, phase 2, coils).
  std::string maps = "espirit";
  /// .cfl, .npy (complex, axes reversed), .nii or .png (magnitude; of a volume the middle slice).
  std::string out;
  /// Millimetres between pixels, readout first, for .nii; empty: those of the file, or 1.
  std::vector<double> voxel_size = {};
  /// sense: ‖A x − y‖² + λ ‖x‖² by conjugate gradients; tv, l1-wavelet: ½ ‖A x − y‖² + λ g(x) by FISTA.
  std::string method = "sense";
  /// In units in which the image's largest value is about 1; by default 1e-3 for sense, 2e-3 else.
  std::optional<double> lambda = {};
  /// By default 30 for sense, 100 else.
  std::optional<int> iterations = {};
  /// Of the image, readout first, with a trajectory; by default what its samples reach to.
  std::vector<std::int64_t> size = {};
  /// Samples of the calibration region along each axis.
  std::int64_t calibration = 24;
  /// Virtual coils that take the place of those of the file; 0: as many as there are.
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
