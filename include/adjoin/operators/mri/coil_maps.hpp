// SPDX-License-Identifier: BSD-3-Clause
// Coil sensitivities from the data themselves, and changes of the set of coils.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace adjoin {

struct EspiritOptions {
  /// Samples along each axis of the centre of k-space, fewer where it is sampled in a smaller box alone, and of the
  /// kernels in it.
  std::int64_t calibration = 24;
  std::int64_t kernel = 6;
  /// Kernels count whose singular value is above this fraction of the largest.
  double threshold = 0.02;
  /// Maps are zero where their eigenvalue is below; 1 where the data obey the maps exactly.
  double crop = 0.8;
  /// How many sets of maps: a second one where the field of view folds (soft SENSE).
  std::int64_t sets = 1;
  /// 0 for the eigenvectors themselves; else as many steps of the power iteration from the first coils, which leave
  /// errors where eigenvalues are near each other: BART's ecalib makes 30, and its maps are found with so many.
  std::int64_t power_iterations = 0;
};

/// Coil maps (sets, N, image) from k-space (N, image), complex, with image = (H, W) or (D, H, W), whose centre, of
/// index n / 2 along each axis, is fully sampled, and which is zero where it is not: the eigenvectors of the operator
/// that the calibration data are fixed points of. Σ |s|² = 1 over the coils where they are not zero; the first coil's
/// phase is zero. M. Uecker et al., "ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI", Magn. Reson.
/// Med. 71, 2014. Throws InvalidArgument, for a centre smaller than the kernel, too.
at::Tensor espirit_maps(const at::Tensor& kspace, const EspiritOptions& options = {});

/// Coil maps (N, image) from images of the coils (N, image), complex: the strongest eigenvector of the coils'
/// covariance over blocks of so many pixels along each axis. Σ |s|² = 1, the first coil's phase is zero. D. O. Walsh,
/// A. F. Gmitro and M. W. Marcellin, "Adaptive reconstruction of phased array MR imagery", Magn. Reson. Med. 43, 2000.
at::Tensor adaptive_maps(const at::Tensor& coil_images, std::int64_t block = 7);

/// A matrix (N, N), complex, that makes the noise of the coils white, of variance 1: L⁻¹ for the covariance L Lᴴ of
/// noise samples (N, …). Apply it to k-space and to maps, over the coils. Throws InvalidArgument where the covariance
/// is singular.
at::Tensor prewhitening_matrix(const at::Tensor& noise);

/// A matrix (coils, N), with orthonormal rows, that keeps as much of the energy of data (N, …) as so many virtual coils
/// can: their singular vectors. M. Buehrer et al., "Array compression for MRI with large coil arrays", Magn. Reson.
/// Med. 57, 2007.
at::Tensor compression_matrix(const at::Tensor& data, std::int64_t coils);

/// Data (N, …) of virtual coils: matrix (M, N) times the coils.
at::Tensor mix_coils(const at::Tensor& matrix, const at::Tensor& data);

/// √Σ |x|² over coils (N, …).
at::Tensor root_sum_of_squares(const at::Tensor& coil_images);

}  // namespace adjoin
