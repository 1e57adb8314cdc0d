// SPDX-License-Identifier: BSD-3-Clause
// Coils of several operators on images of one layout, computed together.
#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused_of.hpp"
#include "kernels/arrays.hpp"
#include "operators/mri/plan.hpp"

namespace adjoin {

class FusedCoils final : public FusedOf<MultiCoilMRI> {
 public:
  using FusedOf::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& out) const override {
    if (!takes(x)) {
      return {};
    }
    return unless_refused([&] { return joins(x) ? parted(joint()->A(x)) : forward(x, out); });
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    if (!takes(y)) {
      return {};
    }
    return unless_refused([&] { return joins(y[0]) ? joint()->A_adjoint(united(y)) : adjoint(y, out); });
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    if (!takes(x)) {
      return {};
    }
    return unless_refused([&] { return joins(x) ? joint()->A_adjoint_A(x) : normal(x, {}, out); });
  }

  at::Tensor A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                  const at::Tensor& out) const override {
    if (!takes(x) || (!y.empty() && !takes(y))) {
      return {};
    }
    // Numbers are factors of the masks' powers.
    const std::vector<double> numbers = y.empty() && x.is_cpu() ? numbers_of(weights) : std::vector<double>();
    const auto single = [&] { return numbers.empty() ? residual(x, y, weights, out) : normal(x, numbers, out); };
    return unless_refused([&] { return joins(x) ? FusedStack::A_adjoint_W_residual(x, y, weights, out) : single(); });
  }

 private:
  using Plan = MultiCoilMRI::Plan;
  using Plans = std::vector<std::shared_ptr<const Plan>>;

  // ---- On the CPU: one coil after another ----

  TensorList forward(const at::Tensor& x, const TensorList& out) const {
    const Plans plans = plans_for_image(x);
    TensorList y;
    if (plans.empty()) {
      return y;
    }
    y.reserve(size());
    const at::Tensor source = kernels::plain(x);
    kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
      std::vector<mri::CoilTask<T>> tasks;
      for (const auto& plan : plans) {
        y.push_back(fit_or_empty(out, y.size(), plan->measurement_sizes(x), x.options()));
        plan->append_tasks(source, Plan::Space::image, y[y.size() - 1], Plan::Space::measurement, true, tasks);
      }
      mri::run_forward(plans[0]->transform(), tasks);
    });
    return y;
  }

  at::Tensor adjoint(const TensorList& y, const at::Tensor& out) const {
    const Plans plans = plans_for(y[0]);
    if (plans.empty()) {
      return {};
    }
    check_measurements(plans, y);
    const at::Tensor x = fit_or_empty(out, plans[0]->image_sizes(y[0]), y[0].options());
    std::vector<at::Tensor> sources;
    kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
      std::vector<mri::CoilTask<T>> tasks;
      for (std::size_t i = 0; i < size(); ++i) {
        sources.push_back(kernels::plain(y[i]));
        plans[i]->append_tasks(sources[i], Plan::Space::measurement, x, Plan::Space::image, i == 0, tasks);
      }
      mri::run_adjoint(plans[0]->transform(), tasks);
    });
    return x;
  }

  /// A measurement is there a row at a time, between the transforms of A and those of the adjoint.
  at::Tensor residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                      const at::Tensor& out) const {
    const Plans plans = plans_for_image(x);
    if (plans.empty()) {
      return {};
    }
    const at::Tensor z = fit_or_empty(out, x.sizes(), x.options());
    const at::Tensor source = kernels::plain(x);
    std::vector<at::Tensor> kept;
    kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
      std::vector<mri::CoilTask<T>> tasks;
      for (std::size_t i = 0; i < size(); ++i) {
        const auto sizes = plans[i]->measurement_sizes(x);
        const at::Tensor w = weights_for(weights[i], x);
        check(at::is_expandable_to(w.sizes(), sizes), "MultiCoilMRI: weights must broadcast to the measurements");
        check(y.empty() || (y[i].sizes() == sizes && y[i].scalar_type() == x.scalar_type() && y[i].is_cpu()),
              "MultiCoilMRI: y must be measurements of x");
        const std::size_t first = tasks.size();
        kept.push_back(w.expand(sizes).contiguous());
        const at::Tensor factors = kept.back();
        kept.push_back(y.empty() ? at::Tensor() : kernels::plain(y[i]));
        plans[i]->append_tasks(source, Plan::Space::image, z, Plan::Space::image, i == 0, tasks);
        plans[i]->attach(kept.back(), factors, x.is_complex(), std::span(tasks).subspan(first));
      }
      mri::run_residual(plans[0]->transform(), tasks);
    });
    return z;
  }

  /// Σ w_i A_iᵀ A_i x; no weights are all 1.
  at::Tensor normal(const at::Tensor& x, const std::vector<double>& weights, const at::Tensor& out) const {
    const Plans plans = plans_for_image(x);
    if (plans.empty() || !std::ranges::all_of(plans, [](const auto& plan) { return plan->power_keeps_digits(); })) {
      return {};
    }
    const at::Tensor z = fit_or_empty(out, x.sizes(), x.options());
    const at::Tensor source = kernels::plain(x);
    kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
      std::vector<mri::CoilTask<T>> tasks;
      std::vector<mri::SampleFactors> powers;
      for (std::size_t i = 0; i < size(); ++i) {
        powers.push_back(weights.empty() ? plans[i]->power() : plans[i]->power().times(weights[i]));
        plans[i]->append_tasks(source, Plan::Space::image, z, Plan::Space::image, i == 0, powers[i], tasks);
        // Together, as far as they transform the same axes.
        if (i + 1 == size() || plans[i + 1]->normal_axes() != plans[i]->normal_axes()) {
          mri::run_normal(plans[i]->transform(), plans[i]->normal_axes(), tasks);
          tasks.clear();
        }
      }
    });
    return z;
  }

  /// The plans for tensors like this one; none when there is no gain or the images' sizes differ.
  Plans plans_for(const at::Tensor& tensor) const {
    Plans plans;
    plans.reserve(size());
    for (const auto& one : operators()) {
      plans.push_back(one->plan(tensor, {}));
      if (!plans.back()->has_kernels_for(tensor) || plans.back()->spatial() != plans[0]->spatial()) {
        return {};
      }
    }
    return plans;
  }
  Plans plans_for_image(const at::Tensor& x) const {
    Plans plans = plans_for(x);
    for (const auto& plan : plans) {
      plan->check_image(x);
    }
    return plans;
  }
  static void check_measurements(const Plans& plans, const TensorList& y) {
    for (std::size_t i = 0; i < plans.size(); ++i) {
      check(y[i].scalar_type() == y[0].scalar_type() && y[i].is_cpu(),
            "MultiCoilMRI: y must be measurements of one dtype on the CPU");
      plans[i]->check_measurement(y[i]);
      check(plans[i]->image_sizes(y[i]) == plans[0]->image_sizes(y[0]), "MultiCoilMRI: y must be of one image");
    }
  }

  // ---- Where there are no kernels for single coils: all coils at once, as those of one operator ----

  /// Numbers of all coil images up to which a GPU is quicker with all of them at once; more fill it one by one.
  static constexpr std::int64_t joint_numel = std::int64_t{1} << 24;

  bool joins(const at::Tensor& tensor) const {
    if (tensor.dim() == 0 || (*this)[0].plan(tensor, {})->has_kernels_for(tensor) || joint() == nullptr) {
      return false;
    }
    const at::Tensor maps = joint()->coil_maps();
    return tensor.size(0) * maps.numel() / maps.size(0) <= joint_numel;
  }
  /// One operator with all coils, or null where masks or the maps' layouts differ.
  std::shared_ptr<const MultiCoilMRI> joint() const {
    return joint_.get(version(), [&] { return unite(); });
  }
  std::shared_ptr<const MultiCoilMRI> unite() const {
    const at::Tensor mask = (*this)[0].mask();
    std::vector<at::Tensor> maps;
    for (const auto& one : operators()) {
      maps.push_back(one->coil_maps());
      const at::Tensor& own = maps.back();
      if (own.size(0) != maps[0].size(0) || own.sizes().slice(2) != maps[0].sizes().slice(2) ||
          !own.options().type_equal(maps[0].options()) || !one->mask().options().type_equal(mask.options()) ||
          !at::equal(one->mask(), mask)) {
        return nullptr;
      }
    }
    return std::make_shared<const MultiCoilMRI>(mask, at::cat(maps, 1), (*this)[0].options());
  }
  static std::int64_t coil_axis(const at::Tensor& y) { return y.is_complex() ? 1 : 2; }
  TensorList parted(const at::Tensor& y) const {
    TensorList parts;
    std::int64_t first = 0;
    for (const auto& one : operators()) {
      const std::int64_t coils = one->coil_maps().size(1);
      parts.push_back(y.narrow(coil_axis(y), first, coils).contiguous());
      first += coils;
    }
    return parts;
  }
  /// The reverse. Throws unless y have the shapes that parted() makes.
  at::Tensor united(const TensorList& y) const {
    const std::int64_t axis = coil_axis(y[0]);
    check(y[0].dim() > axis, "MultiCoilMRI: y must have coils, got ", y[0].sizes());
    std::vector<std::int64_t> sizes = y[0].sizes().vec();
    for (std::size_t i = 0; i < y.size(); ++i) {
      sizes[static_cast<std::size_t>(axis)] = (*this)[i].coil_maps().size(1);
      check(y[i].options().type_equal(y[0].options()) && y[i].sizes() == sizes,
            "MultiCoilMRI: y must be measurements of one image");
    }
    return at::cat(y.tensors(), axis);
  }

  Derived<MultiCoilMRI> joint_;
};

std::unique_ptr<FusedStack> MultiCoilMRI::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto coils = all_of_class<MultiCoilMRI>(operators);
  const auto alike = [&](const auto& one) {
    return one->options_.three_d == options_.three_d && one->options_.dynamic == options_.dynamic;
  };
  return coils.empty() || !std::ranges::all_of(coils, alike) ? nullptr : std::make_unique<FusedCoils>(std::move(coils));
}

}  // namespace adjoin
