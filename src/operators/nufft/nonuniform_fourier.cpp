// SPDX-License-Identifier: BSD-3-Clause
// The public operator: checks, units and the trajectory's derivatives around Transforms.
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/versions.hpp"
#include "kernels/finufft.hpp"
#include "operators/nufft/toeplitz.hpp"
#include "operators/nufft/trajectory.hpp"
#include "operators/nufft/transforms.hpp"

namespace adjoin {

namespace {

constexpr const char* name_of_class = "NonuniformFourier";

}  // namespace

bool has_finufft() { return kernels::Finufft::is_found(); }

NonuniformFourier::NonuniformFourier(const at::Tensor& trajectory, std::vector<std::int64_t> image_size,
                                     const NonuniformFourierOptions& options)
    : image_size_(std::move(image_size)), eps_(options.eps) {
  nufft::check_image_size(name_of_class, image_size_);
  nufft::check_eps(name_of_class, eps_);
  set(nufft::in_cycles_per_pixel(trajectory, options.units, image_size_));
}

NonuniformFourier::~NonuniformFourier() = default;

Recipe NonuniformFourier::recipe() const {
  return {.maker = "NonuniformFourier",
          .arguments = {{"trajectory", trajectory_}, {"image_size", image_size_}, {"eps", eps_}}};
}

void NonuniformFourier::set(const at::Tensor& trajectory) {
  nufft::check_trajectory(name_of_class, trajectory, image_size_);
  trajectory_ = watched(trajectory);
  transforms_ = std::make_shared<const nufft::Transforms>(trajectory_, image_size_, eps_);
  made_of({trajectory_});
}

void NonuniformFourier::update_impl(const Params& params) { set(params.get_or("trajectory", trajectory_)); }

std::shared_ptr<const nufft::Transforms> NonuniformFourier::transforms(const Params& params) const {
  if (!params.contains("trajectory")) {
    return transforms_;
  }
  const at::Tensor trajectory = params.get<at::Tensor>("trajectory");
  nufft::check_trajectory(name_of_class, trajectory, image_size_);
  return std::make_shared<const nufft::Transforms>(trajectory, image_size_, eps_);
}

at::Tensor NonuniformFourier::checked_image(const at::Tensor& x) const {
  nufft::check_precision(name_of_class, "x", x);
  const std::size_t leading = 2;
  check(x.dim() == static_cast<std::int64_t>(image_size_.size() + leading) &&
            x.sizes().slice(leading) == at::IntArrayRef(image_size_),
        "NonuniformFourier::A: x must be (B, C, image) with an image of ", at::IntArrayRef(image_size_), ", got ",
        x.sizes());
  return x.is_complex() ? x : x.to(at::toComplexType(x.scalar_type()));
}

void NonuniformFourier::check_measurement(const nufft::Transforms& transforms, const at::Tensor& y) const {
  nufft::check_precision(name_of_class, "y", y);
  const std::size_t leading = 2;
  check(y.is_complex() && y.dim() == static_cast<std::int64_t>(transforms.sample_size().size() + leading) &&
            y.sizes().slice(leading) == transforms.sample_size(),
        "NonuniformFourier::A_adjoint: y must be complex, (B, C, samples) with samples of ", transforms.sample_size(),
        ", got ", y.scalar_type(), " ", y.sizes());
}

at::Tensor NonuniformFourier::A_impl(const at::Tensor& x, const Params& params) const {
  return transforms(params)->forward(checked_image(x));
}

at::Tensor NonuniformFourier::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const auto transforms = this->transforms(params);
  check_measurement(*transforms, y);
  return transforms->adjoint(y);
}

at::Tensor NonuniformFourier::A_adjoint_A_impl(const at::Tensor& image, const Params& params) const {
  const at::Tensor x = checked_image(image);
  if (!params.empty() || requires_grad()) {
    const auto transforms = this->transforms(params);
    return transforms->adjoint(transforms->forward(x));
  }
  const auto normal = normals_.get(version(), x.scalar_type(), [&] {
    std::vector<std::int64_t> one_map = {1, 1};
    one_map.insert(one_map.end(), image_size_.begin(), image_size_.end());
    return std::make_shared<const nufft::Toeplitz>(nufft::normal_spectrum(*transforms_, {}),
                                                   at::ones(one_map, x.options().requires_grad(false)));
  });
  return (*normal)(x.flatten(0, 1).unsqueeze(1)).view(x.sizes());
}

at::Tensor NonuniformFourier::image_like(const at::Tensor& y) const {
  check_measurement(*transforms_, y);
  std::vector<std::int64_t> sizes = {y.size(0), y.size(1)};
  sizes.insert(sizes.end(), image_size_.begin(), image_size_.end());
  return at::empty(sizes, y.options().requires_grad(false));
}

}  // namespace adjoin
