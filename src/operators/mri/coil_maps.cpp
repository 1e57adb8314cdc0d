// SPDX-License-Identifier: BSD-3-Clause
// ESPIRiT and adaptive combination, and the matrices that whiten or compress coils.
#include "adjoin/operators/mri/coil_maps.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

void check_coils(const char* function, const char* argument, const at::Tensor& data, std::int64_t least_axes,
                 std::int64_t most_axes) {
  check(data.defined() && data.is_complex() && data.dim() >= least_axes && data.dim() <= most_axes && data.numel() > 0,
        function, ": ", argument, " must be complex, (N, …) with ", least_axes - 1, " to ", most_axes - 1,
        " axes behind the coils, got ",
        data.defined() ? c10::str(data.scalar_type(), " ", data.sizes()) : "an undefined tensor");
  check(at::isfinite(at::view_as_real(data.resolve_conj())).all().item<bool>(), function, ": ", argument,
        " must be finite");
}

/// Vectors (…, N, sets) with the phase that makes their first entry real and not negative.
at::Tensor with_first_coil_real(const at::Tensor& vectors) {
  const at::Tensor first = vectors.narrow(-2, 0, 1);
  const at::Tensor size = first.abs();
  const at::Tensor phase = at::where(size > 0, first.conj() / size.clamp_min(1e-300), at::ones_like(first));
  return vectors * phase;
}

/// (N k^axes, windows): every window of so many samples along each axis of data (N, …), as a column.
at::Tensor windows_of(const at::Tensor& data, std::int64_t kernel) {
  at::Tensor windows = data;
  std::int64_t features = data.size(0);
  for (std::int64_t axis = 1; axis < data.dim(); ++axis) {
    windows = windows.unfold(axis, kernel, 1);
    features *= kernel;
  }
  std::vector<std::int64_t> order = {0};
  for (std::int64_t axis = 1; axis < data.dim(); ++axis) {
    order.push_back(data.dim() - 1 + axis);
  }
  for (std::int64_t axis = 1; axis < data.dim(); ++axis) {
    order.push_back(axis);
  }
  return windows.permute(order).reshape({features, -1});
}

/// K(c, d, m) = Σ over u of W((c, u), (d, u + m)) / k^axes, for m = 1 − k … k − 1 along each axis, in an array of
/// `sizes` where negative m are at the end.
at::Tensor by_lags(const at::Tensor& projection, std::int64_t coils, std::int64_t kernel, at::IntArrayRef sizes) {
  const auto axes = static_cast<std::int64_t>(sizes.size());
  std::vector<std::int64_t> shape = {coils};
  shape.resize(static_cast<std::size_t>(axes) + 1, kernel);
  std::vector<std::int64_t> both = shape;
  both.insert(both.end(), shape.begin(), shape.end());
  // (c, u…, d, v…) to (c, d, u…, v…), then one axis after another from (u, v) to lags.
  std::vector<std::int64_t> order = {0, axes + 1};
  for (std::int64_t axis = 1; axis <= axes; ++axis) {
    order.insert(order.end(), {axis, axes + 1 + axis});
  }
  at::Tensor lags = projection.reshape(both).permute(order);
  for (std::int64_t axis = 0; axis < axes; ++axis) {
    // (…, u, v, …) with u at place 2 + axis: those before have become lags already.
    const std::int64_t place = 2 + axis;
    const std::int64_t n = sizes[static_cast<std::size_t>(axis)];
    std::vector<std::int64_t> summed = lags.sizes().vec();
    summed.erase(summed.begin() + place);
    summed[static_cast<std::size_t>(place)] = n;
    at::Tensor sums = at::zeros(summed, lags.options());
    for (std::int64_t m = 1 - kernel; m < kernel; ++m) {
      // The diagonal v − u = m, whose entries come last.
      sums.select(place, (m + n) % n).add_(lags.diagonal(m, place, place + 1).sum(-1));
    }
    lags = sums;
  }
  return lags / std::pow(static_cast<double>(kernel), static_cast<double>(axes));
}

