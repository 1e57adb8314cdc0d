// SPDX-License-Identifier: BSD-3-Clause
// Coil maps and virtual coils from data that are spread over the ranks: small matrices and the centre of k-space are
// gathered, the coils themselves are not.
#include "coils.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/operators/mri/coil_compression.hpp"
#include "adjoin/operators/mri/coil_maps.hpp"
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"

namespace adjoin {

namespace {

/// The transform of all axes behind the coils, centred.
at::Tensor centred_transform(const at::Tensor& coil_images) {
  Sizes axes;
  for (std::int64_t axis = 1; axis < coil_images.dim(); ++axis) {
    axes.push_back(axis);
  }
  return at::fft_fftshift(at::fft_fftn(at::fft_ifftshift(coil_images, axes), {}, axes, "ortho"), axes);
}

/// At most so many entries around the middle n / 2 of each axis behind the coils.
at::Tensor middle(at::Tensor array, const Sizes& size) {
  for (std::size_t i = 0; i < size.size(); ++i) {
    const auto axis = static_cast<std::int64_t>(i) + 1;
    const std::int64_t n = array.size(axis);
    const std::int64_t count = std::min(size[i], n);
    array = array.narrow(axis, n / 2 - count / 2, count);
  }
  return array;
}

/// The arrays of all coils (coils, …) from each rank's own.
at::Tensor gather_coils(DistributedContext& context, const at::Tensor& own, std::int64_t coils) {
  const std::int64_t ranks = context.size();
  Sizes shape = own.sizes().vec();
  shape[0] = (coils + ranks - 1) / ranks;
  at::Tensor padded = at::zeros(shape, own.options());
  padded.narrow(0, 0, own.size(0)).copy_(own);
  return context.communicator().all_gather(padded).transpose(0, 1).flatten(0, 1).narrow(0, 0, coils).contiguous();
}

/// Virtual coils by a matrix (M, N), or by one for each place along the readout, the last axis of images: (n, M, N).
at::Tensor mixed(const at::Tensor& matrix, const at::Tensor& images) {
  return matrix.dim() == 3 ? mix_coils_along(matrix, images) : mix_coils(matrix, images);
}

/// The virtual coils of all ranks' coils that are this rank's: as many reductions as it has of them.
at::Tensor mix_over_ranks(DistributedContext& context, const at::Tensor& matrix, const Scan& scan) {
  const std::int64_t ranks = context.size();
  const std::int64_t rows = matrix.size(-2);
  const at::Tensor columns = matrix.index_select(-1, at::tensor(scan.own, at::kLong)).to(scan.kspace.scalar_type());
  Sizes shape = scan.kspace.sizes().vec();
  shape[0] = ranks;
  std::vector<at::Tensor> own = {at::empty_like(scan.kspace.narrow(0, 0, 0))};
  for (std::int64_t first = 0; first < rows; first += ranks) {
    const std::int64_t count = std::min(ranks, rows - first);
    at::Tensor parts = at::zeros(shape, scan.kspace.options());
    if (!scan.own.empty()) {
      const at::Tensor own_rows = columns.narrow(-2, first, count);
      parts.narrow(0, 0, count)
          .copy_(matrix.dim() == 3 ? mix_coils_along(own_rows, scan.kspace, -1, true)
                                   : mix_coils(own_rows, scan.kspace));
    }
    at::Tensor sum = context.communicator().reduce_scatter(parts);
    if (context.rank() < count) {
      own.push_back(std::move(sum));
    }
  }
  return at::cat(own);
}

/// Whether k-space is on the grid, and was measured from end to end along the readout.
bool has_whole_readouts(const Scan& scan) {
  return scan.weights.defined() && (scan.weights == scan.weights.narrow(-1, 0, 1)).all().item<bool>();
}

/// k-space of all coils in its centre, zero elsewhere: (coils, image). The centre is that of all axes, or of all but
/// the readout.
at::Tensor centre_of_kspace(DistributedContext& context, const ReconOptions& options, const at::Tensor& density,
                            const Scan& scan, bool whole_readouts) {
  Sizes size(scan.image_size.size(), options.calibration);
  if (whole_readouts) {
    size.back() = scan.image_size.back();
  }
  at::Tensor own = scan.calibration.defined() ? scan.calibration : scan.kspace;
  if (scan.trajectory.defined()) {
    const NonuniformFourier fourier(scan.trajectory, scan.image_size);
    Sizes shape = scan.image_size;
    shape.insert(shape.begin(), 0);
    own = scan.own.empty() ? at::empty(shape, scan.kspace.options())
                           : centred_transform(fourier.A_adjoint((scan.kspace * density).unsqueeze(0))[0]);
  }
  const at::Tensor centre = gather_coils(context, middle(own, size).contiguous(), scan.coils);
  Sizes shape = scan.image_size;
  shape.insert(shape.begin(), scan.coils);
  at::Tensor whole = at::zeros(shape, centre.options());
  middle(whole, size).copy_(centre);
  return whole;
}

/// ESPIRiT's maps (coils, sets, image) from k-space of all coils; of a single coil without calibration, 1.
at::Tensor own_maps(const ReconOptions& options, const at::Tensor& centre, const Scan& scan) {
  if (centre.defined()) {
    return espirit_maps(centre, {.calibration = options.calibration, .sets = options.sets})
        .transpose(0, 1)
        .contiguous();
  }
  Sizes sizes = scan.image_size;
  sizes.insert(sizes.begin(), {1, 1});
  return at::ones(sizes, at::kComplexFloat);
}

}  // namespace

at::Tensor prepare_coils(DistributedContext& context, const ReconOptions& options, const at::Tensor& density,
                         Scan& scan) {
  const bool from_file = options.maps != "espirit";
  check(options.coils >= 0 && options.coils <= scan.coils, "recon: --coils must be at most the ", scan.coils, " of ",
        options.kspace, ", got ", options.coils);
  check(options.sets >= 1 && (from_file ? options.sets == 1 : options.sets <= scan.coils),
        "recon: --sets must be from 1 to the number of coils, ", scan.coils,
        ", and goes with maps that are found; a file has its own, got ", options.sets);
  const bool compresses = options.coils > 0 && options.coils < scan.coils;
  const bool along_readout = compresses && has_whole_readouts(scan);
  at::Tensor maps;
  at::Tensor centre;
  if (from_file) {
    maps = read_bart_maps(options.maps);
    check(maps.size(0) == scan.coils && maps.sizes().slice(2) == at::IntArrayRef(scan.image_size),
          "recon: ", options.maps, " must hold maps of ", scan.coils, " coils for images of ",
          at::IntArrayRef(scan.image_size), ", got sets of ", maps.select(1, 0).sizes());
  }
  if (compresses || (!from_file && scan.coils > 1)) {
    centre = centre_of_kspace(context, options, density, scan, along_readout);
  }
  at::Tensor matrix;  // from coils to virtual ones, and back
  at::Tensor back;
  if (scan.noise.defined() && scan.coils > 1) {
    matrix = prewhitening_matrix(scan.noise);
    back = at::linalg_inv(matrix);
    centre = centre.defined() ? mix_coils(matrix, centre) : centre;
  }
  if (compresses) {
    const at::Tensor compression =
        along_readout ? geometric_compression(centre, options.coils) : compression_matrix(centre, options.coils);
    const at::Tensor expansion = compression.mH().resolve_conj();
    centre = along_readout ? mix_coils_along(compression, centre, -1, true) : mix_coils(compression, centre);
    back = back.defined() ? at::matmul(back, expansion) : expansion;
    matrix = matrix.defined() ? at::matmul(compression, matrix) : compression;
  }
  if (!matrix.defined()) {
    return maps.defined() ? maps : own_maps(options, centre, scan);
  }
  scan.kspace = mix_over_ranks(context, matrix, scan);
  scan.coils = matrix.size(-2);
  scan.own = context.local_indices(scan.coils);
  if (maps.defined()) {
    maps = mixed(matrix, maps);
  } else {
    // Coils as they were have Σ |s|² = 1, lest the image be brighter where coils of little noise are near.
    maps = own_maps(options, centre, scan);
    maps = maps / root_sum_of_squares(mixed(back, maps)).clamp_min(1e-30);
  }
  // λ means what it means without these changes where the norm of the stack is about 1.
  const at::Tensor norm = root_sum_of_squares(maps).max();
  scan.kspace = scan.kspace / norm;
  return maps / norm;
}

}  // namespace adjoin
