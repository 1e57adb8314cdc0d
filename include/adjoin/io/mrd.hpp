// SPDX-License-Identifier: BSD-3-Clause
// ISMRMRD files (MRD): k-space as MRI scanners of every vendor measure it, line by line.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace adjoin {

/// Which lines of a file are read.
struct MrdSelection {
  /// Numbers of the coils, from 0, in ascending order; empty: all. Nothing is read of the samples of other coils.
  std::vector<std::int64_t> coils = {};
  std::int64_t slice = 0;
  std::int64_t contrast = 0;
  std::int64_t phase = 0;
  std::int64_t repetition = 0;
  std::int64_t set = 0;
  /// Lines that were measured to calibrate parallel imaging, in place of those of the image. A line may serve for both.
  bool calibration = false;
};

/// What was measured of one image.
struct MrdScan {
  /// On the grid (coils, H, W) or (coils, D, H, W): the mean of the lines that were measured in one place, zero where
  /// there are none, k-space origin at index n / 2 of each axis. Along a trajectory (coils, lines, samples). complex64.
  at::Tensor kspace;
  /// On the grid (H, W) or (D, H, W): √(lines that were averaged / the most of them), 0 where nothing was measured: the
  /// mask with which MultiCoilMRI weighs them by their noise. Undefined along a trajectory.
  at::Tensor weights;
  /// (lines, samples, axes), float, its last axis (row, column) or (slice, row, column); as the file has it, by custom
  /// in cycles a pixel, −½ … ½. Undefined on the grid.
  at::Tensor trajectory;
  /// Of the image that k-space has: (H, W) or (D, H, W).
  std::vector<std::int64_t> image_size;
  /// Of its middle that the scanner's own images show, without oversampling.
  std::vector<std::int64_t> shown_size;
  /// Millimetres, (D, H, W); of a slice the first is its thickness.
  std::array<double, 3> voxel_size = {1.0, 1.0, 1.0};
  /// Where pixel n / 2 of each axis lies in the patient, in millimetres to the left, back and head.
  std::array<double, 3> position = {};
  /// Unit vectors of the patient along the axes (D, H, W) of the image; all zeros where the file does not say.
  std::array<std::array<double, 3>, 3> directions = {};
};

/// An open ISMRMRD file: its lines without their samples, which are read when they are asked for. Safe for files of
/// strangers, as read_hdf5, which reads them; safe to read from several threads.
///
/// Takes Cartesian lines, with partial Fourier sampling and echoes, and any trajectory that the file has; lines that
/// run backwards are turned. Readout oversampling is removed on the grid where lines are complete. Lines of noise,
/// navigators, phase correction and the like are left out. Echo-planar scans, which need a correction of their own, and
/// compressed lines are refused. https://ismrmrd.readthedocs.io
class MrdFile {
 public:
  /// The lines of the file's group, /dataset as all programs name it. Throws InvalidArgument when the file is missing,
  /// is no ISMRMRD file, or damaged.
  explicit MrdFile(const std::filesystem::path& path, const std::string& group = "dataset");

  /// The header, XML as https://ismrmrd.readthedocs.io describes it.
  const std::string& header() const;
  /// "cartesian", "radial", "spiral", …
  const std::string& trajectory() const;
  std::int64_t coils() const;
  /// How many there are of the lines of images.
  std::int64_t slices() const;
  std::int64_t contrasts() const;
  std::int64_t phases() const;
  std::int64_t repetitions() const;
  std::int64_t sets() const;
  std::int64_t averages() const;
  /// Whether lines were measured to calibrate alone.
  bool has_calibration() const;

  /// Throws InvalidArgument where no line is selected, or the lines contradict the header or each other.
  MrdScan read(const MrdSelection& selection = {}) const;
  /// Samples of noise (coils, samples), complex64, for prewhitening_matrix; undefined where the file has none.
  at::Tensor noise() const;

 private:
  struct Content;
  std::shared_ptr<const Content> content_;
};

}  // namespace adjoin