/// The largest box of k-space (N, …) around its centre that was sampled as a whole, of at least `least` and at most
/// `most` samples along each axis; where nothing was sampled, k-space is zero in every coil.
at::Tensor sampled_centre(const char* function, const at::Tensor& kspace, std::int64_t least, std::int64_t most) {
  const at::Tensor sampled = (kspace != 0).any(0).unsqueeze(0);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(kspace.dim() - 1), least);
  const auto box = [&](at::Tensor array) {
    for (std::int64_t axis = 1; axis < kspace.dim(); ++axis) {
      const std::int64_t count = counts[static_cast<std::size_t>(axis - 1)];
      array = array.narrow(axis, kspace.size(axis) / 2 - count / 2, count);
    }
    return array;
  };
  check(box(sampled).all().item<bool>(), function, ": kspace must be sampled, not zero, in its centre of ", least,
        " samples along each axis");
  for (bool grows = true; grows;) {
    grows = false;
    for (std::size_t axis = 0; axis < counts.size(); ++axis) {
      if (counts[axis] < std::min(most, kspace.size(static_cast<std::int64_t>(axis) + 1))) {
        ++counts[axis];
        const bool full = box(sampled).all().item<bool>();
        counts[axis] -= full ? 0 : 1;
        grows = grows || full;
      }
    }
  }
  return box(kspace);
}

struct Eigen {
  at::Tensor values;   // (…, sets), the largest first
  at::Tensor vectors;  // (…, N, sets)
};

/// Of Hermitian matrices (…, N, N).
Eigen largest_eigenvectors(const at::Tensor& matrices, std::int64_t sets) {
  const auto [values, vectors] = at::linalg_eigh(matrices);
  const std::int64_t first = matrices.size(-1) - sets;
  return {values.slice(-1, first).flip(-1), vectors.slice(-1, first).flip(-1)};
}

/// The same by steps of the power iteration on the first unit vectors, orthonormal after each.
Eigen iterated_eigenvectors(const at::Tensor& matrices, std::int64_t sets, std::int64_t steps) {
  at::Tensor vectors = at::eye(matrices.size(-1), sets, matrices.options()).expand({1, -1, -1});
  at::Tensor lengths;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto [orthonormal, triangular] = at::linalg_qr(at::matmul(matrices, vectors));
    vectors = orthonormal;
    lengths = triangular.diagonal(0, -2, -1).abs();
  }
  return {lengths, vectors};
}

}  // namespace

at::Tensor espirit_maps(const at::Tensor& kspace, const EspiritOptions& options) {
  constexpr const char* name = "espirit_maps";
  check_coils(name, "kspace", kspace, 3, 4);
  const std::int64_t coils = kspace.size(0);
  check(options.kernel >= 1 && options.calibration >= options.kernel, name,
        ": calibration must be at least kernel, which must be positive, got ", options.calibration, " and ",
        options.kernel);
  check(options.threshold > 0.0 && options.threshold < 1.0, name, ": threshold must lie between 0 and 1, got ",
        options.threshold);
  check(options.crop >= 0.0 && options.crop < 1.0, name, ": crop must lie from 0 to below 1, got ", options.crop);
  check(options.sets >= 1 && options.sets <= coils, name, ": sets must lie between 1 and the number of coils, ", coils,
        ", got ", options.sets);
  check(options.power_iterations >= 0, name, ": power_iterations must not be negative, got ", options.power_iterations);
  for (std::int64_t axis = 1; axis < kspace.dim(); ++axis) {
    check(kspace.size(axis) >= 2 * options.kernel - 1, name, ": kspace must have at least ", 2 * options.kernel - 1,
          " samples along each axis for kernels of ", options.kernel, ", got ", kspace.sizes());
  }
  const at::Tensor region =
      sampled_centre(name, kspace.detach(), options.kernel, options.calibration).to(at::kComplexDouble);
  const at::Tensor windows = windows_of(region, options.kernel);
  const auto [energies, kernels] = at::linalg_eigh(at::mm(windows, windows.t().conj()));
  const double largest = energies[-1].item<double>();
  const at::Tensor kept =
      kernels.index({at::indexing::Slice(), energies >= options.threshold * options.threshold * largest});
  const at::IntArrayRef sizes = kspace.sizes().slice(1);
  std::vector<std::int64_t> last(sizes.size());
  std::iota(last.begin(), last.end(), 2);
  const at::Tensor lags = by_lags(at::mm(kept, kept.t().conj()), coils, options.kernel, sizes);
  // (N, N, image) to (image, N, N): Hermitian at each pixel, with eigenvalues from 0 to 1, the largest last.
  const at::Tensor operators = at::fft_fftshift(at::fft_fftn(lags, {}, last), last).movedim({0, 1}, {-2, -1});
  const auto [values, vectors] = options.power_iterations == 0
                                     ? largest_eigenvectors(operators, options.sets)
                                     : iterated_eigenvectors(operators, options.sets, options.power_iterations);
  return (with_first_coil_real(vectors) * (values.unsqueeze(-2) >= options.crop))
      .movedim({-1, -2}, {0, 1})
      .to(kspace.scalar_type())
      .contiguous();
}

