// SPDX-License-Identifier: BSD-3-Clause
// The lines of k-space (acquisitions) of an ISMRMRD file, without their samples.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "io/hdf5/file.hpp"
#include "io/hdf5/global_heap.hpp"

namespace adjoin::mrd {

/// Bits of a line's flags, counted from 1.
enum class Flag : std::uint8_t {
  Noise = 19,
  Calibration = 20,
  CalibrationAndImaging = 21,
  Reverse = 22,
  Navigation = 23,
  PhaseCorrection = 24,
  Feedback = 26,
  Dummy = 27,
  RealTimeFeedback = 28,
  SurfaceCoilCorrection = 29,
  PhaseStabilizationReference = 30,
  PhaseStabilization = 31,
  FirstCompression = 53,
  LastCompression = 56,
};

struct Line {
  std::uint64_t flags = 0;
  std::int64_t samples = 0;
  std::int64_t coils = 0;
  std::int64_t centre = 0;
  std::int64_t discarded_before = 0;
  std::int64_t discarded_after = 0;
  std::int64_t trajectory_axes = 0;
  std::int64_t encoding = 0;
  std::array<std::int64_t, 2> step = {};  // of phase encoding, (D, H)
  std::int64_t average = 0;
  std::int64_t slice = 0;
  std::int64_t contrast = 0;
  std::int64_t phase = 0;
  std::int64_t repetition = 0;
  std::int64_t set = 0;
  std::array<float, 3> position = {};
  std::array<std::array<float, 3>, 3> directions = {};  // slice, phase, readout
  hdf5::List trajectory;                                // of floats: (samples, axes)
  hdf5::List data;                                      // of floats: (coils, samples), real and imaginary part

  bool has(Flag flag) const { return (flags >> (static_cast<unsigned>(flag) - 1) & 1U) != 0; }
  bool is_noise() const { return has(Flag::Noise); }
  /// Whether it belongs to an image, to its calibration, or to both.
  bool is_imaging() const { return is_measurement() && !has(Flag::Calibration); }
  bool is_calibration() const {
    return is_measurement() && (has(Flag::Calibration) || has(Flag::CalibrationAndImaging));
  }

 private:
  bool is_measurement() const;
};

/// All lines of the dataset of this path. Throws Fault where it has none, or they claim more than the file holds.
std::vector<Line> read_lines(hdf5::File& file, const std::string& path);

/// The text of the dataset of this path, one of varying length. Throws Fault where there is none.
std::string read_text(hdf5::File& file, const std::string& path);

}  // namespace adjoin::mrd
