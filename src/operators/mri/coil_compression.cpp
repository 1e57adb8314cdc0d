// SPDX-License-Identifier: BSD-3-Clause
// Singular vectors of the coils at each place along the readout, turned so that neighbours are alike.
#include "adjoin/operators/mri/coil_compression.hpp"

#include <ATen/ATen.h>

#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

/// The place of an axis of the image behind the coils; throws unless data are (N, image) with that axis.
std::int64_t checked_axis(const char* function, const char* argument, const at::Tensor& data, std::int64_t axis) {
  check(data.defined() && data.is_complex() && data.dim() >= 2 && data.numel() > 0, function, ": ", argument,
        " must be complex, (N, image), got ",
        data.defined() ? c10::str(data.scalar_type(), " ", data.sizes()) : "an undefined tensor");
  const std::int64_t axes = data.dim() - 1;
  check(axis >= -axes && axis < axes, function, ": axis must be one of the ", axes, " of the image, got ", axis);
  return axis < 0 ? data.dim() + axis : axis + 1;
}

enum class Direction : std::uint8_t { to_image, to_kspace };

/// The centred, orthonormal transform along one axis.
at::Tensor transformed(const at::Tensor& data, std::int64_t axis, Direction direction) {
  const at::Tensor from = at::fft_ifftshift(data, axis);
  return at::fft_fftshift(
      direction == Direction::to_image ? at::fft_ifft(from, {}, axis, "ortho") : at::fft_fft(from, {}, axis, "ortho"),
      axis);
}

/// (N, …, n, …) to (n, N, the rest), and back to the sizes of data with M coils.
at::Tensor by_places(const at::Tensor& data, std::int64_t axis) { return data.movedim(axis, 0).flatten(2); }
at::Tensor from_places(const at::Tensor& mixed, const at::Tensor& data, std::int64_t axis) {
  std::vector<std::int64_t> sizes = data.movedim(axis, 0).sizes().vec();
  sizes[1] = mixed.size(1);
  return mixed.view(sizes).movedim(0, axis);
}

/// The rows of `matrix` turned among themselves to be as near to those of `like` as they can be.
at::Tensor turned_towards(const at::Tensor& matrix, const at::Tensor& like) {
  const auto [u, s, vh] = at::linalg_svd(at::mm(like, matrix.mH()), /*full_matrices=*/false);
  return at::mm(at::mm(u, vh), matrix);
}

}  // namespace

at::Tensor geometric_compression(const at::Tensor& kspace, std::int64_t coils, std::int64_t axis) {
  constexpr const char* name = "geometric_compression";
  const std::int64_t place = checked_axis(name, "kspace", kspace, axis);
  check(coils >= 1 && coils <= kspace.size(0), name, ": coils must lie between 1 and the number of coils, ",
        kspace.size(0), ", got ", coils);
  const at::Tensor hybrid = transformed(kspace.detach().to(at::kComplexDouble), place, Direction::to_image);
  const at::Tensor samples = by_places(hybrid, place);
  check(at::isfinite(at::view_as_real(samples.resolve_conj())).all().item<bool>(), name, ": kspace must be finite");
  const at::Tensor vectors = std::get<1>(at::linalg_eigh(at::bmm(samples, samples.mH())));
  const at::Tensor matrices = vectors.slice(2, kspace.size(0) - coils).flip(2).mH().contiguous();
  // From the middle, where the object is, to both ends.
  const std::int64_t places = matrices.size(0);
  for (std::int64_t i = places / 2 + 1; i < places; ++i) {
    matrices[i].copy_(turned_towards(matrices[i], matrices[i - 1]));
  }
  for (std::int64_t i = places / 2; i-- > 0;) {
    matrices[i].copy_(turned_towards(matrices[i], matrices[i + 1]));
  }
  return matrices.to(kspace.scalar_type());
}

at::Tensor mix_coils_along(const at::Tensor& matrices, const at::Tensor& data, std::int64_t axis, bool kspace) {
  constexpr const char* name = "mix_coils_along";
  const std::int64_t place = checked_axis(name, "data", data, axis);
  check(matrices.defined() && matrices.is_complex() && matrices.dim() == 3 && matrices.size(0) == data.size(place) &&
            matrices.size(2) == data.size(0),
        name, ": matrices must be complex (", data.size(place), ", M, ", data.size(0), ") for data ", data.sizes(),
        ", got ", matrices.defined() ? c10::str(matrices.scalar_type(), " ", matrices.sizes()) : "an undefined tensor");
  const at::Tensor images = kspace ? transformed(data, place, Direction::to_image) : data;
  const at::Tensor mixed = at::bmm(matrices.to(data.scalar_type()), by_places(images, place));
  const at::Tensor result = from_places(mixed, data, place);
  return (kspace ? transformed(result, place, Direction::to_kspace) : result).contiguous();
}

}  // namespace adjoin