at::Tensor adaptive_maps(const at::Tensor& coil_images, std::int64_t block) {
  constexpr const char* name = "adaptive_maps";
  check_coils(name, "coil_images", coil_images, 3, 4);
  check(block >= 1 && block % 2 == 1, name, ": block must be odd and positive, got ", block);
  const at::Tensor images = coil_images.detach().to(at::kComplexDouble);
  const std::int64_t coils = images.size(0);
  // (N · N, image): sums over blocks, with zeros outside.
  const at::Tensor products = (images.unsqueeze(1) * images.unsqueeze(0).conj()).flatten(0, 1);
  const auto axes = static_cast<std::size_t>(images.dim() - 1);
  const std::vector<std::int64_t> size(axes, block);
  const std::vector<std::int64_t> stride(axes, 1);
  const std::vector<std::int64_t> padding(axes, block / 2);
  const auto smoothed = [&](const at::Tensor& plane) {
    const at::Tensor batch = plane.unsqueeze(0);
    return (axes == 2 ? at::avg_pool2d(batch, size, stride, padding) : at::avg_pool3d(batch, size, stride, padding))
        .squeeze(0);
  };
  at::Tensor covariance =
      at::complex(smoothed(at::real(products).contiguous()), smoothed(at::imag(products).contiguous()));
  covariance = covariance.unflatten(0, {coils, coils}).movedim({0, 1}, {-2, -1});
  const at::Tensor vectors = std::get<1>(at::linalg_eigh(covariance));
  return with_first_coil_real(vectors.slice(-1, coils - 1))
      .squeeze(-1)
      .movedim(-1, 0)
      .to(coil_images.scalar_type())
      .contiguous();
}

at::Tensor prewhitening_matrix(const at::Tensor& noise) {
  check_coils("prewhitening_matrix", "noise", noise, 2, 64);
  const at::Tensor samples = noise.detach().to(at::kComplexDouble).flatten(1);
  const at::Tensor covariance = at::mm(samples, samples.t().conj()) / static_cast<double>(samples.size(1));
  const auto [factor, info] = at::linalg_cholesky_ex(covariance);
  check(info.item<std::int64_t>() == 0, "prewhitening_matrix: the covariance of ", samples.size(1), " samples of ",
        samples.size(0), " coils is singular; give more samples, or leave out coils that do not measure");
  const at::Tensor identity = at::eye(samples.size(0), samples.options());
  return at::linalg_solve_triangular(factor, identity, /*upper=*/false).to(noise.scalar_type());
}

at::Tensor compression_matrix(const at::Tensor& data, std::int64_t coils) {
  check_coils("compression_matrix", "data", data, 2, 64);
  check(coils >= 1 && coils <= data.size(0), "compression_matrix: coils must lie between 1 and the number of coils, ",
        data.size(0), ", got ", coils);
  const at::Tensor samples = data.detach().to(at::kComplexDouble).flatten(1);
  const at::Tensor vectors = std::get<1>(at::linalg_eigh(at::mm(samples, samples.t().conj())));
  return vectors.slice(1, data.size(0) - coils).flip(1).t().conj().resolve_conj().contiguous().to(data.scalar_type());
}

at::Tensor mix_coils(const at::Tensor& matrix, const at::Tensor& data) {
  check(matrix.defined() && data.defined() && matrix.dim() == 2 && data.dim() >= 1 && matrix.size(1) == data.size(0),
        "mix_coils: matrix must be (M, N) for data (N, …), got ",
        matrix.defined() ? c10::str(matrix.sizes()) : "an undefined tensor", " and ",
        data.defined() ? c10::str(data.sizes()) : "an undefined tensor");
  return at::tensordot(matrix.to(at::result_type(matrix, data)), data.to(at::result_type(matrix, data)), {1}, {0});
}

at::Tensor root_sum_of_squares(const at::Tensor& coil_images) {
  check(coil_images.defined() && coil_images.dim() >= 1, "root_sum_of_squares: coil_images must be (N, …)");
  return coil_images.abs().square().sum(0).sqrt();
}

}  // namespace adjoin
