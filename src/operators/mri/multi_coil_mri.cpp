// SPDX-License-Identifier: BSD-3-Clause
// The public operator: checks of images, mask and maps, and plans kept for each precision and device.
#include "adjoin/operators/mri/multi_coil_mri.hpp"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "kernels/arrays.hpp"
#include "operators/mri/plan.hpp"
#include "operators/slices.hpp"

namespace adjoin {
namespace {

/// A real image of one channel as a complex one; others as they are.
at::Tensor promoted(const at::Tensor& x) {
  const bool is_real = !x.is_complex() && x.dim() > 1 && x.size(1) == 1;
  return is_real ? x.to(at::toComplexType(x.scalar_type())) : x;
}

}  // namespace

MultiCoilMRI::MultiCoilMRI(const at::Tensor& mask, const at::Tensor& coil_maps, MultiCoilMRIOptions options)
    : options_(options) {
  check(!options.three_d || !options.dynamic, "MultiCoilMRI: images cannot be both three_d and dynamic");
  set(mask, coil_maps);
}

MultiCoilMRI::~MultiCoilMRI() = default;

Recipe MultiCoilMRI::recipe() const {
  return {
      .maker = "MultiCoilMRI",
      .arguments = {
          {"mask", mask_}, {"coil_maps", coil_maps_}, {"three_d", options_.three_d}, {"dynamic", options_.dynamic}}};
}

void MultiCoilMRI::set(const at::Tensor& mask, const at::Tensor& coil_maps) {
  mri::checked_mask(mask, mri::checked_maps(coil_maps, options_), options_);
  coil_maps_ = watched(coil_maps);
  if (mask.defined()) {
    mask_ = watched(mask);
    made_of({mask_, coil_maps_});
  } else {
    mask_.reset();
    made_of({coil_maps_});
  }
}

at::Tensor MultiCoilMRI::mask() const { return mri::checked_mask(mask_, coil_maps(), options_); }

at::Tensor MultiCoilMRI::coil_maps() const { return mri::checked_maps(coil_maps_, options_); }

void MultiCoilMRI::update_impl(const Params& params) {
  if (params.contains("mask") || params.contains("coil_maps")) {
    set(params.get_or("mask", mask_), params.get_or("coil_maps", coil_maps_));
  }
}

std::optional<SliceWise> MultiCoilMRI::on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t begin,
                                                 std::int64_t end) const {
  if (axis != 0) {
    return std::nullopt;
  }
  const at::Tensor maps = coil_maps();
  const at::Tensor weights = mask();
  const auto are_of_all = [](const at::Tensor& tensor) { return tensor.size(0) == 1; };
  const auto fits = [&](const at::Tensor& tensor) { return are_of_all(tensor) || tensor.size(0) == image[0]; };
  if (!fits(maps) || !fits(weights)) {
    return std::nullopt;
  }
  if (are_of_all(maps) && are_of_all(weights)) {
    return SliceWise{0};
  }
  const auto own = [&](const at::Tensor& tensor) {
    return are_of_all(tensor) ? tensor : some_slices(tensor, 0, begin, end);
  };
  return SliceWise{0, std::make_shared<MultiCoilMRI>(mask_.defined() ? own(weights) : mask_, own(maps), options_)};
}

std::shared_ptr<const MultiCoilMRI::Plan> MultiCoilMRI::plan(const at::Tensor& tensor, const Params& params) const {
  const auto real = at::toRealValueType(tensor.scalar_type());
  check(real == at::kFloat || real == at::kDouble, "MultiCoilMRI: tensors must be of single or double precision, got ",
        tensor.scalar_type());
  const auto make = [&] {
    const at::Tensor maps = mri::checked_maps(params.get_or("coil_maps", coil_maps_), options_);
    const at::Tensor mask = mri::checked_mask(params.get_or("mask", mask_), maps, options_);
    return std::make_shared<const Plan>(mask, maps, options_, tensor);
  };
  const bool given = !params.empty() && (params.contains("mask") || params.contains("coil_maps"));
  const bool kept = !given && !records_gradients(mask_) && !records_gradients(coil_maps_);
  return kept ? plans_.get(version(), std::pair(real, tensor.device()), make) : make();
}

at::Tensor MultiCoilMRI::A_impl(const at::Tensor& image, const Params& params) const {
  const at::Tensor x = promoted(image);
  const auto plan = this->plan(x, params);
  plan->check_image(x);
  if (!plan->has_kernels_for(x)) {
    return plan->forward(x);
  }
  const at::Tensor source = kernels::plain(x);
  const at::Tensor y = at::empty(plan->measurement_sizes(x), x.options());
  kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
    std::vector<mri::CoilTask<T>> tasks;
    plan->append_tasks(source, Plan::Space::image, y, Plan::Space::measurement, true, tasks);
    mri::run_forward(plan->transform(), tasks);
  });
  return y;
}

at::Tensor MultiCoilMRI::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const auto plan = this->plan(y, params);
  plan->check_measurement(y);
  if (!plan->has_kernels_for(y)) {
    return plan->adjoint(y);
  }
  const at::Tensor source = kernels::plain(y);
  const at::Tensor x = at::empty(plan->image_sizes(y), y.options());
  kernels::with_precision_of(y.scalar_type(), [&]<class T>(T) {
    std::vector<mri::CoilTask<T>> tasks;
    plan->append_tasks(source, Plan::Space::measurement, x, Plan::Space::image, true, tasks);
    mri::run_adjoint(plan->transform(), tasks);
  });
  return x;
}

at::Tensor MultiCoilMRI::A_adjoint_A_impl(const at::Tensor& image, const Params& params) const {
  const at::Tensor x = promoted(image);
  const auto plan = this->plan(x, params);
  plan->check_image(x);
  if (!plan->has_kernels_for(x)) {
    return plan->normal(x);
  }
  if (!plan->power_keeps_digits()) {
    return A_adjoint_impl(A_impl(x, params), params);
  }
  const at::Tensor source = kernels::plain(x);
  const at::Tensor z = at::empty(x.sizes(), x.options());
  kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
    std::vector<mri::CoilTask<T>> tasks;
    plan->append_tasks(source, Plan::Space::image, z, Plan::Space::image, true, tasks);
    mri::run_normal(plan->transform(), plan->normal_axes(), tasks);
  });
  return z;
}

at::Tensor MultiCoilMRI::noise_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor sampled = plan(y, params)->mask() != 0;
  return Physics::noise_impl(y, params) * (y.is_complex() ? sampled : sampled.unsqueeze(2));
}

at::Tensor MultiCoilMRI::image_like(const at::Tensor& y) const {
  const auto plan = this->plan(y, {});
  plan->check_measurement(y);
  return at::zeros(plan->image_sizes(y), y.options());
}

}  // namespace adjoin
