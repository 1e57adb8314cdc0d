// SPDX-License-Identifier: BSD-3-Clause
// Parallel magnetic resonance imaging of what changes while it is measured: off-resonance, and images that are
// combinations of a few.
#pragma once

#include <ATen/core/Tensor.h>

#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/physics/algebra.hpp"

namespace adjoin {

/// y_n(j) = w_j Σ_p s_n(p) x(p) e^{−2πi f(p) t_j} e^{−2πi k_j·p} / √ΠN: NonCartesianMRI of an image whose pixels are
/// off resonance by f, real, (image), in hertz, at times t of the samples in seconds, which broadcast to the axes of
/// the trajectory but the last. By time segmentation: e^{−2πi f t} is Σ_l b_l(t) e^{−2πi f τ_l} for as many times τ_l,
/// evenly spread, as make it right to `accuracy` at all frequencies of the map, with b by least squares. Each costs a
/// NonCartesianMRI; x is complex or real, (B, 1, image). B. P. Sutton, D. C. Noll and J. A. Fessler, "Fast, iterative
/// image reconstruction for MRI in the presence of field inhomogeneities", IEEE Trans. Med. Imaging 22, 2003. Throws
/// InvalidArgument, also where over 128 times would be needed.
LinearPhysicsPtr off_resonance_mri(const at::Tensor& trajectory, const at::Tensor& coil_maps,
                                   const at::Tensor& field_map, const at::Tensor& times, double accuracy = 1e-3,
                                   const NonCartesianMRIOptions& options = {});

/// y_n(j) of shot τ = w_j Σ_κ φ(τ, κ) Σ_p s_n(p) x_κ(p) e^{−2πi k_j·p} / √ΠN: NonCartesianMRI of images that change
/// from shot to shot in the span of K coefficient images x, complex or real, (B, K, image), with a basis φ (shots, K),
/// real or complex; shots are the first axis of the trajectory. J. I. Tamir et al., "T2 shuffling: sharp,
/// multicontrast, volumetric fast spin-echo imaging", Magn. Reson. Med. 77, 2017. Throws InvalidArgument.
LinearPhysicsPtr subspace_mri(const at::Tensor& trajectory, const at::Tensor& coil_maps, const at::Tensor& basis,
                              const NonCartesianMRIOptions& options = {});

}  // namespace adjoin
