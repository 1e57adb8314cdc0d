// SPDX-License-Identifier: BSD-3-Clause
// Geometric compression of coils: virtual ones of their own at each place along the readout.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace adjoin {

/// Matrices (n, coils, N), with orthonormal rows, one for each of the n places along an axis of the image on which
/// k-space (N, image), complex, is fully sampled: there they keep as much of the energy of the coils as so many virtual
/// ones can, more than one matrix for all places does. Each is turned to be like the one before it, so that the maps of
/// virtual coils are smooth. `axis` is that of the image, negative from the last one. T. Zhang, J. M. Pauly, S. S.
/// Vasanawala and M. Lustig, "Coil compression for accelerated imaging with Cartesian sampling", Magn. Reson. Med. 69,
/// 2013. Throws InvalidArgument.
at::Tensor geometric_compression(const at::Tensor& kspace, std::int64_t coils, std::int64_t axis = -1);

/// Virtual coils (M, image) by matrices (n, M, N) along an axis of coil images or maps (N, image); with `kspace` of
/// k-space, which is transformed along that axis and back. Throws InvalidArgument where sizes do not fit.
at::Tensor mix_coils_along(const at::Tensor& matrices, const at::Tensor& data, std::int64_t axis = -1,
                           bool kspace = false);

}  // namespace adjoin
