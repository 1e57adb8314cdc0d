// SPDX-License-Identifier: BSD-3-Clause
// Products with the maps, Fourier sums and weights, and the normal operator as one convolution.
#include "adjoin/operators/mri/non_cartesian_mri.hpp"

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>

#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/versions.hpp"
#include "operators/mri/channels.hpp"
#include "operators/nufft/toeplitz.hpp"
#include "operators/nufft/trajectory.hpp"
#include "operators/nufft/transforms.hpp"
#include "operators/squares.hpp"

namespace adjoin {

namespace {

constexpr const char* name_of_mri = "NonCartesianMRI";

std::vector<std::int64_t> image_size_of(const at::Tensor& maps) { return maps.sizes().slice(2).vec(); }

/// (b, N, image).
at::Tensor checked_maps(const at::Tensor& maps, std::int64_t axes) {
  check(maps.defined() && maps.is_complex() && (axes == 2 || axes == 3) && maps.dim() >= axes &&
            maps.dim() <= axes + 2 && maps.numel() > 0,
        "NonCartesianMRI: coil_maps must be complex, (b, N, H, W) or (b, N, D, H, W) as the trajectory has axes, "
        "leading axes left out or not, got ",
        maps.defined() ? c10::str(maps.scalar_type(), " ", maps.sizes()) : "an undefined tensor", " for ", axes,
        " axes");
  check(maps.is_cpu(), "NonCartesianMRI: coil_maps must be on the CPU, got ", maps.device());
  at::Tensor result = maps;
  while (result.dim() < axes + 2) {
    result = result.unsqueeze(0);
  }
  return result;
}

void check_sample_weights(const at::Tensor& weights, const nufft::Transforms& transforms) {
  check(!weights.defined() || (weights.is_floating_point() && weights.is_cpu() &&
                               at::is_expandable_to(weights.sizes(), transforms.sample_size())),
        "NonCartesianMRI: weights must be real, on the CPU, and broadcast to the samples ", transforms.sample_size(),
        ", got ", weights.defined() ? c10::str(weights.scalar_type(), " ", weights.sizes()) : "");
}

void check_spectrum(const at::Tensor& spectrum, const std::vector<std::int64_t>& image_size) {
  std::vector<std::int64_t> sizes(image_size.size(), 2);
  sizes.insert(sizes.end(), image_size.begin(), image_size.end());
  check(spectrum.scalar_type() == at::kDouble && spectrum.is_cpu() && spectrum.sizes() == at::IntArrayRef(sizes),
        "NonCartesianMRI: normal_spectrum must be double ", at::IntArrayRef(sizes), ", on the CPU, got ",
        spectrum.scalar_type(), " ", spectrum.sizes());
}

std::int64_t axes_of(const at::Tensor& trajectory) {
  return trajectory.defined() && trajectory.dim() > 0 ? trajectory.size(-1) : 0;
}

}  // namespace

struct NonCartesianMRI::Parts {
  std::shared_ptr<const nufft::Transforms> transforms;
  at::Tensor maps;     // (b, N, image)
  at::Tensor weights;  // may be undefined

  std::int64_t coils() const { return maps.size(1); }

  void check_image(const at::Tensor& x) const {
    nufft::check_precision(name_of_mri, "x", x);
    const std::size_t leading = 2;
    const std::int64_t channels = x.dim() > 1 && x.size(1) == 2 && !x.is_complex() ? 2 : 1;
    check(x.dim() == maps.dim() && x.size(1) == channels && x.sizes().slice(leading) == maps.sizes().slice(leading) &&
              (maps.size(0) == 1 || maps.size(0) == x.size(0)),
          "NonCartesianMRI::A: x must be (B, 1, image), or real (B, 2, image), for coil maps ", maps.sizes(), ", got ",
          x.scalar_type(), " ", x.sizes());
  }
  void check_measurement(const at::Tensor& y) const {
    nufft::check_precision(name_of_mri, "y", y);
    const std::size_t leading = y.is_complex() ? 2 : 3;
    const bool fits = y.dim() == static_cast<std::int64_t>(leading + transforms->sample_size().size()) &&
                      y.size(static_cast<std::int64_t>(leading) - 1) == coils() && (y.is_complex() || y.size(1) == 2) &&
                      y.sizes().slice(leading) == transforms->sample_size() &&
                      (maps.size(0) == 1 || maps.size(0) == y.size(0));
    check(fits, "NonCartesianMRI::A_adjoint: y must be complex (B, ", coils(), ", samples), or real (B, 2, ", coils(),
          ", samples), with samples of ", transforms->sample_size(), ", got ", y.scalar_type(), " ", y.sizes());
  }

  at::Tensor weighed(const at::Tensor& y) const {
    return weights.defined() ? y * weights.to(at::toRealValueType(y.scalar_type())) : y;
  }
  at::Tensor maps_like(const at::Tensor& image) const { return maps.to(image.scalar_type()); }

