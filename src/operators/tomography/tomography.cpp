// SPDX-License-Identifier: BSD-3-Clause
// The public operator: geometry, checks, and filtered backprojection.
#include "adjoin/operators/tomography/tomography.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "operators/tomography/beam.hpp"
#include "operators/tomography/sinogram_filter.hpp"

namespace adjoin {

namespace {

constexpr std::array<std::pair<FbpFilter, std::string_view>, 5> filter_names = {{{FbpFilter::RamLak, "ram_lak"},
                                                                                 {FbpFilter::SheppLogan, "shepp_logan"},
                                                                                 {FbpFilter::Cosine, "cosine"},
                                                                                 {FbpFilter::Hamming, "hamming"},
                                                                                 {FbpFilter::Hann, "hann"}}};

}  // namespace

FbpFilter fbp_filter_from_string(std::string_view name) {
  for (const auto& [filter, known] : filter_names) {
    if (name == known || (name == "ramp" && filter == FbpFilter::RamLak)) {
      return filter;
    }
  }
  throw InvalidArgument(
      c10::str("filter: must be ram_lak (or ramp), shepp_logan, cosine, hamming or hann, got '", name, "'"));
}

FbpPadding fbp_padding_from_string(std::string_view name) {
  check(name == "zeros" || name == "extrapolate", "padding: must be zeros or extrapolate, got '", name, "'");
  return name == "zeros" ? FbpPadding::Zeros : FbpPadding::Extrapolate;
}

std::string_view to_string(FbpFilter filter) { return filter_names[static_cast<std::size_t>(filter)].second; }

Tomography::Tomography(const at::Tensor& angles, std::array<std::int64_t, 2> image_size, TomographyOptions options)
    : image_size_(image_size), options_(options) {
  check(angles.defined() && angles.dim() == 1 && angles.numel() > 0 && !angles.is_complex(),
        "Tomography: angles must be a real tensor of one axis with at least one entry, got ",
        angles.defined() ? c10::str(angles.sizes(), " of ", angles.scalar_type()) : "an undefined one");
  check(!is_differentiated(angles), "Tomography: angles must not require gradients or carry a tangent: line integrals ",
        "are differentiated for images alone");
  check(image_size[0] > 0 && image_size[1] > 0, "Tomography: image_size must be {H, W}, both positive, got {",
        image_size[0], ", ", image_size[1], "}");
  check(std::isfinite(options.spacing) && options.spacing > 0.0,
        "Tomography: spacing must be finite and positive, got ", options.spacing);
  check(std::isfinite(options.shift), "Tomography: shift must be finite, got ", options.shift);
  check(options.detectors >= 0, "Tomography: detectors must be positive, or 0 for the default, got ",
        options.detectors);
  const parallel_beam::Size size{image_size[0], image_size[1]};
  if (options.detectors == 0) {
    const double diagonal = std::hypot(static_cast<double>(size.height), static_cast<double>(size.width));
    options_.detectors = static_cast<std::int64_t>(std::ceil(diagonal / options.spacing));
  }
  const at::Tensor degrees = angles.detach().to(at::kCPU, at::kDouble).contiguous();
  angles_.assign(degrees.const_data_ptr<double>(), degrees.const_data_ptr<double>() + degrees.numel());
  for (const double angle : angles_) {
    check(std::isfinite(angle), "Tomography: angles must be finite, got ", angle);
  }
  sinogram_filter_ = std::make_shared<const SinogramFilter>(angles_, image_size_, options_);
  const TomographyOptions& filtered = sinogram_filter_->detector();
  std::vector<parallel_beam::View> joseph;
  std::vector<parallel_beam::View> interpolating;
  for (const double angle : angles_) {
    const double radians = angle * std::numbers::pi / 180.0;
    joseph.push_back(parallel_beam::joseph_view(radians, size, options_.detectors, options_.spacing, options_.shift));
    interpolating.push_back(parallel_beam::interpolating(
        parallel_beam::joseph_view(radians, size, filtered.detectors, filtered.spacing, filtered.shift)));
  }
  line_integrals_ = std::make_shared<const Beam>(size, std::move(joseph));
  interpolation_ = std::make_shared<const Beam>(size, std::move(interpolating));
}

Tomography::~Tomography() = default;

Recipe Tomography::recipe() const {
  return {.maker = "Tomography",
          .arguments = {{"angles", at::tensor(angles_, at::kDouble)},
                        {"image_size", std::vector<std::int64_t>(image_size_.begin(), image_size_.end())},
                        {"detectors", options_.detectors},
                        {"spacing", options_.spacing},
                        {"shift", options_.shift}}};
}

void Tomography::check_image(const at::Tensor& x) const {
  check((x.dim() == 4 || x.dim() == 5) && x.size(-2) == image_size_[0] && x.size(-1) == image_size_[1],
        "Tomography::A: x must be (B, C, H, W) or (B, C, D, H, W) with H, W = ", image_size_[0], ", ", image_size_[1],
        ", got ", x.sizes());
}

void Tomography::check_measurement(const char* method, const at::Tensor& y) const {
  check((y.dim() == 4 || y.dim() == 5) && y.size(-2) == static_cast<std::int64_t>(angles_.size()) &&
            y.size(-1) == options_.detectors,
        "Tomography::", method, ": y must be (B, C, angles, detectors) or (B, C, D, angles, detectors) with ",
        angles_.size(), " angles and ", options_.detectors, " detectors, got ", y.sizes());
}

at::Tensor Tomography::A_impl(const at::Tensor& x, const Params& /*params*/) const {
  check_image(x);
  return Beam::apply(line_integrals_, x, Beam::Direction::project);
}

at::Tensor Tomography::A_adjoint_impl(const at::Tensor& y, const Params& /*params*/) const {
  check_measurement("A_adjoint", y);
  return Beam::apply(line_integrals_, y, Beam::Direction::backproject);
}

std::optional<SliceWise> Tomography::on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t /*begin*/,
                                               std::int64_t /*end*/) const {
  return axis + 2 < static_cast<std::int64_t>(image.size()) ? std::optional(SliceWise{axis}) : std::nullopt;
}

at::Tensor Tomography::image_like(const at::Tensor& y) const {
  check_measurement("A_adjoint", y);
  return at::empty(tomography::with_last_two(y, image_size_[0], image_size_[1]), y.options());
}

at::Tensor Tomography::fbp(const at::Tensor& y, const FbpOptions& options) const {
  check_tensor("fbp", "y", y);
  check_measurement("fbp", y);
  const auto filtered = [&](const at::Tensor& part) {
    return Beam::apply(interpolation_, (*sinogram_filter_)(part, options), Beam::Direction::backproject);
  };
  return y.is_complex() ? at::complex(filtered(at::real(y)), filtered(at::imag(y))) : filtered(y);
}

}  // namespace adjoin
