// SPDX-License-Identifier: BSD-3-Clause
// What `adjoin recon` reads: the measurements of one image, of which each rank has its own coils.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "adjoin/distributed/context.hpp"
#include "commands.hpp"

namespace adjoin {

class MrdFile;

using Sizes = std::vector<std::int64_t>;
using Affine = std::array<std::array<double, 4>, 3>;

struct Scan {
  std::int64_t coils = 0;  // of all ranks
  Sizes own;               // numbers of this rank's coils, those that it has of a stack of so many operators
  /// Of this rank's coils: (own, image) on the grid, or (own, shots, samples).
  at::Tensor kspace;
  at::Tensor weights;      // (image): the mask of the grid, undefined along a trajectory
  at::Tensor trajectory;   // (shots, samples, axes) in cycles a pixel, undefined on the grid
  at::Tensor calibration;  // of this rank's coils, on the grid; undefined where k-space serves
  at::Tensor noise;        // (coils, samples), undefined where there is none
  Sizes image_size;
  Sizes shown_size;  // the middle of the image that is written
  std::array<double, 3> voxel_size = {1.0, 1.0, 1.0};
  std::optional<Affine> affine;  // of what is written
};

/// The files that the options name.
class ScanSource {
 public:
  explicit ScanSource(const ReconOptions& options);
  ~ScanSource();
  /// Images that come one after another.
  std::int64_t slices() const;
  Scan read(const DistributedContext& context, std::int64_t slice) const;

 private:
  const ReconOptions& options_;
  std::unique_ptr<MrdFile> mrd_;  // null for BART's files
};

/// Maps of BART's files (coils, sets, image) from their axes readout, phase 1, phase 2, coils, sets; those of slices
/// lose the axis of their one plane.
at::Tensor read_bart_maps(const std::string& file);

}  // namespace adjoin