  // Of complex images (B, 1, image) and complex measurements.
  at::Tensor forward(const at::Tensor& x) const { return weighed(transforms->forward(x * maps_like(x))); }
  at::Tensor adjoint(const at::Tensor& y) const {
    const at::Tensor coil_images = transforms->adjoint(weighed(y));
    return (coil_images * maps_like(coil_images).conj()).sum(1, true);
  }
};

NonCartesianMRI::NonCartesianMRI(const at::Tensor& trajectory, const at::Tensor& coil_maps,
                                 const NonCartesianMRIOptions& options)
    : eps_(options.eps) {
  nufft::check_eps(name_of_mri, eps_);
  const auto image_size = image_size_of(checked_maps(coil_maps, axes_of(trajectory)));
  set(nufft::in_cycles_per_pixel(trajectory, options.units, image_size), coil_maps, options.weights);
  if (options.normal_spectrum.defined()) {
    check_spectrum(options.normal_spectrum, image_size);
    given_spectrum_ = options.normal_spectrum.detach().clone();
    given_version_ = version();
  }
}

NonCartesianMRI::~NonCartesianMRI() = default;

Recipe NonCartesianMRI::recipe() const {
  Recipe recipe{.maker = "NonCartesianMRI",
                .arguments = {{"trajectory", trajectory_}, {"coil_maps", coil_maps_}, {"eps", eps_}}};
  if (weights_.defined()) {
    recipe.arguments.set("weights", weights_);
  }
  if (const at::Tensor spectrum = given_spectrum(); spectrum.defined()) {
    recipe.arguments.set("normal_spectrum", spectrum);
  }
  return recipe;
}

std::vector<std::int64_t> NonCartesianMRI::image_size() const { return transforms_->image_size(); }

void NonCartesianMRI::set(const at::Tensor& trajectory, const at::Tensor& coil_maps, const at::Tensor& weights) {
  const auto image_size = image_size_of(checked_maps(coil_maps, axes_of(trajectory)));
  nufft::check_trajectory(name_of_mri, trajectory, image_size);
  const at::Tensor own = watched(trajectory);
  const auto transforms = std::make_shared<const nufft::Transforms>(own, image_size, eps_);
  check_sample_weights(weights, *transforms);
  trajectory_ = own;
  coil_maps_ = watched(coil_maps);
  transforms_ = transforms;
  if (weights.defined()) {
    weights_ = watched(weights);
    made_of({trajectory_, coil_maps_, weights_});
  } else {
    weights_.reset();
    made_of({trajectory_, coil_maps_});
  }
}

void NonCartesianMRI::update_impl(const Params& params) {
  set(params.get_or("trajectory", trajectory_), params.get_or("coil_maps", coil_maps_),
      params.get_or("weights", weights_));
}

NonCartesianMRI::Parts NonCartesianMRI::parts(const Params& params) const {
  const at::Tensor trajectory = params.get_or("trajectory", trajectory_);
  Parts parts{.transforms = transforms_,
              .maps = checked_maps(params.get_or("coil_maps", coil_maps_), axes_of(trajectory)),
              .weights = params.get_or("weights", weights_)};
  if (params.contains("trajectory") || params.contains("coil_maps")) {
    const auto image_size = image_size_of(parts.maps);
    nufft::check_trajectory(name_of_mri, trajectory, image_size);
    parts.transforms = std::make_shared<const nufft::Transforms>(trajectory, image_size, eps_);
  }
  check_sample_weights(parts.weights, *parts.transforms);
  return parts;
}

at::Tensor NonCartesianMRI::coil_maps() const { return checked_maps(coil_maps_, axes_of(trajectory_)); }

at::Tensor NonCartesianMRI::A_impl(const at::Tensor& x, const Params& params) const {
  const Parts parts = this->parts(params);
  parts.check_image(x);
  const at::Tensor y = parts.forward(mri::image_as_complex(x));
  return mri::has_two_channels(x) ? mri::as_channels(y) : y;
}

at::Tensor NonCartesianMRI::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const Parts parts = this->parts(params);
  parts.check_measurement(y);
  if (y.is_complex()) {
    return parts.adjoint(y);
  }
  return mri::as_channels(parts.adjoint(mri::joined_channels(y)).squeeze(1));
}

at::Tensor NonCartesianMRI::A_adjoint_A_impl(const at::Tensor& image, const Params& params) const {
  const Parts parts = this->parts(params);
  parts.check_image(image);
  const at::Tensor x = mri::image_as_complex(image);
  const auto result = [&](const at::Tensor& z) {
    return mri::has_two_channels(image) ? mri::as_channels(z.squeeze(1)) : z;
  };
  const auto composed = [&] { return result(parts.adjoint(parts.forward(x))); };
  if (!params.empty() || requires_grad()) {
    return composed();
  }
  const auto normal = normals_.get(version(), x.scalar_type(), [&]() -> std::shared_ptr<const nufft::Toeplitz> {
    const at::Tensor spectrum = normal_spectrum();
    const bool kept = keep_digits(spectrum.to(at::toRealValueType(x.scalar_type())));
    return kept ? std::make_shared<const nufft::Toeplitz>(spectrum, parts.maps_like(x)) : nullptr;
  });
  return normal == nullptr ? composed() : result((*normal)(x));
}

at::Tensor NonCartesianMRI::given_spectrum() const {
  return given_spectrum_.defined() && given_version_ == version() ? given_spectrum_ : at::Tensor();
}

at::Tensor NonCartesianMRI::normal_spectrum() const {
  if (const at::Tensor given = given_spectrum(); given.defined()) {
    return given;
  }
  const at::Tensor powers = weights_.defined() ? weights_.detach().to(at::kDouble).square() : at::Tensor();
  return nufft::normal_spectrum(*transforms_, powers);
}

at::Tensor NonCartesianMRI::image_like(const at::Tensor& y) const {
  const Parts parts = this->parts({});
  parts.check_measurement(y);
  std::vector<std::int64_t> sizes = {y.size(0), y.is_complex() ? 1 : 2};
  const at::IntArrayRef image = parts.maps.sizes().slice(2);
  sizes.insert(sizes.end(), image.begin(), image.end());
  return at::empty(sizes, y.options().requires_grad(false));
}

}  // namespace adjoin
