// SPDX-License-Identifier: BSD-3-Clause
// Weights that make up for samples that lie closer together in some places than in others.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "adjoin/operators/nufft/nonuniform_fourier.hpp"

namespace adjoin {

struct DensityOptions {
  FrequencyUnits units = FrequencyUnits::cycles_per_pixel;
  int iterations = 30;
};

/// The area of k-space around each sample of a trajectory (…, axes), in pixels of the grid of an image of `image_size`:
/// w, real, of the precision of the trajectory and its leading axes, such that Aᴴ W A comes near the identity on images
/// whose frequencies are all sampled; 1 on the grid itself. By the iteration w ← w / |C w|, with the convolution C by a
/// short kernel: J. G. Pipe and P. Menon, "Sampling density compensation in MRI", Magn. Reson. Med. 41, 1999. Needs
/// FINUFFT. Throws as NonuniformFourier.
at::Tensor density_compensation(const at::Tensor& trajectory, const std::vector<std::int64_t>& image_size,
                                const DensityOptions& options = {});

}  // namespace adjoin
